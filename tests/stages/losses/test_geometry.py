import torch

from avkd.stages.losses.geometry import (
    matrix_product,
    off_diagonal,
    root_or_zero,
    unit_vectors,
)


def test_root_has_no_gradient_at_zero_and_the_usual_one_elsewhere() -> None:
    values = torch.tensor([0.0, 4.0, 1e-9], requires_grad=True)
    roots = root_or_zero(values, floor=1e-8)
    roots.sum().backward()
    assert roots.tolist() == [0.0, 2.0, 0.0]
    assert values.grad is not None
    assert values.grad.tolist() == [0.0, 0.25, 0.0]


def test_unit_vectors_have_length_one_or_zero() -> None:
    vectors = torch.tensor([[3.0, 4.0], [0.0, 0.0]], requires_grad=True)
    units = unit_vectors(vectors)
    torch.testing.assert_close(units, torch.tensor([[0.6, 0.8], [0.0, 0.0]]))
    units.sum().backward()
    assert vectors.grad is not None
    # (I - u u^T) / 5, summed over its rows.
    torch.testing.assert_close(vectors.grad, torch.tensor([[0.032, -0.024], [0.0, 0.0]]))


def test_a_diverged_embedding_is_not_hidden() -> None:
    assert unit_vectors(torch.tensor([[torch.nan, 1.0]])).isnan().all()
    assert root_or_zero(torch.tensor([torch.nan])).isnan().all()


def test_products_keep_their_precision_under_autocast() -> None:
    left = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        product = matrix_product(left, left.T)
        assert (left @ left.T).dtype == torch.bfloat16
    assert torch.equal(product, left @ left.T)


def test_off_diagonal_leaves_each_clip_out_of_its_own_row() -> None:
    table = torch.arange(9.0).view(3, 3)
    assert off_diagonal(table).tolist() == [[1.0, 2.0], [3.0, 5.0], [6.0, 7.0]]
