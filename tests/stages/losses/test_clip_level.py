from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck

from avkd.errors import InvalidValueError
from avkd.stages.losses.clip_level import clip_kl, clip_kl_per_clip, mean_real_steps
from avkd.stages.losses.kl import SparseTargets, dense_kl

TEMPERATURES = (1.0, 2.0, 4.0, 8.0)


def keep_largest(logits: Tensor, num_kept: int) -> SparseTargets:
    """What the store keeps of dense logits of either rank, without its float16 rounding."""
    values, ids = logits.topk(num_kept, dim=-1)
    lse = torch.stack([(logits / t).logsumexp(dim=-1) for t in TEMPERATURES], dim=-1)
    return SparseTargets(
        values=values - lse[..., :1], ids=ids, log_sum_exp=lse, temperatures=TEMPERATURES
    )


def logits_of(*shape: int, seed: int = 0, spread: float = 3.0) -> Tensor:
    return spread * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_kl_of_equal_logits_is_zero(temperature: float) -> None:
    logits = logits_of(4, 9)
    assert clip_kl(logits + 5, logits, temperature=temperature).abs() < 1e-4
    sparse = keep_largest(logits, 3)
    assert clip_kl(logits + 5, sparse, temperature=temperature).abs() < 1e-4


def test_gradient_is_softmax_of_student_minus_target() -> None:
    student, target = logits_of(2, 5).requires_grad_(), logits_of(2, 5, seed=1)
    clip_kl(student, target).backward()
    assert student.grad is not None
    # The mean over two clips halves it.
    torch.testing.assert_close(student.grad, (student.softmax(-1) - target.softmax(-1)) / 2)


def test_kl_has_the_value_worked_out_by_hand() -> None:
    student, target = torch.tensor([[0.25, 0.75]]).log(), torch.tensor([[0.5, 0.5]]).log()
    expected = 0.5 * torch.log(torch.tensor(0.5 / 0.25 * 0.5 / 0.75))
    torch.testing.assert_close(clip_kl(student, target), expected)


def test_steps_are_averaged_over_the_real_ones() -> None:
    student, target = logits_of(2, 5), logits_of(2, 3, 5, seed=1)
    target[1, 1:] = torch.nan
    per_clip = clip_kl_per_clip(student, target, torch.tensor([3, 1]), 2.0)
    steps = [dense_kl(student[0], target[0, step], 2.0) for step in range(3)]
    torch.testing.assert_close(per_clip[0], torch.stack(steps).mean())
    torch.testing.assert_close(per_clip[1], dense_kl(student[1], target[1, 0], 2.0))


def test_masked_steps_give_no_gradient_whatever_they_hold() -> None:
    student, target = logits_of(1, 5).requires_grad_(), logits_of(1, 2, 5, seed=1)
    target[0, 1] = torch.nan
    clip_kl(student, target, torch.tensor([1])).backward()
    assert student.grad is not None
    torch.testing.assert_close(student.grad, student.softmax(-1) - target[:, 0].softmax(-1))


def test_masked_steps_of_sparse_targets_give_no_gradient_either() -> None:
    student, teacher = logits_of(1, 9).requires_grad_(), logits_of(1, 2, 9, seed=1)
    targets = keep_largest(teacher, 3)
    lost = targets.values.clone()
    lost[0, 1] = torch.nan
    loss = clip_kl(student, replace(targets, values=lost), torch.tensor([1]))
    torch.testing.assert_close(loss, clip_kl(student, keep_largest(teacher[:, 0], 3)))
    loss.backward()
    assert student.grad is not None
    assert student.grad.isfinite().all()


