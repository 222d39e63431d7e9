import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avkd.stages.losses.embedding import cosine_distance, l2_of_probabilities, mean_squared_error


def test_l2_of_opposite_certainties_is_two_and_of_equal_logits_zero() -> None:
    left, right = torch.tensor([[[50.0, -50.0]]]), torch.tensor([[[-50.0, 50.0]]])
    assert l2_of_probabilities(left, right).tolist() == [[2.0]]
    assert l2_of_probabilities(left, left + 1).tolist() == [[0.0]]


def test_l2_at_a_high_temperature_is_small() -> None:
    left, right = torch.tensor([[[5.0, -5.0]]]), torch.tensor([[[-5.0, 5.0]]])
    assert l2_of_probabilities(left, right, 100.0).item() < 0.02


@settings(deadline=None)
@given(st.floats(0.1, 100.0), st.integers(0, 1000))
def test_cosine_distance_is_blind_to_length(scale: float, seed: int) -> None:
    left, right = torch.randn((2, 2, 3, 8), generator=torch.Generator().manual_seed(seed))
    distance = cosine_distance(left, right)
    torch.testing.assert_close(cosine_distance(scale * left, right), distance, atol=1e-5, rtol=1e-4)
    assert distance.min() >= -1e-6
    assert distance.max() <= 2 + 1e-6
    assert cosine_distance(left, scale * left).abs().max() < 1e-5
    torch.testing.assert_close(cosine_distance(left, -left), torch.full((2, 3), 2.0))


def test_cosine_distance_of_a_zero_embedding_has_a_finite_gradient() -> None:
    student = torch.zeros(1, 1, 4, requires_grad=True)
    cosine_distance(student, torch.ones(1, 1, 4)).sum().backward()
    assert student.grad is not None
    assert student.grad.isfinite().all()


def test_mean_squared_error_is_over_the_width_only() -> None:
    student = torch.tensor([[[1.0, 3.0], [0.0, 0.0]]])
    assert mean_squared_error(student, torch.zeros(1, 2, 2)).tolist() == [[5.0, 0.0]]
