import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck

from avkd.errors import InvalidValueError
from avkd.stages.losses.kl import (
    SparseTargets,
    dense_kl,
    kl_over_steps,
    sparse_kl_over_steps,
    sparse_kl_per_step,
    torch7_weight,
)

TEMPERATURES = (1.0, 2.0, 4.0, 8.0)
TOLERANCE = 2e-5
"""Sums of up to 12 float32 terms of logits up to 20, with the tail as one minus a sum."""


def keep_largest(logits: Tensor, num_kept: int) -> SparseTargets:
    """What the store keeps of dense logits, without its float16 rounding."""
    values, ids = logits.topk(num_kept, dim=-1)
    lse = torch.stack([(logits / t).logsumexp(dim=-1) for t in TEMPERATURES], dim=-1)
    return SparseTargets(
        values=values - lse[..., :1], ids=ids, log_sum_exp=lse, temperatures=TEMPERATURES
    )


@st.composite
def logit_pairs(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    shape = (draw(st.integers(1, 3)), draw(st.integers(1, 4)), draw(st.integers(2, 12)))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    spread = draw(st.floats(0.1, 8.0))
    student, teacher = spread * torch.randn((2, *shape), generator=generator).clamp(-2.5, 2.5)
    return student, teacher


@settings(deadline=None)
@given(logit_pairs(), st.sampled_from(TEMPERATURES))
def test_kl_of_equal_logits_is_zero_and_never_negative(
    pair: tuple[Tensor, Tensor], temperature: float
) -> None:
    student, teacher = pair
    shifted = dense_kl(teacher + 3.0, teacher, temperature)
    assert shifted.abs().max() < TOLERANCE * temperature**2
    assert dense_kl(student, teacher, temperature).min() > -TOLERANCE * temperature**2


def test_gradient_is_softmax_of_student_minus_teacher() -> None:
    torch.manual_seed(0)
    student = torch.randn(2, 3, 5, requires_grad=True)
    teacher = torch.randn(2, 3, 5)
    kl_over_steps(student, teacher, torch.tensor([3, 3])).backward()
    # The mean over two clips halves it.
    expected = (student.detach().softmax(-1) - teacher.softmax(-1)) / 2
    assert student.grad is not None
    torch.testing.assert_close(student.grad, expected)


def test_gradient_keeps_its_size_over_temperatures() -> None:
    torch.manual_seed(0)
    start, teacher = torch.randn(2, 1, 1, 10)
    sizes = []
    for temperature in (50.0, 100.0):
        student = start[None].clone().requires_grad_()
        kl_over_steps(student, teacher[None], torch.tensor([1]), temperature).backward()
        assert student.grad is not None
        sizes.append(student.grad.norm().item())
    assert sizes[0] == pytest.approx(sizes[1], rel=0.05)


def test_masked_steps_give_no_loss_and_no_gradient() -> None:
    torch.manual_seed(0)
    student = torch.randn(2, 4, 5, requires_grad=True)
    teacher = torch.randn(2, 4, 5)
    num_steps = torch.tensor([4, 1])
    loss = kl_over_steps(student, teacher, num_steps)
    loss.backward()
    per_step = dense_kl(student, teacher)
    torch.testing.assert_close(loss, (per_step[0].sum() + per_step[1, 0]) / 2)
    assert student.grad is not None
    assert not student.grad[1, 1:].any()
    assert student.grad[1, 0].any()


@pytest.mark.parametrize("garbage", [torch.nan, torch.inf, -torch.inf])
def test_garbage_in_masked_steps_changes_neither_loss_nor_gradient(garbage: float) -> None:
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 2, 4, 5, generator=generator)
    num_steps = torch.tensor([4, 1])

    def loss_and_gradients() -> tuple[Tensor, ...]:
        dense, sparse = student.clone().requires_grad_(), student.clone().requires_grad_()
        target = teacher.clone().requires_grad_()
        losses = (
            kl_over_steps(dense, target, num_steps, 2.0),
            sparse_kl_over_steps(sparse, keep_largest(teacher, 2), num_steps, 2.0),
        )
        return *losses, *torch.autograd.grad(sum(losses), (dense, target, sparse))

    clean = loss_and_gradients()
    student[1, 1:], teacher[1, 1:] = garbage, garbage
    torch.testing.assert_close(loss_and_gradients(), clean, atol=0, rtol=0)


def test_gradients_of_float64_agree_with_differences() -> None:
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 2, 3, 5, generator=generator).double()
    num_steps, targets = torch.tensor([3, 1]), keep_largest(teacher, 2)
    assert gradcheck(
        kl_over_steps, (student.requires_grad_(), teacher.requires_grad_(), num_steps, 2.0)
    )
    assert gradcheck(
        lambda logits: sparse_kl_over_steps(logits, targets, num_steps, 2.0), (student,)
    )


def test_kl_has_the_value_worked_out_by_hand() -> None:
    student = torch.tensor([[[0.25, 0.75]]]).log()
    teacher = torch.tensor([[[0.5, 0.5]]]).log()
    expected = 0.5 * torch.log(torch.tensor(0.5 / 0.25 * 0.5 / 0.75))
    torch.testing.assert_close(kl_over_steps(student, teacher, torch.tensor([1])), expected)


