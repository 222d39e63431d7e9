import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from avkd.errors import InvalidValueError
from avkd.stages.detection import anchor_decoding
from avkd.stages.detection.anchor_decoding import decode_anchors
from avkd.stages.detection.boxes import BoxTargets
from avkd.stages.detection.matching import decode_offsets, encode_offsets

ANCHORS = torch.tensor([[0.1, 0.1, 0.3, 0.3], [0.5, 0.5, 0.9, 0.7], [0.8, 0.8, 1.2, 1.4]])


def decode(logits: Tensor, offsets: Tensor | None = None, **options: float) -> BoxTargets:
    """Of pictures with ``ANCHORS``: logits (N, 3, K), no offsets unless given."""
    pictures = torch.arange(len(logits))
    offsets = torch.zeros(len(logits), 3, 4) if offsets is None else offsets
    return decode_anchors(logits, offsets, ANCHORS, pictures, pictures + 10, **options)  # type: ignore[arg-type]


def silent(pictures: int = 2, num_classes: int = 2) -> Tensor:
    return torch.full((pictures, 3, num_classes), -20.0)


def test_boxes_have_the_score_class_row_and_step_of_what_was_said() -> None:
    logits = silent()
    logits[1, 0, 1], logits[0, 1, 0] = 2.0, 0.0
    found = decode(logits)
    torch.testing.assert_close(found.boxes, ANCHORS[[1, 0]])
    assert found.scores.tolist() == pytest.approx([0.5, 1 / (1 + math.exp(-2))])
    assert found.classes.tolist() == [0, 1]
    assert found.row.tolist() == [0, 1]
    assert found.step.tolist() == [10, 11]
    assert found.classes.dtype == found.row.dtype == torch.int64


def test_offsets_that_encode_a_box_decode_to_it() -> None:
    wanted = torch.tensor([[0.2, 0.3, 0.6, 0.4], [0.5, 0.1, 0.55, 0.9], [0.7, 0.75, 1.0, 1.0]])
    found = decode(torch.zeros(1, 3, 1), encode_offsets(wanted, ANCHORS)[None])
    torch.testing.assert_close(found.boxes, wanted)


def test_an_anchor_may_give_a_box_of_several_classes() -> None:
    logits = silent(1)
    logits[0, 0] = torch.tensor([1.0, 2.0])
    assert decode(logits).classes.tolist() == [1, 0]


def test_boxes_end_at_the_border_and_those_beyond_it_are_left_out() -> None:
    logits = silent(1, 1)
    logits[0, 2] = 3.0
    torch.testing.assert_close(decode(logits).boxes, torch.tensor([[0.8, 0.8, 1.0, 1.0]]))
    offsets = torch.zeros(1, 3, 4)
    offsets[0, 2, 1] = 1.0
    assert len(decode(logits, offsets)) == 0


def test_log_sizes_do_not_overflow() -> None:
    offsets = torch.zeros(1, 3, 4)
    offsets[0, 0, 2:], offsets[0, 1, 2:] = 1e6, math.inf
    offsets[0, 2, 2:] = -1e6
    logits = torch.tensor([[[3.0], [2.0], [1.0]]])
    whole = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
    found = decode(logits, offsets, iou_threshold=1.0)
    torch.testing.assert_close(found.boxes, whole.repeat(2, 1))
    # Endless, yet so far away that it does not reach the picture.
    offsets[0, 0, 0] = 1e6
    found = decode(logits, offsets, iou_threshold=1.0)
    torch.testing.assert_close(found.boxes, whole)


def test_what_is_no_number_is_no_box() -> None:
    offsets = torch.zeros(1, 3, 4)
    offsets[0, 0, 0], offsets[0, 1, 3] = math.nan, math.nan
    logits = torch.ones(1, 3, 1)
    torch.testing.assert_close(decode(logits, offsets).boxes, ANCHORS[2:].clamp(max=1))
    logits[0, 2] = math.nan
    assert len(decode(logits, offsets)) == 0


