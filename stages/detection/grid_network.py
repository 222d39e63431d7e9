"""A vector to a grid of what is where: bottleneck, three deconvolutions, the head of YOLOv2.

StereoSoundNet's second half (Gan et al., ICCV 2019). Sourced [S:GAN-fig]: a perceptron to
1x1x1024, three deconvolutions to the teacher's 13x13x1024, one convolution to 13x13x125. Ours: the
kernels, such that the grid grows 1, 4, 7, 13 [D], widths and activations [U].

Conventions: N steps, D width of a vector, H and W cells of the grid, A anchors, K classes.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from avkd.errors import InvalidValueError
from avkd.stages.detection.grid import NUM_BOX_VALUES, count_head_channels

LEAK = 0.1
"""Of the activation of YOLOv2 [R], whose map the last deconvolution is to resemble."""
FIRST_OBJECTNESS = 0.01
"""What a fresh head says everywhere, so that its many empty cells do not drown the rest [R: the
prior of the focal loss' paper]."""


class GridNetwork(nn.Module):
    """Vectors (N, D) to maps (N, map_channels, H, W)."""

    def __init__(
        self,
        vector_size: int,
        *,
        bottleneck: int,
        widths: Sequence[int],
        map_channels: int,
        height: int,
        width: int,
    ) -> None:
        """``widths`` are the channels of the first two deconvolutions.

        Raises:
            InvalidValueError: There are not two widths.
        """
        super().__init__()
        if len(widths) != 2:
            raise InvalidValueError(
                f"deconv_widths {tuple(widths)} must be two: the third is the map's"
            )
        heights, lengths = grid_sizes(height), grid_sizes(width)
        first, second = widths
        self.bottleneck = nn.Sequential(
            nn.Linear(vector_size, bottleneck),
            nn.ReLU(),
            nn.Linear(bottleneck, bottleneck),
            nn.ReLU(),
        )
        self.deconvolutions = nn.Sequential(
            _activated(
                nn.ConvTranspose2d(bottleneck, first, (heights[0], lengths[0]), bias=False), first
            ),
            _activated(_doubling(first, second, heights[1], lengths[1]), second),
            _activated(_doubling(second, map_channels, heights[2], lengths[2]), map_channels),
        )

    def forward(self, vectors: Tensor) -> Tensor:
        """(N, map_channels, H, W): what is compared with the teacher's map."""
        maps: Tensor = self.deconvolutions(self.bottleneck(vectors)[..., None, None])
        return maps


def grid_sizes(size: int) -> tuple[int, int, int]:
    """How one axis of the grid grows after each deconvolution: 4, 7, 13 for the paper's 13.

    Backwards each is half of the next, rounded up.

    Raises:
        InvalidValueError: The grid has no cell.
    """
    if size < 1:
        raise InvalidValueError(f"a grid of {size} cells is none; take 1 or more")
    half = math.ceil(size / 2)
    return math.ceil(half / 2), half, size


def build_grid_head(map_channels: int, num_anchors: int, num_classes: int) -> nn.Conv2d:
    """A 1 x 1 convolution to A * (5 + K) channels that says at first that nothing is there."""
    head = nn.Conv2d(map_channels, count_head_channels(num_anchors, num_classes), 1)
    assert head.bias is not None
    with torch.no_grad():
        head.bias.zero_()
        logit = math.log(FIRST_OBJECTNESS / (1 - FIRST_OBJECTNESS))
        head.bias[NUM_BOX_VALUES - 1 :: NUM_BOX_VALUES + num_classes] = logit
    return head


def _doubling(before: int, after: int, height: int, width: int) -> nn.ConvTranspose2d:
    """Kernel 3, stride 2: from half of a size, rounded up, to the size."""
    # 2 m - 1 cells come of m; an even size wants one more.
    extra = (1 - height % 2, 1 - width % 2)
    return nn.ConvTranspose2d(before, after, 3, 2, 1, output_padding=extra, bias=False)


def _activated(layer: nn.Module, channels: int) -> nn.Sequential:
    return nn.Sequential(layer, nn.BatchNorm2d(channels), nn.LeakyReLU(LEAK))
