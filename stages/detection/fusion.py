"""Boxes of several teachers of one step become one set: their union, less what is said twice.

MM-DistillNet's labels (Valverde et al., CVPR 2021; methods 3.2): the boxes of all teachers, one
more non-maximum suppression by score [S:MM-code].
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from avkd.errors import InvalidValueError
from avkd.stages.detection.boxes import BoxTargets, paired_iou, suppress


def fuse_boxes(
    said: Sequence[BoxTargets], *, iou_threshold: float = 0.5, min_teachers: int = 1
) -> BoxTargets:
    """The boxes of all teachers after non-maximum suppression within row, step and class.

    By row and step, the surest first; scores stay those of the box that stays. A box is suppressed
    by a surer one with an IoU above ``iou_threshold``. Before that, a box goes that boxes of fewer
    than ``min_teachers`` different teachers overlap by ``iou_threshold`` or more, its own included:
    so a sure box that one teacher alone says takes none with it that several agree on.

    Raises:
        InvalidValueError: There is no teacher, ``min_teachers`` is not from 1 to their number, or
            the threshold is not from 0 to 1.
    """
    if not 1 <= min_teachers <= len(said):
        raise InvalidValueError(
            f"min_teachers {min_teachers} must be from 1 to the number of teachers, {len(said)}"
        )
    together = _concatenate(said)
    if min_teachers > 1 and len(together):
        sizes = torch.tensor([len(each) for each in said], device=together.row.device)
        teacher = torch.arange(len(said), device=sizes.device).repeat_interleave(sizes)
        together = together.keep(count_supporters(together, teacher, iou_threshold) >= min_teachers)
    return suppress(together, iou_threshold, max_boxes=max(1, len(together)))


def count_supporters(said: BoxTargets, teacher: Tensor, iou_threshold: float) -> Tensor:
    """int64 (M,): of how many teachers a box overlaps each, its own included.

    ``teacher`` int64 (M,) says whose each box is. Boxes of one row, step and class are compared.
    """
    keys = torch.stack([said.row, said.step, said.classes], dim=1)
    group: Tensor = torch.unique(keys, dim=0, return_inverse=True)[1]
    order = group.argsort(stable=True)
    ordered, boxes, whose = group[order], said.boxes[order].float(), teacher[order]
    supports = torch.zeros(len(said), int(teacher.max()) + 1, dtype=torch.bool, device=group.device)
    places = torch.arange(len(said), device=group.device)
    supports[places, whose] = True
    # Neighbours of a group one, two... places apart: never all boxes with all others.
    for distance in range(1, int(torch.bincount(group).max())):
        overlaps = ordered[distance:] == ordered[:-distance]
        overlaps &= paired_iou(boxes[distance:], boxes[:-distance]) >= iou_threshold
        left = overlaps.nonzero()[:, 0]
        right = left + distance
        supports[left, whose[right]] = True
        supports[right, whose[left]] = True
    return torch.zeros_like(group).scatter(0, order, supports.sum(dim=1))


def _concatenate(said: Sequence[BoxTargets]) -> BoxTargets:
    return BoxTargets(
        boxes=torch.cat([each.boxes for each in said]),
        scores=torch.cat([each.scores for each in said]),
        classes=torch.cat([each.classes for each in said]),
        row=torch.cat([each.row for each in said]),
        step=torch.cat([each.step for each in said]),
    )
