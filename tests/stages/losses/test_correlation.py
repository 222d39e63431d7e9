import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck

from avkd.errors import InvalidValueError
from avkd.stages.losses import correlation
from avkd.stages.losses.correlation import pearson, rank_correlation


def test_pearson_is_that_of_numpy() -> None:
    left, right = torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(0)).double()
    expected = [np.corrcoef(a, b)[0, 1] for a, b in zip(left, right, strict=True)]
    np.testing.assert_allclose(pearson(left, right).numpy(), expected, rtol=1e-9)


@settings(deadline=None, max_examples=30)
@given(st.floats(0.01, 100.0), st.floats(-10.0, 10.0), st.integers(0, 1000))
def test_pearson_is_blind_to_scale_and_shift(scale: float, shift: float, seed: int) -> None:
    left, right = torch.randn(2, 3, 6, generator=torch.Generator().manual_seed(seed)).double()
    torch.testing.assert_close(pearson(scale * left + shift, right), pearson(left, right))
    torch.testing.assert_close(pearson(-scale * left, right), -pearson(left, right))


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e6])
def test_rows_that_do_not_vary_are_uncorrelated_without_gradient(constant: float) -> None:
    flat = torch.full((1, 7), constant, requires_grad=True)
    value = pearson(flat, torch.randn(1, 7, generator=torch.Generator().manual_seed(0)))
    value.sum().backward()
    assert value.item() == 0.0
    assert flat.grad is not None
    assert not flat.grad.any()


def test_gradients_of_pearson_agree_with_differences() -> None:
    left, right = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0)).double()
    assert gradcheck(pearson, (left.requires_grad_(), right.requires_grad_()))


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 9), st.integers(0, 1000), st.booleans())
def test_rank_correlations_are_those_of_scipy(num_classes: int, seed: int, ties: bool) -> None:
    from scipy.stats import kendalltau, spearmanr

    generator = torch.Generator().manual_seed(seed)
    left, right = torch.randn(2, 4, num_classes, generator=generator)
    if ties:
        left, right = left.round(), right.round()
    for kind, reference in (("kendall", kendalltau), ("spearman", spearmanr)):
        ours = rank_correlation(left, right, kind)  # type: ignore[arg-type]
        for index, value in enumerate(ours.tolist()):
            if left[index].unique().numel() == 1 or right[index].unique().numel() == 1:
                assert value == 0.0
            else:
                expected = reference(left[index].numpy(), right[index].numpy()).statistic
                assert value == pytest.approx(expected, abs=1e-5)


def test_rank_correlation_by_hand() -> None:
    left, right = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[1.0, 3.0, 2.0]])
    # Of three pairs two agree and one does not; rho = 1 - 6 * 2 / (3 * 8).
    assert rank_correlation(left, right, "kendall").item() == pytest.approx(1 / 3)
    assert rank_correlation(left, right, "spearman").item() == pytest.approx(0.5)


def test_many_classes_are_compared_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    left, right = torch.randn(2, 5, 6, generator=torch.Generator().manual_seed(0))
    whole = rank_correlation(left, right, "kendall")
    monkeypatch.setattr(correlation, "_LARGEST_COMPARISON", 80)
    torch.testing.assert_close(rank_correlation(left, right, "kendall"), whole)


def test_other_rank_correlations_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="'pearson' is not known; use 'kendall' or"):
        rank_correlation(torch.zeros(1, 2), torch.zeros(1, 2), "pearson")  # type: ignore[arg-type]
