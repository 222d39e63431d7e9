"""What networks of our own that see are made of, teachers and students: residual blocks.

Conventions: C channels, h and w cells.
"""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional


class Residual(nn.Module):
    """Two convolutions, and past them what came in."""

    def __init__(self, width: int) -> None:
        """Keep the number of channels."""
        super().__init__()
        self.body = nn.Sequential(
            conv_block(width, width),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, values: Tensor) -> Tensor:
        """(B, C, h, w) to the same."""
        return functional.relu(values + self.body(values))


def conv_block(before: int, after: int, stride: int = 1) -> nn.Sequential:
    """A 3x3 convolution, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()
    )


def residual_stage(before: int, after: int, num_blocks: int) -> nn.Sequential:
    """Halve the cells in each direction, then residual blocks."""
    return nn.Sequential(
        conv_block(before, after, 2), *(Residual(after) for _ in range(num_blocks))
    )


def add_from_top(found: Sequence[Tensor]) -> list[Tensor]:
    """Add to each level (B, C, h, w), the finest first, what the coarser ones come to.

    Each level has half the cells of the one before it in each direction, rounded up (Lin et al.,
    CVPR 2017).
    """
    levels = [found[-1]]
    for finer in reversed(found[:-1]):
        levels.insert(0, finer + functional.interpolate(levels[0], size=finer.shape[-2:]))
    return levels
