import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from avkd.errors import InvalidValueError
from avkd.stages.detection.anchors import PAPER_3_ANCHORS
from avkd.stages.detection.boxes import BoxTargets
from avkd.stages.detection.grid import (
    GridTargets,
    count_head_channels,
    decode_grid,
    encode_boxes,
    split_head,
)

PUBLISHED = torch.tensor(PAPER_3_ANCHORS, dtype=torch.float64)


def targets_of(boxes: Tensor, scores: Tensor | None = None) -> BoxTargets:
    total = len(boxes)
    return BoxTargets(
        boxes=boxes,
        scores=torch.ones(total) if scores is None else scores,
        classes=torch.zeros(total, dtype=torch.int64),
        row=torch.zeros(total, dtype=torch.int64),
        step=torch.zeros(total, dtype=torch.int64),
    )


def head_that_says(
    targets: GridTargets,
    num_pictures: int,
    anchors: Tensor,
    num_classes: int,
    cells: tuple[int, int],
) -> Tensor:
    """A head with the targets written into it and nothing elsewhere."""
    channels = count_head_channels(len(anchors), num_classes)
    head = torch.full((num_pictures, channels, *cells), -40.0, dtype=torch.float64)
    values = head.view(num_pictures, len(anchors), -1, *cells)
    for place, offsets, number in zip(
        zip(*targets.place, strict=True), targets.offsets, targets.classes, strict=True
    ):
        picture, anchor, y, x = place
        values[picture, anchor, :2, y, x] = offsets[:2].clamp(1e-12, 1 - 1e-12).logit()
        values[picture, anchor, 2:4, y, x] = offsets[2:]
        values[picture, anchor, 4, y, x] = 40.0
        values[picture, anchor, 5 + int(number), y, x] = 40.0
    return head


def test_five_anchors_and_twenty_classes_are_the_125_channels_of_the_paper() -> None:
    assert count_head_channels(5, 20) == 125
    values = split_head(torch.zeros(2, 125, 13, 13), 5)
    assert values.box.shape == (2, 5, 13, 13, 4)
    assert values.objectness.shape == (2, 5, 13, 13)
    assert values.classes.shape == (2, 5, 13, 13, 20)
    assert values.objectness[0].numel() == 845


def test_channels_are_by_anchor_then_value() -> None:
    head = torch.arange(2 * 7.0).view(1, 14, 1, 1)
    values = split_head(head, 2)
    assert values.box[0, 1, 0, 0].tolist() == [7, 8, 9, 10]
    assert values.objectness[0, :, 0, 0].tolist() == [4, 11]
    assert values.classes[0, 1, 0, 0].tolist() == [12, 13]


def test_a_head_of_zeros_says_anchors_in_the_middle_of_cells() -> None:
    decoded = decode_grid(torch.zeros(1, 125, 13, 13, dtype=torch.float64), PUBLISHED)
    x, y = 4.5 / 13, 2.5 / 13
    width, height = 3.19275 / 13, 4.00944 / 13
    expected = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
    assert decoded.boxes[0, 1, 2, 4].tolist() == pytest.approx(expected)
    assert (decoded.objectness == 0.5).all()
    torch.testing.assert_close(decoded.classes, torch.full_like(decoded.classes, 1 / 20))


