import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck
from torch.nn.functional import cross_entropy, normalize

from avkd.errors import InvalidValueError
from avkd.stages.losses.embedding import cosine_distance
from avkd.stages.losses.margin import (
    aam_logits,
    aam_softmax,
    aam_softmax_per_clip,
    add_angular_margin,
    margin_alignment,
    margin_alignment_per_clip,
)


def cosines_of(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)).double() * 1.8 - 0.9


def test_aam_is_the_hand_computation_with_angles() -> None:
    cosines, labels = cosines_of(4, 5), torch.tensor([0, 3, 4, 1])
    logits = 32 * cosines
    for clip, label in enumerate(labels.tolist()):
        angle = math.acos(cosines[clip, label].item())
        logits[clip, label] = 32 * math.cos(angle + 0.2)
    torch.testing.assert_close(aam_logits(cosines, labels), logits)
    torch.testing.assert_close(aam_softmax(cosines, labels), cross_entropy(logits, labels))


def test_aam_of_one_clip_worked_out_by_hand() -> None:
    # Angles 60 and 90 degrees, scale 1, margin 30 degrees: both cosines become 0.
    cosines = torch.tensor([[0.5, 0.0]], dtype=torch.float64)
    loss = aam_softmax(cosines, torch.tensor([0]), scale=1.0, margin=math.pi / 6)
    assert loss.item() == pytest.approx(math.log(2))


def test_without_a_margin_aam_is_the_scaled_softmax() -> None:
    cosines, labels = cosines_of(3, 4), torch.tensor([0, 1, 2])
    torch.testing.assert_close(
        aam_softmax(cosines, labels, scale=10.0, margin=0.0), cross_entropy(10 * cosines, labels)
    )


@settings(deadline=None, max_examples=40)
@given(st.floats(0.01, 1.5))
def test_the_margin_makes_every_angle_harder_and_never_turns_back(margin: float) -> None:
    angles = torch.linspace(0, math.pi, 2001, dtype=torch.float64)
    values = add_angular_margin(angles.cos(), margin)
    assert (values < angles.cos()).all()
    assert (values.diff() < 0).all()
    before = angles < math.pi - margin
    torch.testing.assert_close(values[before], (angles[before] + margin).cos(), atol=1e-6, rtol=0)


def test_beyond_pi_minus_the_margin_the_fallback_is_linear() -> None:
    cosine = math.cos(math.pi - 0.1)
    value = add_angular_margin(torch.tensor([cosine], dtype=torch.float64), 0.2)
    assert value.item() == pytest.approx(cosine - 0.2 * math.sin(0.2))


@pytest.mark.parametrize("cosine", [1.0, -1.0, 1.0000001])
def test_gradient_is_finite_where_the_angle_is_none(cosine: float) -> None:
    cosines = torch.tensor([[cosine, 0.0]], requires_grad=True)
    loss = aam_softmax(cosines, torch.tensor([0]))
    loss.backward()
    assert loss.isfinite()
    assert cosines.grad is not None
    assert cosines.grad.isfinite().all()
    assert cosines.grad.abs().max() <= 64


def test_gradient_through_the_embedding_is_finite_when_it_is_its_class() -> None:
    weights = normalize(torch.randn(3, 8, generator=torch.Generator().manual_seed(0)), dim=-1)
    for offset in (0.0, 1e-7, 1e-4, 1e-2):
        embedding = (weights[:1] + offset).requires_grad_()
        aam_softmax(normalize(embedding, dim=-1) @ weights.T, torch.tensor([0])).backward()
        assert embedding.grad is not None
        assert embedding.grad.norm() < 64


def test_gradients_of_aam_agree_with_differences() -> None:
    cosines = cosines_of(3, 4).requires_grad_()
    labels = torch.tensor([1, -1, 3])
    assert gradcheck(lambda values: aam_softmax(values, labels, 4.0, 0.3), (cosines,))


def test_clips_without_a_label_are_left_out() -> None:
    cosines = cosines_of(3, 4).requires_grad_()
    labels = torch.tensor([2, -1, 0])
    loss = aam_softmax(cosines, labels)
    torch.testing.assert_close(loss, aam_softmax(cosines[[0, 2]], labels[[0, 2]]))
    loss.backward()
    assert cosines.grad is not None
    assert not cosines.grad[1].any()
    assert aam_softmax_per_clip(cosines, labels)[1].item() == 0.0
    assert aam_softmax(cosines, torch.full((3,), -1)).item() == 0.0
    torch.testing.assert_close(aam_logits(cosines, labels)[1], 32 * cosines[1])


def test_what_is_no_cosine_no_label_or_no_margin_is_refused() -> None:
    cosines, labels = torch.zeros(2, 3), torch.tensor([0, 2])
    with pytest.raises(InvalidValueError, match="largest cosine is 32; give cosines"):
        aam_softmax(cosines + 32, labels)
    with pytest.raises(InvalidValueError, match="labels run from 0 to 3"):
        aam_softmax(cosines, torch.tensor([0, 3]))
    with pytest.raises(InvalidValueError, match=r"margin 1\.6 must be from 0 to below pi / 2"):
        aam_softmax(cosines, labels, margin=1.6)
    with pytest.raises(InvalidValueError, match="scale 0 must be above 0"):
        aam_softmax(cosines, labels, scale=0.0)
    with pytest.raises(InvalidValueError, match="margin 2 must be from 0 to below 2"):
        margin_alignment(cosines, cosines, margin=2.0)


def test_half_precision_is_computed_in_full() -> None:
    cosines, labels = cosines_of(2, 4).bfloat16(), torch.tensor([0, 1])
    value = aam_softmax(cosines, labels)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, aam_softmax(cosines.float(), labels))
    assert margin_alignment(cosines, cosines).dtype == torch.float32


def test_margin_alignment_is_the_cosine_distance_beyond_its_margin() -> None:
    # Angles of 0, 60 and 180 degrees: distances 0, 0.5 and 2.
    student = torch.tensor([[2.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    teacher = torch.tensor([[1.0, 0.0], [0.5, math.sqrt(0.75)], [-3.0, 0.0]])
    per_clip = margin_alignment_per_clip(student, teacher, 0.2)
    torch.testing.assert_close(per_clip, torch.tensor([0.0, 0.3, 1.8]))
    assert margin_alignment(student, teacher, 0.2).item() == pytest.approx(0.7)
    torch.testing.assert_close(
        margin_alignment_per_clip(student, teacher, 0.0), cosine_distance(student, teacher)
    )


def test_inside_the_margin_nothing_pulls() -> None:
    student = torch.tensor([[1.0, 0.1], [1.0, 3.0]], requires_grad=True)
    margin_alignment(student, torch.tensor([[1.0, 0.0], [1.0, 0.0]]), 0.2).backward()
    assert student.grad is not None
    assert not student.grad[0].any()
    assert student.grad[1].all()


def test_margin_alignment_of_equal_or_empty_embeddings_has_a_finite_gradient() -> None:
    teacher = torch.tensor([[1.0, 2.0], [1.0, 2.0]])
    student = torch.tensor([[1.0, 2.0], [0.0, 0.0]], requires_grad=True)
    margin_alignment(student, teacher, 0.0).backward()
    assert student.grad is not None
    assert student.grad.abs().max() < 1e-6


def test_gradients_of_margin_alignment_agree_with_differences() -> None:
    student, teacher = cosines_of(2, 3, 4).unbind()
    assert gradcheck(margin_alignment, (student.requires_grad_(), teacher.requires_grad_(), 0.1))
