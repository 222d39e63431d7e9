import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck

from avkd.errors import InvalidValueError
from avkd.stages.losses.contrastive import info_nce, info_nce_per_clip


@pytest.mark.parametrize("num_clips", [2, 8, 33])
def test_embeddings_that_tell_nothing_cost_the_log_of_the_batch(num_clips: int) -> None:
    student = torch.randn(num_clips, 4, generator=torch.Generator().manual_seed(0))
    same = torch.ones(num_clips, 4)
    assert info_nce(student, same).item() == pytest.approx(math.log(num_clips))
    assert info_nce(same, same).item() == pytest.approx(math.log(num_clips))


def test_value_worked_out_by_hand() -> None:
    axes = torch.eye(3)
    # Own pair cosine 1, two others 0, at temperature 1.
    expected = -math.log(math.e / (math.e + 2))
    assert info_nce(axes, axes, temperature=1.0).item() == pytest.approx(expected)
    wrong = info_nce(axes, axes[[1, 2, 0]], temperature=1.0)
    assert wrong.item() == pytest.approx(-math.log(1 / (math.e + 2)))


def test_own_pairs_at_a_low_temperature_cost_nothing() -> None:
    axes = torch.eye(4)
    assert info_nce(axes, axes, temperature=0.01).item() < 1e-6


@settings(deadline=None, max_examples=30)
@given(st.floats(0.01, 100.0), st.integers(0, 1000))
def test_lengths_do_not_matter_and_order_only_together(scale: float, seed: int) -> None:
    student, teacher = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(seed))
    per_clip = info_nce_per_clip(student, teacher)
    scaled = info_nce_per_clip(scale * student, teacher / scale)
    torch.testing.assert_close(scaled, per_clip, atol=1e-3, rtol=1e-4)
    order = torch.tensor([3, 1, 4, 0, 2])
    torch.testing.assert_close(info_nce_per_clip(student[order], teacher[order]), per_clip[order])


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_equal_and_empty_embeddings_have_a_finite_gradient(value: float) -> None:
    student = torch.full((4, 3), value, requires_grad=True)
    info_nce(student, torch.eye(4)[:, :3]).backward()
    assert student.grad is not None
    assert student.grad.isfinite().all()
    assert student.grad.abs().max() < 100


def test_gradients_agree_with_differences() -> None:
    student, teacher = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0)).double()
    assert gradcheck(info_nce, (student.requires_grad_(), teacher.requires_grad_(), 0.5))


def test_one_clip_and_no_temperature_are_refused() -> None:
    with pytest.raises(InvalidValueError, match=r"InfoNCE .* the smallest batch is 2 clips"):
        info_nce(torch.zeros(1, 3), torch.zeros(1, 3))
    with pytest.raises(InvalidValueError, match="temperature 0 must be above 0"):
        info_nce(torch.zeros(2, 3), torch.zeros(2, 3), 0.0)


def test_half_precision_is_computed_in_full() -> None:
    student, teacher = torch.randn(2, 8, 16, generator=torch.Generator().manual_seed(0)).half()
    value = info_nce(student, teacher)
    assert value.dtype == torch.float32
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(info_nce(student.float(), teacher.float()), value)
