"""How far the centres of predicted boxes lie from those of the reference: CDx and CDy.

The metric is Gan et al.'s (ICCV 2019) [R]; paper 3 gives it in percent of the picture. Boxes are
matched one to one so that the summed IoU is largest, and only overlapping boxes are a match, so a
distance means little without the match rate beside it. ``cd_released`` is what paper 3's code
computes under the name [S:MM-code].
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from avkd.stages.metrics.boxes import (
    MIN_SCORE,
    Boxes,
    FrameBoxes,
    Matrix,
    RecordingBoxes,
    Reference,
    box_iou,
    match_boxes,
)


@dataclass(frozen=True, kw_only=True)
class CenterDistance:
    """Mean distances of matched centres, in percent of the picture's width and height."""

    reference: Reference
    cd_x_percent: float | None
    """None where nothing matches."""
    cd_y_percent: float | None
    match_rate: float | None
    """Matched boxes over boxes of the reference; None where it has none."""
    num_matched: int
    num_reference_boxes: int
    num_predicted_boxes: int
    """From ``min_score`` on."""
    min_score: float


@dataclass(frozen=True, kw_only=True)
class ReleasedCenterDistance:
    """What paper 3's code calls center distance: differences of widths and heights, in percent."""

    cd_x_percent: float | None
    """None where no frame has a reference."""
    cd_y_percent: float | None
    num_frames: int
    """Those with a reference; others are left out."""


def center_distance(
    recordings: Sequence[RecordingBoxes],
    reference: Reference,
    *,
    min_score: float = MIN_SCORE,
) -> CenterDistance:
    """Centre distances of predictions of at least ``min_score``; classes are not told apart."""
    frames = [pair for each in recordings for pair in each.pairs(min_score)]
    offsets = np.concatenate([np.empty((0, 2)), *(_matched_offsets(*pair) for pair in frames)])
    num_reference = sum(len(truth) for _, truth in frames)
    means = 100 * offsets.mean(axis=0) if len(offsets) else None
    return CenterDistance(
        reference=reference,
        cd_x_percent=None if means is None else float(means[0]),
        cd_y_percent=None if means is None else float(means[1]),
        match_rate=len(offsets) / num_reference if num_reference else None,
        num_matched=len(offsets),
        num_reference_boxes=num_reference,
        num_predicted_boxes=sum(len(predicted) for predicted, _ in frames),
        min_score=min_score,
    )


def cd_released(
    recordings: Sequence[RecordingBoxes], *, min_score: float = MIN_SCORE
) -> ReleasedCenterDistance:
    """The center distance of paper 3's released code, for comparison with its table [S:MM-code].

    Boxes of the reference take, one after another, the unused prediction whose width and height
    are nearest; the differences count, and the whole width and height where none is left. The mean
    is over frames that have a reference, of each frame's mean. As published only for one class.
    There sizes are of whole pixels of a square picture, here fractions of the picture. Where there
    is no prediction at all the code prints 10,000; here each width and height counts as missing.
    """
    frames = [pair for each in recordings for pair in each.pairs(min_score) if len(pair[1])]
    if not frames:
        return ReleasedCenterDistance(cd_x_percent=None, cd_y_percent=None, num_frames=0)
    means = 100 * np.mean([_size_differences(*pair) for pair in frames], axis=0)
    return ReleasedCenterDistance(
        cd_x_percent=float(means[0]), cd_y_percent=float(means[1]), num_frames=len(frames)
    )


def _matched_offsets(predicted: FrameBoxes, reference: FrameBoxes) -> Matrix:
    """(matches, 2): absolute offsets of centres, as fractions of the picture."""
    rows, columns = match_boxes(box_iou(predicted.boxes, reference.boxes), 0.0)
    return np.abs(_centers(predicted.boxes[rows]) - _centers(reference.boxes[columns]))


def _size_differences(predicted: FrameBoxes, reference: FrameBoxes) -> Matrix:
    """(2,): the frame's mean differences of width and of height."""
    unused, differences = _sizes(predicted.boxes), []
    for size in _sizes(reference.boxes):
        if not len(unused):
            differences.append(size)
            continue
        nearest = int(np.argmin(((unused - size) ** 2).sum(axis=1)))
        differences.append(np.abs(unused[nearest] - size))
        unused = np.delete(unused, nearest, axis=0)
    return np.asarray(np.mean(differences, axis=0))


def _centers(boxes: Boxes) -> Matrix:
    exact = boxes.astype(np.float64)
    return (exact[:, :2] + exact[:, 2:]) / 2


def _sizes(boxes: Boxes) -> Matrix:
    exact = boxes.astype(np.float64)
    return exact[:, 2:] - exact[:, :2]
