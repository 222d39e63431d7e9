"""Average precision as paper 3's released code computes it, for comparison with its tables.

Facts [S:MM-code]: boxes are in whole pixels of the model's square picture, IoU takes a box one
pixel wider and higher than its corners say, AP is the area under the raised precision at every
recall reached, the mean over IoU runs to 0.90, boxes count from the score 0.3 on, and frames
without a reference are left out, so that false alarms there are free. The code is run on one class;
classes are not told apart here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avkd.stages.metrics.boxes import MIN_SCORE, FrameBoxes, Matrix, RecordingBoxes

Vector = npt.NDArray[np.float64]
Hits = npt.NDArray[np.bool_]
Pixels = npt.NDArray[np.int64]

RELEASED_IOU_THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(9))
"""0.50 to 0.90: the code's range leaves 0.95 out [D]."""
RELEASED_PICTURE_SIZE = (768, 768)


@dataclass(frozen=True, kw_only=True)
class ReleasedDetectionScores:
    """Average precision, 0 to 1, with the released code's quirks; None without a reference."""

    ap: float | None
    """The mean over IoU thresholds 0.50 to 0.90."""
    ap50: float | None
    ap75: float | None
    num_frames: int
    """Those with a reference."""
    num_skipped_frames: int
    num_free_false_alarms: int
    """Predicted boxes of the skipped frames."""


def released_detection(
    recordings: Sequence[RecordingBoxes],
    *,
    picture_size: tuple[int, int] = RELEASED_PICTURE_SIZE,
    min_score: float = MIN_SCORE,
) -> ReleasedDetectionScores:
    """AP as released; ``picture_size`` is width and height in pixels, of which one is added."""
    frames = [pair for each in recordings for pair in each.pairs(min_score)]
    counted = [pair for pair in frames if len(pair[1])]
    skipped = [pair for pair in frames if not len(pair[1])]
    values = {
        threshold: _average_precision(counted, threshold, picture_size)
        for threshold in (RELEASED_IOU_THRESHOLDS if counted else ())
    }
    return ReleasedDetectionScores(
        ap=float(np.mean(list(values.values()))) if counted else None,
        ap50=values.get(0.5),
        ap75=values.get(0.75),
        num_frames=len(counted),
        num_skipped_frames=len(skipped),
        num_free_false_alarms=sum(len(predicted) for predicted, _ in skipped),
    )


def _average_precision(
    frames: Sequence[tuple[FrameBoxes, FrameBoxes]], threshold: float, size: tuple[int, int]
) -> float:
    hits = np.concatenate([_hits(*pair, threshold, size) for pair in frames])
    scores = np.concatenate([predicted.scores for predicted, _ in frames])
    num_reference = sum(len(reference) for _, reference in frames)
    return all_point_average_precision(scores, hits, num_reference)


def all_point_average_precision(
    scores: npt.NDArray[np.floating], hits: Hits, num_reference: int
) -> float:
    """The area under precision over recall, precision raised to the best of any higher recall."""
    found = np.cumsum(hits[np.argsort(-scores, kind="stable")], dtype=np.float64)
    precisions = found / np.arange(1, len(found) + 1)
    raised = np.maximum.accumulate(precisions[::-1])[::-1]
    steps = np.diff(found, prepend=0.0) / num_reference
    return float(steps @ raised)


def _hits(
    predicted: FrameBoxes, reference: FrameBoxes, threshold: float, size: tuple[int, int]
) -> Hits:
    """(n,): whether each box is the first, by score, on the reference box it overlaps most."""
    hits = np.zeros(len(predicted), dtype=np.bool_)
    iou = _pixel_iou(_pixels(predicted, size), _pixels(reference, size))
    found = set()
    for place in np.argsort(-predicted.scores, kind="stable").tolist():
        best = int(iou[place].argmax())
        if iou[place, best] >= threshold and best not in found:
            hits[place] = True
            found.add(best)
    return hits


def _pixels(frame: FrameBoxes, size: tuple[int, int]) -> Pixels:
    scaled = frame.boxes.astype(np.float64) * np.array([*size, *size])
    # Coordinates that are whole but for float32 rounding stay what they are.
    pixels: Pixels = np.floor(scaled + 1e-3).astype(np.int64)
    return pixels


def _pixel_iou(first: Pixels, second: Pixels) -> Matrix:
    one, other = first[:, None], second[None]
    low, high = np.maximum(one, other)[..., :2], np.minimum(one, other)[..., 2:]
    overlap = np.prod(np.maximum(high - low + 1, 0), axis=-1)
    areas = [np.prod(each[..., 2:] - each[..., :2] + 1, axis=-1) for each in (one, other)]
    return np.asarray(overlap / (areas[0] + areas[1] - overlap))
