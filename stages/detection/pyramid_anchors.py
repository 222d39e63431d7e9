"""Anchors on every cell of a pyramid of maps (RetinaNet; EfficientDet, Tan et al., CVPR 2020).

With the sizes of MM-DistillNet [S:MM-code]: 12,276 cells and 110,484 anchors at 768 x 768 [D].
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from avkd.errors import InvalidValueError
from avkd.stages.detection.boxes import to_corners


@dataclass(frozen=True, kw_only=True)
class AnchorLayout:
    """Which anchors lie where, for one size of picture."""

    picture_size: tuple[int, int]
    """(height, width) in pixels."""
    strides: tuple[int, ...] = (8, 16, 32, 64, 128)
    """Pixels from cell to cell of each level, finest first."""
    scale: float = 4.0
    """Side of a level's smallest square anchor, in strides."""
    octaves: tuple[float, ...] = (1.0, 2 ** (1 / 3), 2 ** (2 / 3))
    """How many times larger the anchors of a cell are."""
    ratios: tuple[tuple[float, float], ...] = ((1.0, 1.0), (1.4, 0.7), (0.7, 1.4))
    """(width, height) of the anchors of a cell, in sides of the square one."""

    def __post_init__(self) -> None:
        if len(self.picture_size) != 2 or min(self.picture_size) < 1:
            raise InvalidValueError(
                f"picture_size {self.picture_size} must be (height, width), both 1 or more"
            )
        sides = [side for ratio in self.ratios for side in ratio]
        for name, values in (
            ("strides", self.strides),
            ("scale", [self.scale]),
            ("octaves", self.octaves),
            ("ratios", sides),
        ):
            if not values or not all(0 < value < float("inf") for value in values):
                raise InvalidValueError(
                    f"{name} of anchors are {getattr(self, name)}; give one or more above 0"
                )

    @property
    def level_sizes(self) -> tuple[tuple[int, int], ...]:
        """(rows, columns) of each level: the cells that cover the picture, finest first."""
        height, width = self.picture_size
        return tuple((-(-height // stride), -(-width // stride)) for stride in self.strides)

    @property
    def anchors_per_cell(self) -> int:
        """One for each octave and ratio."""
        return len(self.octaves) * len(self.ratios)

    @property
    def num_cells(self) -> int:
        """Of all levels together."""
        return sum(rows * columns for rows, columns in self.level_sizes)

    @property
    def num_anchors(self) -> int:
        """Of the whole picture."""
        return self.num_cells * self.anchors_per_cell

    def place(self) -> Tensor:
        """float32 (num_anchors, 4): corners in fractions of the picture, not clipped to it.

        In the order of level, row, column, octave, ratio. Centres are those of the cells; the last
        cells may lie beyond the border where a stride does not divide the picture.
        """
        height, width = self.picture_size
        pixels = torch.cat([self._place_level(level) for level in range(len(self.strides))])
        return (to_corners(pixels) / pixels.new_tensor([width, height, width, height])).float()

    def _place_level(self, level: int) -> Tensor:
        """float64 (rows * columns * anchors, 4): centres and sizes in pixels."""
        stride, (rows, columns) = self.strides[level], self.level_sizes[level]
        octaves = torch.tensor(self.octaves, dtype=torch.float64)
        ratios = torch.tensor(self.ratios, dtype=torch.float64)
        sizes = (self.scale * stride * octaves[:, None, None] * ratios).view(-1, 2)
        y, x = (
            (torch.arange(count, dtype=torch.float64) + 0.5) * stride for count in (rows, columns)
        )
        centres = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).view(-1, 2)
        return torch.cat(
            [centres.repeat_interleave(len(sizes), dim=0), sizes.repeat(len(centres), 1)], dim=1
        )