def test_decoding_worked_out_by_hand_on_a_grid_that_is_no_square() -> None:
    head = torch.zeros(1, 6, 2, 4, dtype=torch.float64)
    head[0, :, 1, 3] = torch.tensor([math.log(3), 0.0, math.log(2), -math.log(2), 1.0, 0.0])
    decoded = decode_grid(head, torch.tensor([[1.0, 1.0]], dtype=torch.float64))
    # sigmoid(log 3) = 3/4: the centre is at 3.75 of 4 cells, 1.5 of 2; the size 2 by 1/2 cells.
    expected = [2.75 / 4, 1.25 / 2, 4.75 / 4, 1.75 / 2]
    assert decoded.boxes[0, 0, 1, 3].tolist() == pytest.approx(expected)
    assert decoded.objectness[0, 0, 1, 3].item() == pytest.approx(1 / (1 + math.exp(-1)))
    assert decoded.classes[0, 0, 1, 3].tolist() == [1.0]


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.sampled_from([(13, 13), (1, 1), (7, 20)]))
def test_boxes_survive_the_way_through_the_grid(seed: int, cells: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(seed)
    draws = torch.rand(8, 2, 2, generator=generator, dtype=torch.float64)
    boxes = torch.cat([draws.amin(dim=1), draws.amax(dim=1) + 1e-3], dim=1)
    picture = torch.randint(0, 3, (8,), generator=generator)
    scores = torch.rand(8, generator=generator)
    targets = encode_boxes(targets_of(boxes, scores), picture, PUBLISHED, *cells)
    decoded = decode_grid(head_that_says(targets, 3, PUBLISHED, 2, cells), PUBLISHED)
    torch.testing.assert_close(decoded.boxes[targets.place], targets.boxes, atol=1e-9, rtol=0)
    says = (decoded.objectness > 0.5).nonzero()
    assert len(says) == len(targets.boxes)
    assert len({tuple(place) for place in says.tolist()}) == len(says)
    # Whoever lost its place lost it to a surer box of the same picture.
    for box, number, score in zip(boxes, picture, scores, strict=True):
        if not (targets.boxes == box).all(dim=1).any():
            rivals = targets.scores[targets.picture == number]
            assert (rivals > score).any()


def test_a_box_goes_to_the_cell_of_its_centre_and_the_anchor_of_its_size() -> None:
    width, height = (9.47112 / 13, 4.84053 / 13)
    x, y = 6.25 / 13, 9.75 / 13
    box = torch.tensor([[x - width / 2, y - height / 2, x + width / 2, y + height / 2]])
    targets = encode_boxes(targets_of(box.double()), torch.tensor([2]), PUBLISHED, 13, 13)
    assert [int(each) for each in targets.place] == [2, 3, 9, 6]
    assert targets.offsets[0].tolist() == pytest.approx([0.25, 0.75, 0.0, 0.0], abs=1e-6)


def test_of_two_boxes_at_one_place_the_surer_has_it_then_the_first() -> None:
    boxes = torch.tensor([[0.1, 0.1, 0.3, 0.3], [0.11, 0.1, 0.31, 0.3], [0.1, 0.11, 0.3, 0.31]])
    picture = torch.zeros(3, dtype=torch.int64)
    for scores, winner in (((0.5, 0.9, 0.7), 1), ((0.9, 0.9, 0.7), 0)):
        targets = encode_boxes(targets_of(boxes, torch.tensor(scores)), picture, PUBLISHED, 5, 5)
        assert torch.equal(targets.boxes, boxes[winner : winner + 1])


def test_boxes_on_the_far_border_are_in_the_last_cell_and_those_without_area_nowhere() -> None:
    boxes = torch.tensor([[0.9, 0.9, 1.1, 1.1], [0.5, 0.5, 0.5, 0.7]])
    targets = encode_boxes(targets_of(boxes), torch.zeros(2, dtype=torch.int64), PUBLISHED, 13, 13)
    assert (targets.cell_x.tolist(), targets.cell_y.tolist()) == ([12], [12])
    assert targets.offsets[0, :2].tolist() == [1.0, 1.0]


def test_extreme_heads_stay_finite() -> None:
    decoded = decode_grid(torch.full((1, 125, 13, 13), 1e4), PUBLISHED)
    assert all(part.isfinite().all() for part in decoded)


def test_a_head_for_other_anchors_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="a head of 125 channels is not 4 anchors"):
        split_head(torch.zeros(1, 125, 13, 13), 4)
    with pytest.raises(InvalidValueError, match="times 5 and one or more classes"):
        split_head(torch.zeros(1, 25, 13, 13), 5)
