"""Boxes of a reference that nobody need find: those that are found anyway count for neither side.

COCO's rule for what it calls ignored, at one IoU threshold for all metrics. In the order of their
scores, predictions take the free box of the best IoU among those that count; a prediction that
finds none takes the best free hidden box, and both are left out. So nothing is gained by a hidden
box, a second prediction of it is a false alarm, and a prediction that meets a box that counts is
kept however hidden its neighbour is. Classes are not told apart.

Torchmetrics knows ``iscrowd`` alone, which forgives any number of predictions inside of a box, also
second ones of the vehicle that stands before it; hence this.
"""

import numpy as np

from avkd.errors import InvalidValueError
from avkd.stages.metrics.boxes import Boxes, FrameBoxes, Matrix, box_iou

IGNORE_IOU = 0.5
"""From here on a prediction is one of a hidden box, as MOTChallenge has it."""


def drop_hidden(
    predicted: FrameBoxes,
    reference: FrameBoxes,
    hidden: Boxes,
    *,
    iou_threshold: float = IGNORE_IOU,
) -> FrameBoxes:
    """The predictions without those that match only one of the hidden boxes (n, 4).

    Raises:
        InvalidValueError: The threshold is not above 0 and at most 1.
    """
    if not 0 < iou_threshold <= 1:
        raise InvalidValueError(f"iou_threshold {iou_threshold} must be above 0 and at most 1")
    if not len(hidden) or not len(predicted):
        return predicted
    counted = box_iou(predicted.boxes, reference.boxes)
    ignored = box_iou(predicted.boxes, hidden)
    kept = np.ones(len(predicted), dtype=np.bool_)
    for place in np.argsort(-predicted.scores, kind="stable").tolist():
        if not _take_best(counted, place, iou_threshold):
            kept[place] = not _take_best(ignored, place, iou_threshold)
    return predicted.take(kept)


def _take_best(free: Matrix, row: int, iou_threshold: float) -> bool:
    """Whether the row has a free column; that of its best IoU is free no more."""
    if not free.shape[1]:
        return False
    best = int(free[row].argmax())
    if free[row, best] < iou_threshold:
        return False
    free[:, best] = -1.0
    return True
