import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.stages.losses.contrastive import info_nce
from avkd.stages.losses.mmd import mmd
from avkd.stages.losses.relational import (
    RELATIONAL_DISTANCES,
    pkd,
    relational_distance,
    rkd,
    rkd_angle,
    rkd_distance,
    similarity_row_kl,
)

Loss = Callable[[Tensor, Tensor], Tensor]
LOSSES: tuple[Loss, ...] = (rkd_distance, rkd_angle, similarity_row_kl, pkd)


def batches(*shape: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    student, teacher = torch.randn(2, *shape, generator=torch.Generator().manual_seed(seed))
    return student.double(), teacher.double()


def rotation(size: int, seed: int) -> Tensor:
    square = torch.randn(size, size, generator=torch.Generator().manual_seed(seed)).double()
    orthogonal, _ = torch.linalg.qr(square)
    return orthogonal


@pytest.mark.parametrize("loss", LOSSES)
def test_equal_embeddings_cost_nothing_and_others_something(loss: Loss) -> None:
    student, teacher = batches(6, 4)
    assert loss(teacher, teacher).abs().item() < 1e-9
    assert loss(student, teacher).item() > 1e-3


@settings(deadline=None, max_examples=30)
@given(st.floats(0.01, 100.0), st.floats(-10.0, 10.0), st.integers(0, 1000))
def test_rkd_is_blind_to_scale_shift_and_rotation(scale: float, shift: float, seed: int) -> None:
    student, teacher = batches(5, 4, seed=seed)
    moved = scale * student @ rotation(4, seed) + shift
    for loss in (rkd_distance, rkd_angle):
        torch.testing.assert_close(loss(moved, teacher), loss(student, teacher))
        assert loss(scale * teacher @ rotation(4, seed) + shift, teacher).abs().item() < 1e-9


def test_rkd_distance_worked_out_by_hand() -> None:
    # Distances 1, 1, 2 over their mean 4/3, and 1, 2, 3 over 2: 3/4, 3/4, 3/2 and 1/2, 1, 3/2.
    student = torch.tensor([[0.0], [1.0], [-1.0]])
    teacher = torch.tensor([[0.0], [1.0], [-2.0]])
    expected = (0.5 * 0.25**2 + 0.5 * 0.25**2 + 0) / 3
    assert rkd_distance(student, teacher).item() == pytest.approx(expected)


def test_rkd_angle_worked_out_by_hand() -> None:
    line = torch.tensor([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]])
    right = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]])
    # Cosines at the three vertices: on the line 1, -1, 1; of the right angle r, 0, r for r^2 = 1/2.
    # The Huber loss is half the square up to 1.
    root = math.sqrt(0.5)
    expected = (0.5 * (1 - root) ** 2 + 0.5 + 0.5 * (1 - root) ** 2) / 3
    assert rkd_angle(line, right).item() == pytest.approx(expected, rel=1e-5)


def test_rkd_distance_sees_the_scale_of_one_axis_and_angles_see_a_bend() -> None:
    student, teacher = batches(6, 3)
    stretched = teacher * torch.tensor([5.0, 1.0, 1.0])
    assert rkd_distance(stretched, teacher).item() > 0.01
    assert rkd_angle(stretched, teacher).item() > 0.001
    weighted = rkd(student, teacher, 0.5, 3.0)
    expected = 0.5 * rkd_distance(student, teacher) + 3 * rkd_angle(student, teacher)
    torch.testing.assert_close(weighted, expected)
    torch.testing.assert_close(rkd(student, teacher, 1.0, 0.0), rkd_distance(student, teacher))


@pytest.mark.parametrize("loss", [rkd_distance, rkd_angle, similarity_row_kl])
def test_the_two_sides_may_have_different_widths(loss: Loss) -> None:
    student, _ = batches(5, 3)
    widened = torch.cat([student, torch.zeros(5, 2)], dim=-1)
    assert loss(student, widened).abs().item() < 1e-9


def test_similarity_rows_worked_out_by_hand() -> None:
    student = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    teacher = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    # The teacher's rows are even. The student's cosines to others: (0, -1), (0, 0), (-1, 0).
    log_z = math.log(1 + math.exp(-1))
    uneven = 0.5 * (math.log(0.5) + log_z) + 0.5 * (math.log(0.5) + 1 + log_z)
    value = similarity_row_kl(student, teacher, temperature=1.0)
    assert value.item() == pytest.approx(2 * uneven / 3, rel=1e-5)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000))
