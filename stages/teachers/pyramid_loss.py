"""What a pyramid detector learns by: focal loss of classes, GIoU of boxes, and how good they are.

Conventions: B pictures, P points, M boxes of all pictures; boxes in pixels of the network's input.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from avkd.stages.detection.boxes import paired_iou
from avkd.stages.detection.matching import NEGATIVE
from avkd.stages.losses.focal import focal_loss
from avkd.stages.teachers.pyramid_detector import PyramidOutput
from avkd.stages.teachers.pyramid_points import Points, match_points

BOX_WEIGHT = 2.0
"""Of GIoU beside the others [ours, as ATSS has it [R]]."""


@dataclass(frozen=True, kw_only=True)
class LabelledBoxes:
    """What is true of one picture."""

    boxes: Tensor
    """float32 (m, 4), in pixels."""
    classes: Tensor
    """int64 (m,)"""
    is_ignored: Tensor
    """bool (m,): neither something to find nor background."""

    def to(self, device: torch.device) -> "LabelledBoxes":
        """The same on that device."""
        return LabelledBoxes(
            boxes=self.boxes.to(device),
            classes=self.classes.to(device),
            is_ignored=self.is_ignored.to(device),
        )


def pyramid_loss(
    output: PyramidOutput, points: Points, truth: Sequence[LabelledBoxes]
) -> dict[str, Tensor]:
    """Give the terms ``classes``, ``boxes`` and ``quality``; their sum is the loss.

    All are means over the points of the batch that have a box, so that a picture counts by what it
    shows. The quality's target is the IoU that the box has now.
    """
    from torchvision.ops import generalized_box_iou_loss

    matched = _match_batch(points, truth)
    boxes = torch.cat([each.boxes for each in truth])
    classes = torch.cat([each.classes for each in truth])
    has_box = matched > NEGATIVE
    said = points.decode(output.distances).flatten(0, 1)[has_box]
    wanted = boxes[matched[has_box]]
    quality = output.quality_logits.flatten()[has_box]
    num = max(1, len(wanted))
    iou = paired_iou(said.detach(), wanted)
    return {
        "classes": focal_loss(output.class_logits.flatten(0, 1), matched, classes),
        "boxes": BOX_WEIGHT * generalized_box_iou_loss(said, wanted, reduction="sum") / num,
        "quality": binary_cross_entropy_with_logits(quality, iou, reduction="sum") / num,
    }


def _match_batch(points: Points, truth: Sequence[LabelledBoxes]) -> Tensor:
    """int64 (B * P,): places among the boxes of all pictures."""
    matched, first = [], 0
    for each in truth:
        found = match_points(points, each.boxes, each.is_ignored)
        matched.append(torch.where(found > NEGATIVE, found + first, found))
        first += len(each.boxes)
    return torch.cat(matched)
