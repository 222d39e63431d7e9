"""Anchors that tile a picture, and boxes: which belongs to which, and one in terms of the other.

For detectors with a focal loss (RetinaNet, EfficientDet, MM-DistillNet).

Conventions: A anchors and M boxes of one picture, both as corners in one unit.
"""

import torch
from torch import Tensor

from avkd.errors import InvalidValueError
from avkd.stages.detection.boxes import pairwise_iou, to_centres, to_corners

NEGATIVE = -1
IGNORED = -2


def match_anchors(
    anchors: Tensor, boxes: Tensor, *, negative_below: float = 0.4, positive_from: float = 0.5
) -> Tensor:
    """int64 (A,): the box of each anchor, ``NEGATIVE`` for background or ``IGNORED``.

    The box with the highest IoU decides: it is the anchor's at 0.5 or more, nothing is below 0.4,
    and between the anchor counts for neither [S:MM-code]. A box that no anchor reaches is lost.

    Raises:
        InvalidValueError: The thresholds are not in order.
    """
    if not 0 <= negative_below <= positive_from <= 1:
        raise InvalidValueError(
            f"negative_below {negative_below:g} must be at most positive_from {positive_from:g}, "
            "both from 0 to 1"
        )
    if not len(boxes):
        return torch.full((len(anchors),), NEGATIVE, device=anchors.device)
    best_iou, matched = pairwise_iou(anchors, boxes).max(dim=1)
    matched[best_iou < positive_from] = IGNORED
    matched[best_iou < negative_below] = NEGATIVE
    return matched


def encode_offsets(boxes: Tensor, anchors: Tensor, smallest: float = 0.0) -> Tensor:
    """(M, 4): boxes (M, 4) as seen from anchors (M, 4), as (dy, dx, dh, dw) [S:MM-code].

    Offsets of the centre over the anchor's size, logs of the ratio of sizes. Sides of a box count
    as ``smallest`` at least: the released code takes one pixel.
    """
    box, anchor = to_centres(boxes), to_centres(anchors)
    centre = (box[:, :2] - anchor[:, :2]) / anchor[:, 2:]
    floor = max(smallest, torch.finfo(box.dtype).tiny)
    size = (box[:, 2:].clamp_min(floor) / anchor[:, 2:]).log()
    return torch.cat([centre.flip(1), size.flip(1)], dim=1)


def decode_offsets(offsets: Tensor, anchors: Tensor) -> Tensor:
    """(M, 4): the boxes that (dy, dx, dh, dw) mean from anchors (M, 4); inverts the encoding."""
    anchor = to_centres(anchors)
    centre = anchor[:, :2] + offsets[:, :2].flip(1) * anchor[:, 2:]
    size = anchor[:, 2:] * offsets[:, 2:].flip(1).exp()
    return to_corners(torch.cat([centre, size], dim=1))
