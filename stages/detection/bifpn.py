"""Maps of several sizes told of each other, down and up, again and again: the BiFPN.

EfficientDet (Tan, Pang, Le, CVPR 2020 [R]): each node adds its inputs with learned weights that
are positive and sum to 1 ("fast normalised fusion"), then swish, a separable convolution, a batch
norm. Ours: no bias before a batch norm, and torch's momentum of 0.1, since running figures with the
0.01 of EfficientDet [R] would lag behind in trainings of a few hundred steps.

Conventions: N pictures, levels finest first; each has half the rows and columns of the one before,
rounded up.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from avkd.errors import InvalidValueError

FUSION_EPSILON = 1e-4
"""Keeps the weights of a node finite when none is above 0 [R]."""
NORM_EPSILON = 1e-3
"""Of EfficientNet's and EfficientDet's batch norms [R]."""


def build_separable(before: int, after: int, *, bias: bool = False) -> nn.Sequential:
    """A 3 x 3 convolution within channels, then a 1 x 1 convolution across them."""
    return nn.Sequential(
        nn.Conv2d(before, before, 3, padding=1, groups=before, bias=False),
        nn.Conv2d(before, after, 1, bias=bias),
    )


def halve(maps: Tensor) -> Tensor:
    """The strongest of each 3 x 3 cells, at half of the size, rounded up."""
    return functional.max_pool2d(maps, 3, stride=2, padding=1)


class MapNorm(nn.BatchNorm2d):
    """Batch norm that also takes the one cell of one picture, which has no variance.

    The coarsest levels of a small picture are one cell: a last batch of one step would else end a
    training. It is normalised by the running figures, and leaves them as they are.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=NORM_EPSILON)

    def forward(self, maps: Tensor) -> Tensor:
        """(N, channels, H, W) to the same shape."""
        if maps.shape[0] * maps.shape[2] * maps.shape[3] > 1:
            return super().forward(maps)
        return functional.batch_norm(
            maps, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
        )


class FusionNode(nn.Module):
    """Some maps of one size to one of that size."""

    def __init__(self, width: int, num_inputs: int) -> None:
        super().__init__()
        self.raw_weights = nn.Parameter(torch.ones(num_inputs))
        self.convolution = build_separable(width, width)
        self.norm = MapNorm(width)

    def weigh(self) -> Tensor:
        """(num_inputs,): how much each input counts, 0 or more; together 1 but for the epsilon."""
        positive = self.raw_weights.relu()
        return positive / (positive.sum() + FUSION_EPSILON)

    def forward(self, *maps: Tensor) -> Tensor:
        """(N, width, H, W) from so many of them."""
        first, *others = zip(self.weigh().unbind(), maps, strict=True)
        fused = first[0] * first[1]
        for weight, other in others:
            fused = fused + weight * other
        told: Tensor = self.norm(self.convolution(functional.silu(fused)))
        return told


class BiFpnCell(nn.Module):
    """Once from the coarsest level down to the finest, and up again."""

    def __init__(self, width: int, num_levels: int) -> None:
        super().__init__()
        self.down = nn.ModuleList(FusionNode(width, 2) for _ in range(num_levels - 1))
        self.up = nn.ModuleList(FusionNode(width, 3) for _ in range(num_levels - 2))
        self.top = FusionNode(width, 2)

    def forward(self, levels: Sequence[Tensor], levels_for_up: Sequence[Tensor]) -> list[Tensor]:
        """The levels, (N, width, H, W) each, from those for the way down and for the way up."""
        finer_first = [levels[-1]]
        for node, level in zip(reversed(self.down), reversed(levels[:-1]), strict=True):
            grown = functional.interpolate(finer_first[0], size=level.shape[2:], mode="nearest")
            finer_first.insert(0, node(level, grown))
        told = finer_first[:1]
        middle = zip(self.up, levels_for_up[1:-1], finer_first[1:-1], strict=True)
        for node, level, passed in middle:
            told.append(node(level, passed, halve(told[-1])))
        return [*told, self.top(levels_for_up[-1], halve(told[-1]))]


class BiFpn(nn.Module):
    """Maps of a backbone to as many levels as wanted, all of one width."""

    def __init__(
        self, channels: Sequence[int], width: int, *, num_levels: int, num_cells: int
    ) -> None:
        """``channels`` are those of the backbone's maps, finest first.

        Raises:
            InvalidValueError: There is no map or cell, one level only, or fewer levels than maps.
        """
        super().__init__()
        if num_levels < max(2, len(channels)) or not channels or num_cells < 1:
            raise InvalidValueError(
                f"a pyramid of {num_levels} levels and {num_cells} cells over {len(channels)} maps "
                "is none; take 2 or more levels, not fewer than maps, and 1 or more of the others"
            )
        self.num_beyond = num_levels - len(channels)
        self.laterals = nn.ModuleList(_lateral(count, width) for count in channels)
        # The finest map goes into one node of the first cell, the others into one on each way.
        self.laterals_for_up = nn.ModuleList(_lateral(count, width) for count in channels[1:])
        self.beyond = _lateral(channels[-1], width) if self.num_beyond else None
        self.cells = nn.ModuleList(BiFpnCell(width, num_levels) for _ in range(num_cells))

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """num_levels maps (N, width, H, W) from the backbone's (N, channels, H, W).

        Raises:
            InvalidValueError: Another number of maps, or sizes that do not halve.
        """
        _require_halving(maps, len(self.laterals))
        # Half of the time on a CPU; heads then take values from cells without a copy.
        maps = [each.contiguous(memory_format=torch.channels_last) for each in maps]
        beyond = self._go_beyond(maps[-1])
        levels = [lateral(each) for lateral, each in zip(self.laterals, maps, strict=True)]
        again = [
            lateral(each) for lateral, each in zip(self.laterals_for_up, maps[1:], strict=True)
        ]
        down, up = [*levels, *beyond], [levels[0], *again, *beyond]
        for cell in self.cells:
            down = up = cell(down, up)
        return down

    def _go_beyond(self, coarsest: Tensor) -> list[Tensor]:
        """The levels that the backbone has no map for."""
        if self.beyond is None:
            return []
        levels = [halve(self.beyond(coarsest))]
        for _ in range(self.num_beyond - 1):
            levels.append(halve(levels[-1]))
        return levels


def _lateral(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, after, 1, bias=False), MapNorm(after))


def _require_halving(maps: Sequence[Tensor], num_maps: int) -> None:
    sizes = [tuple(each.shape[2:]) for each in maps]
    halves = [tuple(-(-side // 2) for side in size) for size in sizes]
    if len(sizes) != num_maps or sizes[1:] != halves[:-1]:
        raise InvalidValueError(
            f"maps of a pyramid have sizes {sizes}; give {num_maps}, finest first, each half of "
            "the one before, rounded up"
        )
