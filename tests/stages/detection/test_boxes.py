from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from avkd.errors import InvalidValueError
from avkd.stages.detection.boxes import (
    BoxTargets,
    paired_iou,
    pairwise_iou,
    size_iou,
    suppress,
    to_centres,
    to_corners,
)


def boxes_of(seed: int, total: int) -> Tensor:
    draws = torch.rand(total, 2, 2, generator=torch.Generator().manual_seed(seed))
    return torch.cat([draws.amin(dim=1), draws.amax(dim=1)], dim=1)


def said(
    boxes: list[tuple[float, ...]],
    scores: list[float],
    *,
    classes: list[int] | None = None,
    row: list[int] | None = None,
    step: list[int] | None = None,
) -> BoxTargets:
    zeros = [0] * len(boxes)
    return BoxTargets(
        boxes=torch.tensor(boxes).view(-1, 4),
        scores=torch.tensor(scores),
        classes=torch.tensor(classes or zeros, dtype=torch.int64),
        row=torch.tensor(row or zeros, dtype=torch.int64),
        step=torch.tensor(step or zeros, dtype=torch.int64),
    )


def test_iou_worked_out_by_hand() -> None:
    left = torch.tensor([[0.0, 0.0, 0.4, 0.4]])
    right = torch.tensor([[0.2, 0.2, 0.6, 0.6], [0.4, 0.0, 0.8, 0.4], [0.1, 0.1, 0.3, 0.3]])
    expected = torch.tensor([[0.04 / 0.28, 0.0, 0.04 / 0.16]])
    torch.testing.assert_close(pairwise_iou(left, right), expected)
    torch.testing.assert_close(paired_iou(left, right), expected[0])


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000))
def test_both_forms_of_iou_agree_are_symmetric_and_one_of_a_box_with_itself(seed: int) -> None:
    left, right = boxes_of(seed, 5), boxes_of(seed + 1, 5)
    pairwise = pairwise_iou(left, right)
    torch.testing.assert_close(pairwise.diagonal(), paired_iou(left, right))
    torch.testing.assert_close(pairwise, pairwise_iou(right, left).T)
    torch.testing.assert_close(paired_iou(left, left), torch.ones(5))
    assert pairwise.min() >= 0
    assert pairwise.max() <= 1


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000))
def test_iou_of_sizes_is_that_of_boxes_about_one_centre(seed: int) -> None:
    sizes = 0.05 + 0.9 * torch.rand(7, 2, generator=torch.Generator().manual_seed(seed))
    centred = to_corners(torch.cat([torch.full((7, 2), 0.5), sizes], dim=1))
    torch.testing.assert_close(size_iou(sizes[:4], sizes), pairwise_iou(centred[:4], centred))


def test_boxes_without_area_share_nothing() -> None:
    point = torch.tensor([[0.3, 0.3, 0.3, 0.3]])
    assert pairwise_iou(point, point).item() == 0
    assert paired_iou(point, point).item() == 0
    assert size_iou(torch.zeros(1, 2), torch.zeros(1, 2)).item() == 0


def test_centres_and_corners_invert_each_other() -> None:
    boxes = boxes_of(3, 20)
    torch.testing.assert_close(to_corners(to_centres(boxes)), boxes)
    torch.testing.assert_close(
        to_centres(torch.tensor([[0.2, 0.4, 0.6, 0.5]])), torch.tensor([[0.4, 0.45, 0.4, 0.1]])
    )


NEAR = [(0.1, 0.1, 0.5, 0.5), (0.12, 0.1, 0.52, 0.5)]


def test_of_two_boxes_on_one_thing_the_surer_stays() -> None:
    kept = suppress(said([*NEAR, (0.6, 0.6, 0.9, 0.9)], [0.6, 0.8, 0.3]), 0.5, 10)
    assert kept.scores.tolist() == pytest.approx([0.8, 0.3])
    assert torch.equal(kept.boxes[0], torch.tensor(NEAR[1]))


@pytest.mark.parametrize("apart", ["classes", "row", "step"])
def test_boxes_of_another_class_clip_or_step_do_not_suppress(apart: str) -> None:
    assert len(suppress(said(NEAR, [0.6, 0.8]), 0.5, 10)) == 1
    assert len(suppress(said(NEAR, [0.6, 0.8], **{apart: [0, 1]}), 0.5, 10)) == 2  # type: ignore[arg-type]


@given(st.integers(0, 2**32 - 1), st.sampled_from([160, 1_000, 20_000]))
@settings(max_examples=50, deadline=None)
def test_what_stays_does_not_depend_on_the_place_in_the_batch(seed: int, row: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    corners = 0.5 + 0.01 * torch.rand(4, 2, generator=generator)
    sizes = 0.03 + 0.01 * torch.rand(4, 2, generator=generator)
    first = BoxTargets(
        boxes=torch.cat([corners, corners + sizes], dim=1),
        scores=torch.rand(4, generator=generator),
        classes=torch.zeros(4, dtype=torch.int64),
        row=torch.zeros(4, dtype=torch.int64),
        step=torch.zeros(4, dtype=torch.int64),
    )
    later = replace(first, row=torch.full((4,), row))
    torch.testing.assert_close(suppress(later, 0.5, 9).boxes, suppress(first, 0.5, 9).boxes)


def test_the_surest_of_each_step_come_first_and_no_more_than_wanted() -> None:
    places = [(0.1 * n, 0.0, 0.1 * n + 0.05, 0.1) for n in range(6)]
    kept = suppress(
        said(places, [0.2, 0.9, 0.5, 0.3, 0.8, 0.7], row=[1, 1, 1, 0, 0, 0], step=[0] * 6), 0.5, 2
    )
    assert kept.row.tolist() == [0, 0, 1, 1]
    assert kept.scores.tolist() == pytest.approx([0.8, 0.7, 0.9, 0.5])


def test_no_boxes_stay_no_boxes() -> None:
    assert len(suppress(said([], []), 0.5, 10)) == 0


def test_boxes_are_chosen_and_moved_with_all_that_belongs_to_them() -> None:
    three = said(
        [*NEAR, NEAR[0]], [0.1, 0.2, 0.3], classes=[4, 5, 6], row=[0, 1, 2], step=[7, 8, 9]
    )
    chosen = three.keep(torch.tensor([2, 0]))
    assert chosen.classes.tolist() == [6, 4]
    assert chosen.step.tolist() == [9, 7]
    assert len(three.keep(three.scores > 0.15)) == 2
    assert three.to("meta").boxes.device == torch.device("meta")


def test_columns_of_other_lengths_and_impossible_options_are_refused() -> None:
    with pytest.raises(InvalidValueError, match=r"give \(M, 4\) and four times \(M,\)"):
        said(NEAR, [0.5])
    with pytest.raises(InvalidValueError, match="iou_threshold 2 must be from 0 to 1"):
        suppress(said(NEAR, [0.5, 0.5]), 2.0, 10)
    with pytest.raises(InvalidValueError, match="max_boxes 0 must be 1 or more"):
        suppress(said(NEAR, [0.5, 0.5]), 0.5, 0)
