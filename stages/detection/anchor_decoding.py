"""What the anchors of a pyramid say to the boxes of each step.

Conventions: N pictures, one a step; A anchors, K classes.
"""

import torch
from torch import Tensor

from avkd.errors import InvalidValueError
from avkd.stages.detection.boxes import BoxTargets, suppress
from avkd.stages.detection.matching import decode_offsets

MAX_CANDIDATES = 1000
"""The surest of a picture that are compared with each other, so that a student that is sure of
nothing, or of everything, does not cost the square of all its anchors."""
MAX_LOG_RATIO = 10.0
"""A side may be 22,000 times the anchor's: any picture's border is nearer, and float32 holds it."""


@torch.no_grad()
def decode_anchors(
    class_logits: Tensor,
    offsets: Tensor,
    anchors: Tensor,
    row: Tensor,
    step: Tensor,
    *,
    score_threshold: float = 0.05,
    iou_threshold: float = 0.5,
    max_boxes: int = 100,
) -> BoxTargets:
    """The boxes of every picture, after non-maximum suppression within each class.

    ``class_logits`` (N, A, K), ``offsets`` (N, A, 4) as ``encode_offsets`` has them, ``anchors``
    (A, 4) in fractions of the picture, ``row`` and ``step`` int64 (N,). A score is the sigmoid of a
    logit; an anchor may give a box of several classes. Boxes are clipped to the picture, those
    without area or with values that are no numbers left out; by row and step, surest first.

    Raises:
        InvalidValueError: Shapes that do not fit, a threshold not from 0 to 1, or no box may stay.
    """
    if not 0 <= score_threshold <= 1:
        raise InvalidValueError(f"score_threshold {score_threshold:g} must be from 0 to 1")
    _require_shapes(class_logits, offsets, anchors, row, step)
    scores = class_logits.float().sigmoid()
    picture, anchor, class_number = _choose(scores, score_threshold).nonzero().T
    clear = offsets[picture, anchor].float()
    clear[:, 2:].clamp_(max=MAX_LOG_RATIO)
    boxes = decode_offsets(clear, anchors[anchor].float()).clamp(0, 1)
    said = BoxTargets(
        boxes=boxes,
        scores=scores[picture, anchor, class_number],
        classes=class_number,
        row=row[picture],
        step=step[picture],
    )
    # False for what is no number, too.
    has_area = (boxes[:, 2:] > boxes[:, :2]).all(dim=1)
    return suppress(said.keep(has_area), iou_threshold, max_boxes)


def _choose(scores: Tensor, threshold: float) -> Tensor:
    """Sure enough, and among the surest of the picture: bool (N, A, K); ties all stay."""
    chosen = scores >= threshold
    per_picture = scores.flatten(1)
    if per_picture.shape[1] <= MAX_CANDIDATES or not len(scores):
        return chosen
    if chosen.flatten(1).sum(dim=1).max() <= MAX_CANDIDATES:
        return chosen
    weakest = per_picture.nan_to_num(nan=-1.0).topk(MAX_CANDIDATES, dim=1).values[:, -1]
    return chosen & (scores >= weakest[:, None, None])


def _require_shapes(
    class_logits: Tensor, offsets: Tensor, anchors: Tensor, row: Tensor, step: Tensor
) -> None:
    pictures, num_anchors = class_logits.shape[:2]
    expected = ((pictures, num_anchors, 4), (num_anchors, 4), (pictures,), (pictures,))
    given = tuple(tuple(each.shape) for each in (offsets, anchors, row, step))
    if class_logits.ndim != 3 or given != expected:
        raise InvalidValueError(
            f"class logits of shape {tuple(class_logits.shape)} need offsets, anchors, row and "
            f"step of {expected}, not {given}"
        )
