import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck

from avkd.errors import InvalidValueError
from avkd.stages.losses.ranking import map_distances, map_ranking, map_ranking_per_picture

AXES = torch.eye(3)[:, :, None, None]
"""Maps of three channels in one cell, at right angles to each other: distance root of 2."""


def maps(seed: int = 0, total: int = 4, *, double: bool = False) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    student, teacher = torch.randn(2, total, 3, 2, 2, generator=generator)
    return (student.double(), teacher.double()) if double else (student, teacher)


def test_maps_that_meet_their_own_cost_nothing_beyond_the_margin() -> None:
    student = AXES.clone().requires_grad_()
    loss = map_ranking(student, AXES, margin=math.sqrt(2) - 0.01)
    loss.backward()
    assert loss.item() == 0
    assert student.grad is not None
    assert not student.grad.any()
    assert map_ranking(AXES, AXES, margin=math.sqrt(2) + 0.25).item() == pytest.approx(0.25)


def test_a_student_that_tells_nothing_costs_the_margin() -> None:
    same = torch.ones(5, 3, 2, 2)
    assert map_ranking(torch.randn(5, 3, 2, 2), same, margin=0.2).item() == pytest.approx(0.2)


def test_value_worked_out_by_hand() -> None:
    # Each sound has the map of the next picture: own distance root 2, one other 0, one root 2.
    turned = AXES[[1, 2, 0]]
    per_picture = map_ranking_per_picture(turned, AXES, margin=0.2)
    expected = ((0.2 + math.sqrt(2)) + 0.2) / 2
    torch.testing.assert_close(per_picture, torch.full((3,), expected))
    assert map_ranking(turned, AXES, margin=0.2).item() == pytest.approx(expected)


def test_the_sum_of_the_paper_is_the_mean_times_the_number_of_pairs() -> None:
    student, teacher = maps()
    units = [torch.nn.functional.normalize(each.flatten(1), dim=1) for each in (student, teacher)]
    total = 0.0
    for i in range(4):
        for j in range(4):
            if i != j:
                own, other = ((units[0][i] - units[1][k]).norm().item() for k in (i, j))
                total += max(0.0, 0.2 + own - other)
    assert 4 * 3 * map_ranking(student, teacher).item() == pytest.approx(total, rel=1e-5)


def test_the_printed_sign_drives_each_sound_from_its_own_picture() -> None:
    student = (AXES + 0.3 * AXES[[1, 2, 0]]).requires_grad_()
    printed = map_ranking(student, AXES, margin=0.2, form="as_printed")
    right = map_ranking(student, AXES, margin=2.0)
    (away,) = torch.autograd.grad(printed, student)
    (towards,) = torch.autograd.grad(right, student)
    # Against the gradient the loss falls: one moves to the own axis, the other from it.
    assert all(towards[i, i] < 0 < away[i, i] for i in range(3))
    assert printed > 0
    meets = map_ranking(AXES, AXES, margin=0.2, form="as_printed")
    assert meets.item() == pytest.approx(0.2 + math.sqrt(2))


def test_both_signs_together_cancel_within_the_hinge() -> None:
    student, teacher = maps()
    both = [map_ranking(student, teacher, 2.0, form) for form in ("as_paper", "as_printed")]  # type: ignore[arg-type]
    assert (both[0] + both[1]).item() == pytest.approx(4.0, rel=1e-5)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.floats(0.1, 50.0))
def test_lengths_do_not_matter_and_order_only_together(seed: int, scale: float) -> None:
    student, teacher = maps(seed)
    per_picture = map_ranking_per_picture(student, teacher)
    scaled = map_ranking_per_picture(scale * student, teacher / scale)
    torch.testing.assert_close(scaled, per_picture, atol=1e-4, rtol=1e-4)
    order = torch.tensor([3, 1, 0, 2])
    torch.testing.assert_close(
        map_ranking_per_picture(student[order], teacher[order]), per_picture[order]
    )
    assert per_picture.min() >= 0


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000))
def test_distances_are_those_of_directions(seed: int) -> None:
    student, teacher = maps(seed, double=True)
    units = [
        each.flatten(1) / each.flatten(1).norm(dim=1, keepdim=True) for each in (student, teacher)
    ]
    torch.testing.assert_close(map_distances(student, teacher), torch.cdist(*units))


@pytest.mark.parametrize("form", ["as_paper", "as_printed"])
def test_gradients_agree_with_differences(form: str) -> None:
    student, teacher = maps(double=True)
    assert gradcheck(map_ranking, (student.requires_grad_(), teacher, 0.7, form))


def test_equal_and_empty_maps_have_finite_gradients() -> None:
    for start in (torch.zeros(3, 3, 1, 1), AXES.clone()):
        student = start.requires_grad_()
        map_ranking(student, AXES, margin=2.0).backward()
        assert student.grad is not None
        assert student.grad.isfinite().all()


def test_a_map_without_length_is_at_distance_one_from_all() -> None:
    torch.testing.assert_close(map_distances(torch.zeros_like(AXES), AXES), torch.ones(3, 3))


def test_a_picture_alone_has_nothing_to_rank() -> None:
    student, teacher = maps(total=1)
    assert map_ranking(student.requires_grad_(), teacher).item() == 0


def test_half_precision_is_computed_in_full() -> None:
    student, teacher = (each.half() for each in maps())
    value = map_ranking(student, teacher)
    assert value.dtype == torch.float32
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(map_ranking(student.float(), teacher.float()), value)


def test_other_maps_margins_and_forms_are_refused() -> None:
    student, teacher = maps()
    with pytest.raises(InvalidValueError, match="build the student for the teacher's map"):
        map_ranking(student, teacher[:, :2])
    with pytest.raises(InvalidValueError, match="margin -1 must be 0 or more"):
        map_ranking(student, teacher, margin=-1.0)
    with pytest.raises(InvalidValueError, match="form 'printed' is not known"):
        map_ranking(student, teacher, form="printed")  # type: ignore[arg-type]
