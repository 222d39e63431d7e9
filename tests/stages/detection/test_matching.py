import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avkd.errors import InvalidValueError
from avkd.stages.detection.matching import (
    IGNORED,
    NEGATIVE,
    decode_offsets,
    encode_offsets,
    match_anchors,
)


def test_the_thresholds_of_the_paper_decide_between_box_nothing_and_neither() -> None:
    box = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
    # Inside the box, an anchor's IoU is its area.
    anchors = torch.tensor([[0.0, 0.0, 1.0, area] for area in (0.3, 0.39, 0.41, 0.49, 0.51, 1.0)])
    assert match_anchors(anchors, box).tolist() == [
        NEGATIVE,
        NEGATIVE,
        IGNORED,
        IGNORED,
        0,
        0,
    ]


def test_an_anchor_takes_the_box_that_it_shares_most_with() -> None:
    boxes = torch.tensor([[0.0, 0.0, 0.6, 1.0], [0.0, 0.0, 1.0, 1.0]])
    anchors = torch.tensor([[0.0, 0.0, 0.9, 1.0], [0.0, 0.0, 0.62, 1.0]])
    assert match_anchors(anchors, boxes).tolist() == [1, 0]


def test_without_boxes_everything_is_background() -> None:
    anchors = torch.rand(5, 4)
    assert match_anchors(anchors, torch.zeros(0, 4)).tolist() == [NEGATIVE] * 5


def test_offsets_worked_out_by_hand_are_y_before_x() -> None:
    anchor = torch.tensor([[0.4, 0.4, 0.6, 0.8]])
    box = torch.tensor([[0.5, 0.6, 0.7, 1.0]])
    expected = torch.tensor([[0.2 / 0.4, 0.1 / 0.2, 0.0, 0.0]])
    torch.testing.assert_close(encode_offsets(box, anchor), expected, atol=1e-6, rtol=0)
    larger = torch.tensor([[0.3, 0.5, 0.7, 0.7]])
    expected = torch.tensor([[0.0, 0.0, 0.2 / 0.4, 0.4 / 0.2]])
    expected[:, 2:] = expected[:, 2:].log()
    torch.testing.assert_close(encode_offsets(larger, anchor), expected, atol=1e-6, rtol=0)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000))
def test_boxes_survive_the_way_through_offsets(seed: int) -> None:
    draws = torch.rand(2, 6, 2, 2, generator=torch.Generator().manual_seed(seed)).double()
    boxes, anchors = torch.cat([draws.amin(dim=2), draws.amax(dim=2) + 0.01], dim=2)
    torch.testing.assert_close(decode_offsets(encode_offsets(boxes, anchors), anchors), boxes)


def test_a_box_without_area_counts_as_the_smallest_there_may_be() -> None:
    anchor = torch.tensor([[0.0, 0.0, 0.2, 0.2]])
    point = torch.tensor([[0.1, 0.1, 0.1, 0.1]])
    assert encode_offsets(point, anchor).isfinite().all()
    pixel = encode_offsets(point, anchor, smallest=0.02)
    torch.testing.assert_close(pixel[0, 2:].exp(), torch.tensor([0.1, 0.1]))


def test_thresholds_out_of_order_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="must be at most positive_from"):
        match_anchors(torch.zeros(1, 4), torch.zeros(1, 4), negative_below=0.6)
