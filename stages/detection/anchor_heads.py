"""What each anchor of a pyramid says: the heads of EfficientDet (Tan et al., CVPR 2020 [R]).

One head for the classes, another for the offsets of the box. All levels share the convolutions and
have batch norms of their own, since what a level's cells see is of another size.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from avkd.errors import InvalidValueError
from avkd.stages.detection.bifpn import MapNorm, build_separable

LAST_WEIGHT_DEVIATION = 0.01
"""Of the last convolution's first weights: a fresh head says its bias almost everywhere, as the
prior of the focal loss wants (RetinaNet, section 4.1 [R])."""


class SharedConvolution(nn.Module):
    """A separable convolution of all levels, a batch norm of each, swish."""

    def __init__(self, width: int, num_levels: int) -> None:
        super().__init__()
        self.convolution = build_separable(width, width)
        self.norms = nn.ModuleList(MapNorm(width) for _ in range(num_levels))

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """Levels (N, width, H, W) to such levels."""
        return [
            functional.silu(norm(self.convolution(maps)))
            for norm, maps in zip(self.norms, levels, strict=True)
        ]


class AnchorHead(nn.Module):
    """Levels (N, width, H, W) to some values of each anchor."""

    def __init__(
        self,
        width: int,
        *,
        num_repeats: int,
        num_levels: int,
        anchors_per_cell: int,
        num_values: int,
        first_bias: float = 0.0,
    ) -> None:
        """``first_bias`` is what a fresh head says, before any sigmoid."""
        super().__init__()
        self.num_levels, self.num_values = num_levels, num_values
        self.repeats = nn.ModuleList(
            SharedConvolution(width, num_levels) for _ in range(num_repeats)
        )
        self.last = build_separable(width, anchors_per_cell * num_values, bias=True)
        weight, bias = self.last[1].parameters()
        nn.init.normal_(weight, std=LAST_WEIGHT_DEVIATION)
        nn.init.constant_(bias, first_bias)

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """(N, A, num_values): anchors by level, row, column, anchor of the cell.

        That is the order of ``AnchorLayout.place``.

        Raises:
            InvalidValueError: There are more or fewer levels than the head was built for.
        """
        if len(levels) != self.num_levels:
            raise InvalidValueError(
                f"a head of {self.num_levels} levels was given {len(levels)}; give one map each"
            )
        for repeat in self.repeats:
            levels = repeat(levels)
        return torch.cat([self._say(maps) for maps in levels], dim=1)

    def _say(self, maps: Tensor) -> Tensor:
        """(N, H * W * anchors, num_values) of one level."""
        cells: Tensor = self.last(maps).permute(0, 2, 3, 1)
        return cells.reshape(len(maps), -1, self.num_values)
