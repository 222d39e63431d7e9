"""YOLOv2's loss of a head over a grid, against boxes.

The form is that of Darknet's region layer [R]: squared errors of centre and log size where a box
is, of objectness towards the IoU that the prediction has and towards nothing elsewhere, and the
cross-entropy of the class. Gradients there are half of those here, and its first 12,800 pictures,
which also pull anchors without a box to their own size, are left out [R].

For objectness there is a second form, the quality focal loss |y - p|^2 BCE(p, y) towards the same
IoU y (Li et al., NeurIPS 2020, equation 2 with beta 2 [R]): squared errors hardly move a prediction
that is surely wrong, and of the hundreds of a picture nearly all are right about nothing.

Conventions: N pictures, A anchors, K classes, H and W cells, M boxes. Anchors (A, 2) are in cells,
boxes (M, 4) in fractions of the picture; a head is (N, A * (5 + K), H, W) as in detection/grid.py.
"""

from dataclasses import dataclass, fields
from typing import Literal, NamedTuple, TypeAlias, get_args

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from avkd.errors import InvalidValueError
from avkd.stages.detection.boxes import BoxTargets, paired_iou
from avkd.stages.detection.grid import (
    GridTargets,
    GridValues,
    decode_boxes,
    encode_boxes,
    split_head,
)
from avkd.stages.losses.batch_rules import in_full_precision

Objectness: TypeAlias = Literal["squared", "quality_focal"]
OBJECTNESS: tuple[Objectness, ...] = get_args(Objectness)
LARGEST_COMPARISON = 2**24
"""IoUs in one table: 64 MiB of float32."""


@dataclass(frozen=True, kw_only=True)
class GridLossWeights:
    """What each term counts; Gan et al. give none [U], these are Darknet's usual ones [R]."""

    coordinate: float = 1.0
    objectness: float = 5.0
    no_object: float = 1.0
    classification: float = 1.0

    def __post_init__(self) -> None:
        for each in fields(self):
            if not getattr(self, each.name) >= 0:
                raise InvalidValueError(
                    f"{each.name} {getattr(self, each.name):g} must be 0 or more"
                )


class GridLoss(NamedTuple):
    """The terms of each picture, unweighted, and how well its boxes are met."""

    coordinate: Tensor
    objectness: Tensor
    no_object: Tensor
    classification: Tensor
    """(N,) each."""
    iou: Tensor
    """Scalar without gradient: the mean IoU of the predictions at the places of boxes."""

    def weigh(self, weights: GridLossWeights) -> Tensor:
        """(N,): the weighted sum of the terms."""
        return (
            weights.coordinate * self.coordinate
            + weights.objectness * self.objectness
            + weights.no_object * self.no_object
            + weights.classification * self.classification
        )


def grid_loss(
    head: Tensor,
    boxes: BoxTargets,
    picture: Tensor,
    anchors: Tensor,
    *,
    ignore_threshold: float = 0.6,
    weigh_by_score: bool = False,
    favour_small: bool = True,
    objectness: Objectness = "squared",
) -> GridLoss:
    """The terms of N pictures, sums over anchors and cells.

    ``picture`` int64 (M,) is each box's place in the head. A prediction without a box whose IoU
    with any box of its picture is above ``ignore_threshold`` is not punished for its objectness.
    ``weigh_by_score`` multiplies the terms of a box with its score. ``favour_small`` multiplies the
    coordinates' with 2 minus the box's share of the picture [R].

    Raises:
        InvalidValueError: The head has other anchors, or a class is beyond those of the head.
    """
    (head,) = in_full_precision(head)
    values = split_head(head, len(anchors))
    height, width = head.shape[2:]
    _require_classes(boxes.classes, values.classes.shape[-1])
    targets = encode_boxes(boxes, picture, anchors, height, width)
    with torch.no_grad():
        predicted = decode_boxes(values.box, anchors)
        iou = paired_iou(predicted[targets.place], targets.boxes.to(predicted))
        is_free = best_iou(predicted, boxes.boxes, picture) <= ignore_threshold
        is_free[targets.place] = False
    weight = targets.scores.to(head) if weigh_by_score else torch.ones_like(iou)
    per_box = _BoxTerms(
        coordinate=_coordinate_error(values, targets, favour_small=favour_small),
        objectness=objectness_error(values.objectness[targets.place], iou, objectness),
        classification=cross_entropy(
            values.classes[targets.place], targets.classes, reduction="none"
        ),
    )
    coordinate, own, classification = (
        head.new_zeros(len(head)).index_add(0, targets.picture, weight * term) for term in per_box
    )
    nothing = objectness_error(values.objectness, torch.zeros_like(values.objectness), objectness)
    return GridLoss(
        coordinate=coordinate,
        objectness=own,
        no_object=(nothing * is_free).flatten(1).sum(dim=1),
        classification=classification,
        iou=iou.sum() / max(1, len(iou)),
    )


def objectness_error(logits: Tensor, target: Tensor, form: Objectness) -> Tensor:
    """How far the probabilities of ``logits`` are from a target of the same shape, 0 to 1."""
    distance = (logits.sigmoid() - target).square()
    if form == "squared":
        return distance
    return distance * binary_cross_entropy_with_logits(logits, target, reduction="none")


def best_iou(predicted: Tensor, boxes: Tensor, picture: Tensor) -> Tensor:
    """(N, A, H, W): the highest IoU of each predicted box with any box of its picture, else 0."""
    flat = predicted.flatten(1, 3)
    best = flat.new_zeros(flat.shape[:2])
    num_at_once = max(1, LARGEST_COMPARISON // flat.shape[1])
    parts = zip(torch.split(boxes, num_at_once), torch.split(picture, num_at_once), strict=True)
    for some, places in parts:
        iou = paired_iou(flat[places], some.to(flat)[:, None])
        best.scatter_reduce_(0, places[:, None].expand_as(iou), iou, "amax")
    return best.view(predicted.shape[:4])


class _BoxTerms(NamedTuple):
    """(M,) each."""

    coordinate: Tensor
    objectness: Tensor
    classification: Tensor


def _coordinate_error(values: GridValues, targets: GridTargets, *, favour_small: bool) -> Tensor:
    raw = values.box[targets.place]
    said = torch.cat([raw[:, :2].sigmoid(), raw[:, 2:]], dim=1)
    error = (said - targets.offsets.to(said)).square().sum(dim=1)
    if not favour_small:
        return error
    sizes = targets.boxes[:, 2:] - targets.boxes[:, :2]
    return error * (2 - sizes.prod(dim=1).to(error))


def _require_classes(classes: Tensor, num_classes: int) -> None:
    if len(classes) and (int(classes.min()) < 0 or int(classes.max()) >= num_classes):
        raise InvalidValueError(
            f"classes of boxes run from {int(classes.min())} to {int(classes.max())} but the head "
            f"knows {num_classes}; build the student for the teacher's classes"
        )
