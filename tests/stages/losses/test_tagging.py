import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck
from torch.nn.functional import binary_cross_entropy_with_logits

from avkd.errors import InvalidValueError
from avkd.stages.losses.kl import dense_kl
from avkd.stages.losses.tagging import (
    binary_kl,
    binary_kl_per_clip,
    is_labelled,
    label_bce,
    label_bce_per_clip,
)


def test_binary_kl_has_the_value_worked_out_by_hand() -> None:
    student = torch.tensor([[0.25, 0.5]]).logit()
    teacher = torch.tensor([[0.5, 0.5]]).logit()
    expected = 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)
    assert binary_kl(student, teacher).item() == pytest.approx(expected)


@settings(deadline=None, max_examples=30)
@given(st.floats(0.1, 8.0), st.integers(0, 1000))
def test_binary_kl_is_zero_for_equal_logits_and_never_negative(
    temperature: float, seed: int
) -> None:
    student, teacher = 5 * torch.randn(2, 3, 6, generator=torch.Generator().manual_seed(seed))
    assert binary_kl_per_clip(teacher, teacher, temperature).tolist() == [0.0, 0.0, 0.0]
    assert (binary_kl_per_clip(student, teacher, temperature) >= 0).all()


def test_binary_kl_of_one_class_is_the_kl_of_two() -> None:
    student, teacher = torch.randn(2, 4, 1, generator=torch.Generator().manual_seed(0))
    zero = torch.zeros(4, 1)
    two_classes = dense_kl(
        torch.cat([student, zero], dim=-1), torch.cat([teacher, zero], dim=-1), 2.0
    )
    torch.testing.assert_close(binary_kl_per_clip(student, teacher, 2.0), two_classes)


def test_gradient_is_sigmoid_of_student_minus_teacher_as_with_soft_targets() -> None:
    student, teacher = torch.randn(2, 2, 5, generator=torch.Generator().manual_seed(0))
    student.requires_grad_()
    (gradient,) = torch.autograd.grad(binary_kl(student, teacher), student)
    torch.testing.assert_close(gradient, (student.sigmoid() - teacher.sigmoid()) / 2)
    soft = binary_cross_entropy_with_logits(student, teacher.sigmoid(), reduction="sum") / 2
    torch.testing.assert_close(torch.autograd.grad(soft, student)[0], gradient)


def test_both_sides_can_learn_in_mutual_learning() -> None:
    student, teacher = torch.randn(2, 2, 5, generator=torch.Generator().manual_seed(0)).double()
    inputs = (student.requires_grad_(), teacher.requires_grad_(), 2.0)
    assert gradcheck(binary_kl, inputs)


def test_extreme_logits_stay_finite() -> None:
    student = torch.tensor([[-200.0, 200.0]], requires_grad=True)
    loss = binary_kl(student, torch.tensor([[200.0, 200.0]]))
    loss.backward()
    assert loss.item() == pytest.approx(200.0)
    assert student.grad is not None
    assert student.grad.tolist() == [[-1.0, 0.0]]


def test_label_bce_sums_over_classes_and_averages_over_labelled_clips() -> None:
    logits = torch.zeros(3, 4)
    labels = torch.tensor([[0.0, 1, 0, 1], [-1, -1, -1, -1], [1, 1, 1, 1]])
    torch.testing.assert_close(
        label_bce_per_clip(logits, labels), 4 * math.log(2) * torch.tensor([1.0, 0.0, 1.0])
    )
    assert label_bce(logits, labels).item() == pytest.approx(4 * math.log(2))
    assert is_labelled(labels).tolist() == [True, False, True]


def test_clips_without_labels_give_no_gradient_and_a_batch_of_them_zero() -> None:
    logits = torch.randn(2, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    label_bce(logits, torch.tensor([[-1.0, -1, -1], [0, 1, 0]])).backward()
    assert logits.grad is not None
    assert not logits.grad[0].any()
    assert logits.grad[1].all()
    none = label_bce(logits, torch.full((2, 3), -1.0))
    none.backward()
    assert none.item() == 0.0


def test_labels_of_other_classes_are_refused() -> None:
    with pytest.raises(InvalidValueError, match=r"logits are \(2, 3\) and labels \(2, 4\)"):
        label_bce(torch.zeros(2, 3), torch.zeros(2, 4))


def test_half_precision_is_computed_in_full() -> None:
    student, teacher = torch.randn(2, 2, 9, generator=torch.Generator().manual_seed(0)).half()
    value = binary_kl(student, teacher)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, binary_kl(student.float(), teacher.float()))
    assert label_bce(student, torch.zeros(2, 9)).dtype == torch.float32
