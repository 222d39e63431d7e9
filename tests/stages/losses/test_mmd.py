import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck

from avkd.errors import InvalidValueError
from avkd.stages.losses.mmd import median_distance, mmd


def batches(*shape: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    student, teacher = torch.randn(2, *shape, generator=torch.Generator().manual_seed(seed))
    return student, teacher


def test_mmd_of_equal_samples_is_zero_in_any_order() -> None:
    student, _ = batches(16, 4)
    shuffled = student[torch.randperm(16, generator=torch.Generator().manual_seed(1))]
    assert mmd(student, student).abs().item() < 1e-6
    assert mmd(student, shuffled).abs().item() < 1e-6


def test_mmd_grows_with_the_shift_between_samples() -> None:
    student, teacher = batches(64, 4)
    values = [mmd(student, teacher + shift).item() for shift in (0.0, 1.0, 3.0)]
    assert values[0] < 0.2 < values[1] < values[2]


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 8), st.integers(0, 1000))
def test_mmd_is_never_negative_and_blind_to_a_common_scale_and_shift(
    num_clips: int, seed: int
) -> None:
    student, teacher = batches(num_clips, 3, seed=seed)
    value = mmd(student, teacher)
    assert value.item() >= -1e-6
    torch.testing.assert_close(mmd(7 * student + 2, 7 * teacher + 2), value, atol=1e-4, rtol=1e-4)


def test_bandwidth_rule_worked_out_by_hand() -> None:
    # Points 0 and 1 of the student, 3 and 7 of the teacher: distances 1, 3, 7, 2, 6, 4.
    student, teacher = torch.tensor([[0.0], [1.0]]), torch.tensor([[3.0], [7.0]])
    sigma = 3.5
    assert np.median([1, 3, 7, 2, 6, 4]) == sigma

    def kernel(distance: float) -> float:
        factors = (1 / 4, 1 / 2, 1, 2, 4)
        return sum(math.exp(-(distance**2) / (2 * (sigma * f) ** 2)) for f in factors)

    within = (2 * kernel(0) + 2 * kernel(1)) / 4 + (2 * kernel(0) + 2 * kernel(4)) / 4
    between = (kernel(3) + kernel(7) + kernel(2) + kernel(6)) / 4
    assert mmd(student, teacher).item() == pytest.approx(within - 2 * between, rel=1e-5)
    assert mmd(student, teacher, bandwidth=sigma).item() == pytest.approx(within - 2 * between)
    unbiased = kernel(1) + kernel(4) - 2 * between
    assert mmd(student, teacher, unbiased=True).item() == pytest.approx(unbiased, rel=1e-5)


def test_median_is_of_distinct_pairs_and_one_where_all_points_meet() -> None:
    distances = torch.tensor([[0.0, 2.0, 5.0], [2.0, 0.0, 3.0], [5.0, 3.0, 0.0]])
    assert median_distance(distances).item() == 3.0
    assert median_distance(torch.zeros(4, 4)).item() == 1.0


def test_unbiased_mmd_of_one_distribution_is_about_zero_on_average() -> None:
    values = [mmd(*batches(32, 3, seed=seed), unbiased=True).item() for seed in range(40)]
    biased = [mmd(*batches(32, 3, seed=seed)).item() for seed in range(40)]
    error = np.std(values) / math.sqrt(len(values))
    assert abs(np.mean(values)) < 3 * error
    assert np.mean(biased) > 10 * error


def test_bandwidth_is_a_constant_for_the_gradient() -> None:
    student, teacher = (batch.double() for batch in batches(4, 3))
    pooled = torch.cat([student, teacher])
    sigma = median_distance(torch.cdist(pooled, pooled)).item()
    student.requires_grad_()
    (with_median,) = torch.autograd.grad(mmd(student, teacher), student)
    (with_given,) = torch.autograd.grad(mmd(student, teacher, sigma), student)
    torch.testing.assert_close(with_median, with_given)
    inputs = (student, teacher.requires_grad_(), sigma)
    assert gradcheck(mmd, inputs)


@pytest.mark.parametrize("unbiased", [False, True])
def test_equal_embeddings_have_a_finite_gradient(unbiased: bool) -> None:
    for teacher in (torch.ones(4, 3), torch.zeros(4, 3)):
        student = torch.ones(4, 3, requires_grad=True)
        value = mmd(student, teacher, unbiased=unbiased)
        value.backward()
        assert value.isfinite()
        assert student.grad is not None
        assert student.grad.isfinite().all()


def test_one_clip_or_another_width_is_refused() -> None:
    with pytest.raises(InvalidValueError, match=r"MMD .* the smallest batch is 2 clips"):
        mmd(torch.zeros(1, 3), torch.zeros(1, 3))
    with pytest.raises(InvalidValueError, match="3 numbers a clip but the teacher 4"):
        mmd(torch.zeros(2, 3), torch.zeros(2, 4))
    with pytest.raises(InvalidValueError, match="bandwidth 0 must be above 0"):
        mmd(torch.zeros(2, 3), torch.zeros(2, 3), 0.0)


def test_half_precision_is_computed_in_full() -> None:
    student, teacher = (batch.half() for batch in batches(8, 16))
    value = mmd(student, teacher)
    assert value.dtype == torch.float32
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(mmd(student.float(), teacher.float()), value)
