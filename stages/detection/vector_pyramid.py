"""A vector to the levels of a pyramid, for ears that give no maps of their own.

Ours: the deconvolutions of ``grid_network.py`` to the finest level, then convolutions that halve.

Conventions: N steps, D width of a vector, C channels, h and w cells of a level.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from avkd.errors import InvalidValueError
from avkd.stages.detection.grid_network import LEAK, GridNetwork


class VectorPyramid(nn.Module):
    """Vectors (N, D) to maps of levels, the finest first."""

    def __init__(
        self,
        vector_size: int,
        *,
        bottleneck: int,
        widths: Sequence[int],
        map_channels: int,
        level_sizes: Sequence[tuple[int, int]],
    ) -> None:
        """``widths`` are of the first two deconvolutions, ``map_channels`` of every level.

        The first deconvolution's kernel has a quarter of the finest level's height and width, so
        that its weights grow with the area of that level.

        Raises:
            InvalidValueError: There is no level, one is not half of that before it rounded up, or
                there are not two widths.
        """
        super().__init__()
        sizes = [(height, width) for height, width in level_sizes]
        _check_halving(sizes)
        self.map_sizes = tuple(sizes)
        self.map_channels = (map_channels,) * len(sizes)
        self.finest = GridNetwork(
            vector_size,
            bottleneck=bottleneck,
            widths=widths,
            map_channels=map_channels,
            height=sizes[0][0],
            width=sizes[0][1],
        )
        self.coarser = nn.ModuleList(_halving(map_channels) for _ in sizes[1:])

    def forward(self, vectors: Tensor) -> list[Tensor]:
        """(N, C, h, w) for each of the level sizes."""
        maps: list[Tensor] = [self.finest(vectors)]
        for layer in self.coarser:
            maps.append(layer(maps[-1]))
        return maps


def _check_halving(sizes: Sequence[tuple[int, int]]) -> None:
    if not sizes:
        raise InvalidValueError("a pyramid of no levels is none; give the size of one or more")
    for finer, coarser in pairwise(sizes):
        expected = (math.ceil(finer[0] / 2), math.ceil(finer[1] / 2))
        if coarser != expected:
            raise InvalidValueError(
                f"a level of {coarser} cells after one of {finer} cannot be made of a vector; "
                f"each must be half of the one before, rounded up: {expected}"
            )


def _halving(channels: int) -> nn.Sequential:
    convolution = nn.Conv2d(channels, channels, 3, 2, 1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels), nn.LeakyReLU(LEAK))