def test_similarity_rows_are_blind_to_rotation_and_lengths(seed: int) -> None:
    student, teacher = batches(5, 4, seed=seed)
    lengths = torch.rand(5, 1, generator=torch.Generator().manual_seed(seed)).double() + 0.1
    moved = lengths * student @ rotation(4, seed)
    torch.testing.assert_close(
        similarity_row_kl(moved, teacher), similarity_row_kl(student, teacher)
    )
    assert similarity_row_kl(student, teacher).item() >= 0


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000))
def test_pkd_is_blind_to_scale_and_shift_of_every_feature(seed: int) -> None:
    student, teacher = batches(6, 4, seed=seed)
    scales, shifts = torch.rand(2, 4, generator=torch.Generator().manual_seed(seed)).double() + 0.1
    torch.testing.assert_close(pkd(scales * student + shifts, teacher), pkd(student, teacher))
    assert 0 <= pkd(student, teacher).item() <= 2
    torch.testing.assert_close(pkd(-teacher, teacher), torch.tensor(2.0).double())


def test_pkd_is_half_the_squared_difference_of_standardised_features() -> None:
    student, teacher = batches(6, 4)

    def standardise(batch: Tensor) -> Tensor:
        return (batch - batch.mean(0)) / batch.std(0, correction=0)

    expected = 0.5 * (standardise(student) - standardise(teacher)).square().mean()
    torch.testing.assert_close(pkd(student, teacher), expected)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("kind", ["all equal", "all zero", "two equal", "as the teacher"])
def test_gradients_are_finite_where_points_meet(loss: Loss, kind: str) -> None:
    student, teacher = (batch.float() for batch in batches(5, 3))
    if kind == "two equal":
        student[1] = student[0]
    else:
        student = {
            "all equal": torch.full((5, 3), 0.1),
            "all zero": torch.zeros(5, 3),
            "as the teacher": teacher.clone(),
        }[kind]
    student.requires_grad_()
    value = loss(student, teacher)
    value.backward()
    assert value.isfinite()
    assert student.grad is not None
    assert student.grad.isfinite().all()
    assert student.grad.abs().max() < 100


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_agree_with_differences(loss: Loss) -> None:
    student, teacher = batches(4, 3)
    assert gradcheck(loss, (student.requires_grad_(), teacher.requires_grad_()))


@pytest.mark.parametrize("loss", LOSSES)
def test_a_diverged_student_is_not_hidden(loss: Loss) -> None:
    student, teacher = batches(4, 3)
    student[0, 0] = torch.nan
    assert loss(student, teacher).isnan()


@pytest.mark.parametrize("loss", LOSSES)
def test_half_precision_is_computed_in_full(loss: Loss) -> None:
    student, teacher = (batch.half() for batch in batches(6, 16))
    value = loss(student, teacher)
    assert value.dtype == torch.float32
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(loss(student.float(), teacher.float()), value)


@pytest.mark.parametrize("loss", LOSSES)
def test_batches_of_one_and_two_are_refused_with_the_smallest(loss: Loss) -> None:
    for num_clips in (1, 2):
        with pytest.raises(InvalidValueError, match=f"got {num_clips}; the smallest batch is 3"):
            loss(torch.zeros(num_clips, 3), torch.zeros(num_clips, 3))


@pytest.mark.parametrize(
    ("name", "loss"),
    [
        ("mmd", mmd),
        ("similarity", similarity_row_kl),
        ("rkd", rkd),
        ("info_nce", info_nce),
        ("pkd", pkd),
    ],
)
def test_one_door_opens_to_every_loss(name: str, loss: Loss) -> None:
    student, teacher = batches(5, 3)
    torch.testing.assert_close(relational_distance(name, student, teacher), loss(student, teacher))
    assert name in RELATIONAL_DISTANCES
    with pytest.raises(InvalidValueError, match="the smallest batch is"):
        relational_distance(name, student[:1], teacher[:1])


def test_the_door_hands_on_options_and_refuses_others() -> None:
    student, teacher = batches(5, 3)
    torch.testing.assert_close(
        relational_distance("info_nce", student, teacher, temperature=0.5),
        info_nce(student, teacher, 0.5),
    )
    with pytest.raises(InvalidValueError, match="'rkd' has no option temperature; it takes: dist"):
        relational_distance("rkd", student, teacher, temperature=0.5)
    with pytest.raises(UnknownNameError, match="unknown relational distance 'infonce'; did you"):
        relational_distance("infonce", student, teacher)
