"""The points at which a pyramid detector looks for things, and which point is for which box.

As FCOS (Tian et al., ICCV 2019), without anchors: a point may find a box that it lies in, near its
middle, by its distances to the four sides; which level does depends on the box's size.

Conventions: P points of all levels, the finest level first, by rows; M boxes as corners; points and
boxes of one picture, in pixels of the network's input.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from avkd.stages.detection.matching import IGNORED, NEGATIVE
from avkd.stages.teachers.pyramid_options import STRIDES

REACH = 4
"""Cells of a level to the farthest side of a box that it is for, at most; half of it at least. FCOS
has 8 [R]; small vehicles are found by finer levels here."""
CENTRE_RADIUS = 1.5
"""Cells around a box's middle whose points are for it [R: FCOS with centre sampling]."""


@dataclass(frozen=True, kw_only=True)
class Points:
    """Where the P points lie."""

    centres: Tensor
    """(P, 2): x and y."""
    strides: Tensor
    """(P,): pixels from one to the next."""

    def decode(self, distances: Tensor) -> Tensor:
        """Boxes (..., P, 4) of distances (..., P, 4) to left, top, right and bottom."""
        return torch.cat(
            [self.centres - distances[..., :2], self.centres + distances[..., 2:]], dim=-1
        )


def place_points(height: int, width: int) -> Points:
    """Put a point into the middle of each cell of each level of a picture."""
    centres, strides = [], []
    for stride in STRIDES:
        rows, columns = height // stride, width // stride
        y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
        centres.append((torch.stack([x, y], dim=-1).reshape(-1, 2) + 0.5) * stride)
        strides.append(torch.full((rows * columns,), float(stride)))
    return Points(centres=torch.cat(centres), strides=torch.cat(strides))


def match_points(points: Points, boxes: Tensor, is_ignored: Tensor) -> Tensor:
    """int64 (P,): the box of each point, ``NEGATIVE`` for background or ``IGNORED``.

    Of several boxes the smallest has the point. A point without a box that lies in an ignored one
    counts for neither; ``is_ignored`` bool (M,).
    """
    matched = torch.full((len(points.strides),), NEGATIVE, device=boxes.device)
    if not len(boxes):
        return matched
    sides = torch.cat(
        [points.centres[:, None] - boxes[:, :2], boxes[:, 2:] - points.centres[:, None]], dim=2
    )
    is_inside = sides.amin(dim=2) > 0
    is_wanted = is_inside & _fits_level(points, sides) & _is_central(points, boxes) & ~is_ignored
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)
    area, smallest = torch.where(is_wanted, areas, torch.inf).min(dim=1)
    matched[(is_inside & is_ignored).any(dim=1)] = IGNORED
    return torch.where(area.isfinite(), smallest, matched)


def _fits_level(points: Points, sides: Tensor) -> Tensor:
    """Tell, bool (P, M), whether a level is for a box whose sides are so far from the point."""
    farthest, most = sides.amax(dim=2), (REACH * points.strides)[:, None]
    is_finest, is_coarsest = ((points.strides == STRIDES[place])[:, None] for place in (0, -1))
    return ((farthest > most / 2) | is_finest) & ((farthest <= most) | is_coarsest)


def _is_central(points: Points, boxes: Tensor) -> Tensor:
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    away = (points.centres[:, None] - middles).abs().amax(dim=2)
    return away < CENTRE_RADIUS * points.strides[:, None]
