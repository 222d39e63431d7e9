"""Boxes as YOLOv2 writes them: cells of a grid, each with a few anchors (Redmon and Farhadi 2017).

A head says of every anchor in every cell (t_x, t_y, t_w, t_h, objectness, K classes). The centre is
at sigmoid(t_x), sigmoid(t_y) within the cell, the size is the anchor's times exp(t_w), exp(t_h),
classes exclude each other [R: the paper's figure 3 and section 2].

Conventions: N pictures, A anchors, K classes, H and W cells of the grid, M boxes. Anchors (A, 2)
are in cells, boxes in fractions of the picture. Channel ``a * (5 + K) + v`` of a head is value v of
anchor a.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from avkd.errors import InvalidValueError
from avkd.stages.detection.boxes import BoxTargets, size_iou, to_centres, to_corners

NUM_BOX_VALUES = 5
"""Of an anchor beside its classes: four of the box, and objectness."""
MAX_LOG_SCALE = 8.0
"""A box is at most exp(8) anchors wide: beyond it a float would soon be infinite."""


class GridValues(NamedTuple):
    """A head taken apart; nothing is squashed yet."""

    box: Tensor
    """(N, A, H, W, 4): t_x, t_y, t_w, t_h."""
    objectness: Tensor
    """(N, A, H, W): logits."""
    classes: Tensor
    """(N, A, H, W, K): logits."""


class DecodedGrid(NamedTuple):
    """What a head says, in pictures and probabilities."""

    boxes: Tensor
    """(N, A, H, W, 4), not clipped to the picture."""
    objectness: Tensor
    """(N, A, H, W) in [0, 1]."""
    classes: Tensor
    """(N, A, H, W, K), summing to 1 over K."""


@dataclass(frozen=True, kw_only=True)
class GridTargets:
    """Boxes at the place of the head that should say them, no two at one place."""

    picture: Tensor
    anchor: Tensor
    cell_y: Tensor
    cell_x: Tensor
    """int64 (M,) each: the place."""
    offsets: Tensor
    """(M, 4): centre within the cell from 0 to 1, log of size over the anchor's."""
    boxes: Tensor
    """(M, 4)"""
    scores: Tensor
    """(M,)"""
    classes: Tensor
    """int64 (M,)"""

    @property
    def place(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """An index into (N, A, H, W)."""
        return self.picture, self.anchor, self.cell_y, self.cell_x


def count_head_channels(num_anchors: int, num_classes: int) -> int:
    """A * (5 + K): 125 for five anchors and the 20 classes of VOC."""
    return num_anchors * (NUM_BOX_VALUES + num_classes)


def split_head(head: Tensor, num_anchors: int) -> GridValues:
    """Take a head (N, A * (5 + K), H, W) apart.

    Raises:
        InvalidValueError: Its channels are not those of so many anchors.
    """
    num_pictures, num_channels, height, width = head.shape
    per_anchor, rest = divmod(num_channels, num_anchors)
    if rest or per_anchor <= NUM_BOX_VALUES:
        raise InvalidValueError(
            f"a head of {num_channels} channels is not {num_anchors} anchors times 5 and one or "
            "more classes; use the anchors that it was built for"
        )
    values = head.reshape(num_pictures, num_anchors, per_anchor, height, width).movedim(2, -1)
    return GridValues(values[..., :4], values[..., 4], values[..., NUM_BOX_VALUES:])


def decode_grid(head: Tensor, anchors: Tensor) -> DecodedGrid:
    """What a head (N, A * (5 + K), H, W) says with anchors (A, 2)."""
    values = split_head(head, len(anchors))
    return DecodedGrid(
        decode_boxes(values.box, anchors),
        values.objectness.sigmoid(),
        values.classes.softmax(dim=-1),
    )


def decode_boxes(values: Tensor, anchors: Tensor) -> Tensor:
    """Boxes (N, A, H, W, 4) of t_x, t_y, t_w, t_h in the same shape."""
    height, width = values.shape[2:4]
    corners = torch.stack(
        torch.meshgrid(
            torch.arange(width, dtype=values.dtype, device=values.device),
            torch.arange(height, dtype=values.dtype, device=values.device),
            indexing="xy",
        ),
        dim=-1,
    )
    num_cells = values.new_tensor((width, height))
    centres = (corners + values[..., :2].sigmoid()) / num_cells
    scales = values[..., 2:].clamp_max(MAX_LOG_SCALE).exp()
    sizes = anchors.to(values)[:, None, None] * scales / num_cells
    return to_corners(torch.cat([centres, sizes], dim=-1))


def encode_boxes(
    targets: BoxTargets, picture: Tensor, anchors: Tensor, height: int, width: int
) -> GridTargets:
    """Boxes to the cell of their centre and the anchor of the most similar size.

    ``picture`` int64 (M,) is each box's place among the N pictures of a head. Where two boxes want
    one place, the one with the higher score has it; boxes without area are left out.
    """
    sizes = targets.boxes[:, 2:] - targets.boxes[:, :2]
    found = (sizes > 0).all(dim=1).nonzero()[:, 0]
    targets, picture = targets.keep(found), picture[found]
    num_cells = targets.boxes.new_tensor((width, height))
    centred = to_centres(targets.boxes) * num_cells.repeat(2)
    cell = centred[:, :2].floor().long().clamp_min(0)
    cell = torch.minimum(cell, num_cells.long() - 1)
    chosen = anchors.to(centred)
    anchor = size_iou(centred[:, 2:], chosen).argmax(dim=1)
    offsets = torch.cat(
        [(centred[:, :2] - cell).clamp(0, 1), (centred[:, 2:] / chosen[anchor]).log()], dim=1
    )
    cell_x, cell_y = cell.T
    key = ((picture * len(anchors) + anchor) * height + cell_y) * width + cell_x
    kept = _surest_of_each(key, targets.scores)
    return GridTargets(
        picture=picture[kept],
        anchor=anchor[kept],
        cell_y=cell_y[kept],
        cell_x=cell_x[kept],
        offsets=offsets[kept],
        boxes=targets.boxes[kept],
        scores=targets.scores[kept],
        classes=targets.classes[kept],
    )


def _surest_of_each(key: Tensor, scores: Tensor) -> Tensor:
    """Places of one element of each key, that with the highest score, then the first."""
    by_score = scores.argsort(descending=True, stable=True)
    order = by_score[key[by_score].argsort(stable=True)]
    is_first = torch.ones_like(order, dtype=torch.bool)
    is_first[1:] = key[order[1:]] != key[order[:-1]]
    return order[is_first]
