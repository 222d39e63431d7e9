from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck

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


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_a_zero_embedding_is_at_a_right_angle_to_all_and_has_no_gradient(
    dtype: torch.dtype,
) -> None:
    zeros, ones = torch.zeros(1, 1, 4, dtype=dtype), torch.ones(1, 1, 4, dtype=dtype)
    for left, right in ((zeros, ones), (ones, zeros), (zeros, zeros)):
        pair = (left.clone().requires_grad_(), right.clone().requires_grad_())
        distance = cosine_distance(*pair)
        assert distance.tolist() == [[1.0]]
        gradients = torch.autograd.grad(distance.sum(), pair)
        assert not torch.stack(gradients).any()


def test_a_diverged_embedding_is_not_hidden() -> None:
    assert cosine_distance(torch.full((1, 1, 4), torch.nan), torch.ones(1, 1, 4)).isnan().all()


@pytest.mark.parametrize("distance", [l2_of_probabilities, cosine_distance, mean_squared_error])
def test_gradients_of_float64_agree_with_differences(
    distance: Callable[[Tensor, Tensor], Tensor],
) -> None:
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 2, 3, 5, generator=generator).double()
    assert gradcheck(distance, (student.requires_grad_(), teacher.requires_grad_()))


@pytest.mark.parametrize("distance", [l2_of_probabilities, cosine_distance, mean_squared_error])
def test_half_precision_is_computed_in_full(distance: Callable[[Tensor, Tensor], Tensor]) -> None:
    pair = torch.randn(2, 2, 3, 5, generator=torch.Generator().manual_seed(0)).half()
    assert torch.equal(distance(*pair), distance(*pair.float()))


def test_mean_squared_error_is_over_the_width_only() -> None:
    student = torch.tensor([[[1.0, 3.0], [0.0, 0.0]]])
    assert mean_squared_error(student, torch.zeros(1, 2, 2)).tolist() == [[5.0, 0.0]]