def test_half_precision_is_computed_in_full() -> None:
    student, teacher = torch.randn(2, 1, 2, 1000)
    half = dense_kl(student.half()[None], teacher.half()[None])
    assert half.dtype == torch.float32
    torch.testing.assert_close(
        half, dense_kl(student.half().float()[None], teacher.half().float()[None])
    )


def test_other_numbers_of_steps_are_refused() -> None:
    with pytest.raises(InvalidValueError, match=r"\(1, 2\) but the targets have \(1, 4\)"):
        kl_over_steps(torch.zeros(1, 2, 3), torch.zeros(1, 4, 3), torch.tensor([4]))
    targets = keep_largest(torch.zeros(1, 4, 3), 2)
    with pytest.raises(InvalidValueError, match="as many steps as were stored"):
        sparse_kl_over_steps(torch.zeros(1, 2, 3), targets, torch.tensor([4]))


@settings(max_examples=200, deadline=None)
@given(logit_pairs(), st.sampled_from(TEMPERATURES), st.data())
def test_sparse_kl_is_a_lower_bound_that_more_classes_tighten(
    pair: tuple[Tensor, Tensor], temperature: float, data: st.DataObject
) -> None:
    student, teacher = pair
    num_kept = data.draw(st.integers(1, teacher.shape[-1] - 1))
    fewer = sparse_kl_per_step(student, keep_largest(teacher, num_kept), temperature)
    more = sparse_kl_per_step(student, keep_largest(teacher, num_kept + 1), temperature)
    dense = dense_kl(student, teacher, temperature)
    slack = TOLERANCE * temperature**2
    assert (fewer <= more + slack).all()
    assert (more <= dense + slack).all()
    assert (fewer >= -slack).all()


@settings(deadline=None)
@given(logit_pairs(), st.sampled_from(TEMPERATURES))
def test_sparse_kl_with_every_class_is_the_dense_one(
    pair: tuple[Tensor, Tensor], temperature: float
) -> None:
    student, teacher = pair
    student = student.requires_grad_()
    sparse = sparse_kl_per_step(student, keep_largest(teacher, teacher.shape[-1]), temperature)
    dense = dense_kl(student, teacher, temperature)
    slack = TOLERANCE * temperature**2
    torch.testing.assert_close(sparse, dense, atol=slack, rtol=1e-4)
    (gradient,) = torch.autograd.grad(sparse.sum(), student)
    (expected,) = torch.autograd.grad(dense.sum(), student)
    torch.testing.assert_close(gradient, expected, atol=slack, rtol=1e-4)


def test_sparse_kl_is_zero_for_equal_distributions_and_pulls_on_every_class() -> None:
    torch.manual_seed(0)
    teacher = 3 * torch.randn(1, 1, 20)
    targets = keep_largest(teacher, 4)
    assert sparse_kl_per_step(teacher, targets, 2.0).abs().item() < TOLERANCE
    student = torch.zeros(1, 1, 20, requires_grad=True)
    sparse_kl_over_steps(student, targets, torch.tensor([1])).backward()
    assert student.grad is not None
    assert student.grad.isfinite().all()
    assert (student.grad != 0).all()


def test_sparse_kl_stays_finite_where_the_tail_has_no_mass() -> None:
    teacher = torch.tensor([[[60.0, 0.0, 0.0, 0.0]]])
    student = torch.tensor([[[-60.0, 0.0, 0.0, 60.0]]], requires_grad=True)
    targets = keep_largest(teacher, 1)
    rounded = SparseTargets(
        values=(targets.values + 1e-3).half(),
        ids=targets.ids,
        log_sum_exp=targets.log_sum_exp,
        temperatures=targets.temperatures,
    )
    loss = sparse_kl_over_steps(student, rounded, torch.tensor([1]))
    loss.backward()
    assert loss.item() == pytest.approx(120, rel=1e-2)
    assert student.grad is not None
    assert student.grad.isfinite().all()


def test_stored_float16_values_move_the_sparse_kl_only_a_little() -> None:
    torch.manual_seed(0)
    student, teacher = 3 * torch.randn(2, 8, 4, 1000)
    exact = keep_largest(teacher, 32)
    stored = SparseTargets(
        values=exact.values.half(),
        ids=exact.ids,
        log_sum_exp=exact.log_sum_exp,
        temperatures=TEMPERATURES,
    )
    before, after = (sparse_kl_per_step(student, targets) for targets in (exact, stored))
    # float16 has 11 bits: log-probabilities of -8 are off by at most 2e-3.
    torch.testing.assert_close(after, before, atol=1e-2, rtol=1e-2)


@pytest.mark.parametrize("temperature", [3.0, 0.5, 16.0])
def test_temperatures_that_were_not_stored_are_refused(temperature: float) -> None:
    targets = keep_largest(torch.randn(1, 1, 8), 2)
    with pytest.raises(InvalidValueError, match="choose one of 1, 2, 4, 8, or store"):
        sparse_kl_over_steps(torch.randn(1, 1, 8), targets, torch.tensor([1]), temperature)


def test_torch7_weights_are_those_of_the_released_code() -> None:
    assert torch7_weight(1000) == pytest.approx(0.03125)
    assert torch7_weight(401) == pytest.approx(0.0779, abs=1e-4)


def test_sparse_targets_move_between_devices() -> None:
    targets = keep_largest(torch.randn(1, 1, 8), 2).to("meta")
    devices = {targets.values.device, targets.ids.device, targets.log_sum_exp.device}
    assert devices == {torch.device("meta")}
    assert targets.temperatures == TEMPERATURES