def test_thresholds_and_counts_bound_what_is_said() -> None:
    logits = torch.tensor([[[0.9], [0.5], [0.2]]]).logit()
    assert decode(logits, score_threshold=0.4).scores.tolist() == pytest.approx([0.9, 0.5])
    assert decode(logits, max_boxes=1).scores.tolist() == pytest.approx([0.9])
    assert len(decode(logits, score_threshold=0.95)) == 0


def draw(seed: int, pictures: int, num_anchors: int, num_classes: int) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(num_anchors, 2, 2, generator=generator)
    anchors = torch.cat([corners.amin(dim=1), corners.amax(dim=1) + 0.05], dim=1)
    logits = torch.randn(pictures, num_anchors, num_classes, generator=generator)
    return logits, 0.5 * torch.randn(pictures, num_anchors, 4, generator=generator), anchors


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000))
def test_pictures_together_give_what_one_after_the_other_give(seed: int) -> None:
    from torchvision.ops import nms

    logits, offsets, anchors = draw(seed, 3, 40, 2)
    numbers = torch.arange(3)
    found = decode_anchors(logits, offsets, anchors, numbers, numbers, score_threshold=0.5)
    for picture in range(3):
        boxes = decode_offsets(offsets[picture], anchors).clamp(0, 1)
        own = found.keep(found.row == picture)
        for number in range(2):
            scores = logits[picture, :, number].sigmoid()
            sure = ((scores >= 0.5) & (boxes[:, 2:] > boxes[:, :2]).all(dim=1)).nonzero()[:, 0]
            kept = sure[nms(boxes[sure], scores[sure], 0.5)]
            of_class = own.keep(own.classes == number)
            torch.testing.assert_close(of_class.boxes, boxes[kept])
            torch.testing.assert_close(of_class.scores, scores[kept])


def test_of_too_many_the_surest_of_each_picture_are_compared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    logits, offsets, anchors = draw(0, 3, 400, 2)
    logits[1] -= 10
    logits[2, :7, 0] = math.nan
    numbers = torch.arange(3)

    def surest() -> BoxTargets:
        return decode_anchors(logits, offsets, anchors, numbers, numbers, max_boxes=5)

    everything = surest()
    monkeypatch.setattr(anchor_decoding, "MAX_CANDIDATES", 100)
    assert torch.equal(surest().boxes, everything.boxes)
    monkeypatch.setattr(anchor_decoding, "MAX_CANDIDATES", 3)
    fewer = decode_anchors(logits, offsets, anchors, numbers, numbers, iou_threshold=1.0)
    assert torch.bincount(fewer.row, minlength=3).tolist() == [3, 0, 3]
    # None of equals is preferred.
    tied = decode_anchors(
        torch.zeros_like(logits), offsets, anchors, numbers, numbers, iou_threshold=1.0
    )
    assert len(tied) == 300


def test_half_precision_and_gradients_are_no_matter() -> None:
    logits = silent().half().requires_grad_()
    with torch.no_grad():
        logits[0, 0, 0] = 3.0
    found = decode(logits, torch.zeros(2, 3, 4).half())
    assert found.boxes.dtype == found.scores.dtype == torch.float32
    assert not found.scores.requires_grad


def test_no_pictures_have_no_boxes() -> None:
    assert len(decode(silent(0))) == 0
    assert len(decode(silent())) == 0


def test_shapes_that_do_not_fit_and_impossible_options_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="score_threshold 2 must be from 0 to 1"):
        decode(silent(), score_threshold=2.0)
    with pytest.raises(InvalidValueError, match="iou_threshold 2 must be from 0 to 1"):
        decode(silent(), iou_threshold=2.0)
    with pytest.raises(InvalidValueError, match=r"class logits of shape \(2, 2, 2\) need offsets"):
        decode(silent()[:, :2])
