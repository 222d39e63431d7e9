"""Boxes of a batch, how much two of them share, and which of them are one too many.

Conventions: M boxes of all steps of a batch, one below the other; a box is (x_min, y_min, x_max,
y_max) in fractions of the picture, origin top-left; a size is (width, height).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from avkd.errors import InvalidValueError


@dataclass(frozen=True, kw_only=True)
class BoxTargets:
    """Boxes that a teacher saw, or that a student says, in any number a step."""

    boxes: Tensor
    """float (M, 4)"""
    scores: Tensor
    """float (M,) in [0, 1]"""
    classes: Tensor
    """int64 (M,)"""
    row: Tensor
    """int64 (M,): the clip's place in the batch."""
    step: Tensor
    """int64 (M,)"""

    def __post_init__(self) -> None:
        total = self.boxes.shape[:1]
        columns = (self.scores, self.classes, self.row, self.step)
        if self.boxes.shape[1:] != (4,) or any(each.shape != total for each in columns):
            shapes = ", ".join(str(tuple(each.shape)) for each in (self.boxes, *columns))
            raise InvalidValueError(
                f"boxes, scores, classes, row and step have shapes {shapes}; give (M, 4) and "
                "four times (M,)"
            )

    def __len__(self) -> int:
        return self.boxes.shape[0]

    def to(self, device: torch.device | str) -> "BoxTargets":
        """The same boxes on that device."""
        return BoxTargets(
            boxes=self.boxes.to(device),
            scores=self.scores.to(device),
            classes=self.classes.to(device),
            row=self.row.to(device),
            step=self.step.to(device),
        )

    def keep(self, chosen: Tensor) -> "BoxTargets":
        """Some of the boxes: a mask bool (M,), or places int64 in the order wanted."""
        return BoxTargets(
            boxes=self.boxes[chosen],
            scores=self.scores[chosen],
            classes=self.classes[chosen],
            row=self.row[chosen],
            step=self.step[chosen],
        )


def pairwise_iou(left: Tensor, right: Tensor) -> Tensor:
    """(M, N): intersection over union of each of (M, 4) with each of (N, 4)."""
    from torchvision.ops import box_iou

    iou: Tensor = box_iou(left, right)
    # Two boxes without area share nothing, but 0 / 0 would say otherwise.
    return iou.nan_to_num(nan=0.0)


def paired_iou(left: Tensor, right: Tensor) -> Tensor:
    """(...,): intersection over union of boxes (..., 4) with those at the same place."""
    lower = torch.maximum(left[..., :2], right[..., :2])
    upper = torch.minimum(left[..., 2:], right[..., 2:])
    shared = (upper - lower).clamp_min(0).prod(dim=-1)
    union = _area(left) + _area(right) - shared
    return shared / union.clamp_min(torch.finfo(union.dtype).tiny)


def size_iou(left: Tensor, right: Tensor) -> Tensor:
    """(M, N): intersection over union of sizes (M, 2) and (N, 2) that share their centre."""
    shared = torch.minimum(left[:, None], right[None]).prod(dim=-1)
    union = left.prod(dim=-1)[:, None] + right.prod(dim=-1)[None] - shared
    return shared / union.clamp_min(torch.finfo(union.dtype).tiny)


def to_centres(boxes: Tensor) -> Tensor:
    """(..., 4) as (x_centre, y_centre, width, height)."""
    lower, upper = boxes[..., :2], boxes[..., 2:]
    return torch.cat([(lower + upper) / 2, upper - lower], dim=-1)


def to_corners(centred: Tensor) -> Tensor:
    """(..., 4) from (x_centre, y_centre, width, height)."""
    centre, half = centred[..., :2], centred[..., 2:] / 2
    return torch.cat([centre - half, centre + half], dim=-1)


def suppress(said: BoxTargets, iou_threshold: float, max_boxes: int) -> BoxTargets:
    """The boxes left by non-maximum suppression within each step and class.

    By row and step, the surest first, at most ``max_boxes`` a step.

    Raises:
        InvalidValueError: The threshold is not from 0 to 1, or no box may stay.
    """
    from torchvision.ops import batched_nms

    if not 0 <= iou_threshold <= 1:
        raise InvalidValueError(f"iou_threshold {iou_threshold:g} must be from 0 to 1")
    if max_boxes < 1:
        raise InvalidValueError(f"max_boxes {max_boxes} must be 1 or more")
    if not len(said):
        return said
    step_key = said.row * (said.step.max() + 1) + said.step
    group = step_key * (said.classes.max() + 1) + said.classes
    # In double: boxes are moved apart by group, and far out float32 has no digits left for theirs.
    kept = batched_nms(said.boxes.double(), said.scores.double(), group, iou_threshold)
    # Stable, so that within a step they stay in the order of their scores.
    kept = kept[step_key[kept].argsort(stable=True)]
    return said.keep(kept[_place_in_run(step_key[kept]) < max_boxes])


def _place_in_run(sorted_keys: Tensor) -> Tensor:
    """(M,): how many equal keys come before each."""
    starts = torch.searchsorted(sorted_keys, sorted_keys, side="left")
    return torch.arange(len(sorted_keys), device=sorted_keys.device) - starts


def _area(boxes: Tensor) -> Tensor:
    return (boxes[..., 2:] - boxes[..., :2]).clamp_min(0).prod(dim=-1)