def test_gradient_over_steps_is_that_of_their_mean_distribution() -> None:
    student, target = logits_of(2, 5).requires_grad_(), logits_of(2, 3, 5, seed=1)
    (over_steps,) = torch.autograd.grad(
        clip_kl(student, target, torch.tensor([3, 3]), temperature=2.0), student
    )
    mean = 2.0 * (target / 2.0).softmax(-1).mean(dim=1).log()
    (of_mean,) = torch.autograd.grad(clip_kl(student, mean, temperature=2.0), student)
    torch.testing.assert_close(over_steps, of_mean)


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 1000),
    st.sampled_from(TEMPERATURES),
    st.floats(0.1, 8.0),
    st.booleans(),
)
def test_sparse_kl_is_a_lower_bound_whose_gap_falls_with_more_classes(
    seed: int, temperature: float, spread: float, has_steps: bool
) -> None:
    shape = (2, 3, 12) if has_steps else (2, 12)
    student = logits_of(2, 12, seed=seed, spread=spread)
    teacher = logits_of(*shape, seed=seed + 1, spread=spread).clamp(-20, 20)
    num_steps = torch.tensor([3, 2])
    dense = clip_kl_per_clip(student, teacher, num_steps, temperature)
    gaps = [
        dense - clip_kl_per_clip(student, keep_largest(teacher, kept), num_steps, temperature)
        for kept in (1, 2, 4, 8, 12)
    ]
    slack = 5e-5 * temperature**2
    for fewer, more in pairwise(gaps):
        assert (more <= fewer + slack).all()
    assert (gaps[-2] >= -slack).all()
    # With every class kept there is no tail, and no gap.
    assert gaps[-1].abs().max() < slack


def test_sparse_clips_are_sparse_clips_of_one_step() -> None:
    student, teacher = logits_of(3, 20), logits_of(3, 20, seed=1)
    flat = clip_kl_per_clip(student, keep_largest(teacher, 4), temperature=2.0)
    one_step = clip_kl_per_clip(
        student, keep_largest(teacher[:, None], 4), torch.ones(3, dtype=torch.int64), 2.0
    )
    torch.testing.assert_close(flat, one_step)


def test_gradients_agree_with_differences() -> None:
    student, target = logits_of(2, 4).double(), logits_of(2, 3, 4, seed=1).double()
    num_steps = torch.tensor([2, 3])
    inputs = (student.requires_grad_(), target.requires_grad_(), num_steps, 2.0)
    assert gradcheck(clip_kl, inputs)
    sparse = keep_largest(target.detach(), 2)
    assert gradcheck(lambda logits: clip_kl(logits, sparse, num_steps, 2.0), (student,))


def test_half_precision_is_computed_in_full() -> None:
    student, target = logits_of(2, 50).half(), logits_of(2, 50, seed=1).half()
    value = clip_kl(student, target)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, clip_kl(student.float(), target.float()))


def test_shapes_that_do_not_fit_are_refused() -> None:
    student = torch.zeros(2, 5)
    with pytest.raises(InvalidValueError, match=r"\(2, 3, 5\) with a step axis; give num_steps"):
        clip_kl(student, torch.zeros(2, 3, 5))
    with pytest.raises(InvalidValueError, match=r"student is \(2, 5\) and targets \(3, 5\)"):
        clip_kl(student, torch.zeros(3, 5))
    with pytest.raises(InvalidValueError, match=r"targets \(2, 6\)"):
        clip_kl(student, torch.zeros(2, 6))
    with pytest.raises(InvalidValueError, match=r"targets \(2, 6\)"):
        clip_kl(student, keep_largest(torch.zeros(2, 7), 6))
    with pytest.raises(InvalidValueError, match=r"student is \(2, 3, 5\)"):
        clip_kl(torch.zeros(2, 3, 5), torch.zeros(2, 3, 5), torch.tensor([3, 3]))
    with pytest.raises(InvalidValueError, match="temperature 0 must be above 0"):
        clip_kl(student, student, temperature=0.0)


def test_temperatures_that_were_not_stored_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="temperature 3 was not stored"):
        clip_kl(torch.zeros(1, 4), keep_largest(torch.zeros(1, 4), 2), temperature=3.0)


def test_a_clip_without_real_steps_counts_as_zero() -> None:
    values = torch.tensor([[1.0, 3.0], [torch.nan, torch.nan]])
    assert mean_real_steps(values, torch.tensor([2, 0])).tolist() == [2.0, 0.0]
