"""How a pyramid detector is built, as values that go to JSON; imports no torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from avkd.errors import InvalidValueError
from avkd.stages.teachers.detector_maps import LevelShape

STRIDES = (8, 16, 32)
"""Pixels of the picture from cell to cell of each level."""
LEAST_SIDE = 64
MEAN, STD = 0.5, 0.25
"""What the network takes off values in [0, 1] and divides by, whatever the stream."""


@dataclass(frozen=True, kw_only=True)
class PyramidOptions:
    """Sizes of a network with about 0.6 million weights, which a CPU trains in minutes."""

    __pydantic_config__: ClassVar[Mapping[str, object]] = {"extra": "forbid", "strict": True}

    widths: tuple[int, int, int, int, int] = (16, 24, 48, 96, 96)
    """Channels at 1/2, 1/4, 1/8, 1/16 and 1/32 of the picture's size."""
    pyramid_width: int = 48
    """Channels of the levels, and of the head."""
    num_blocks: int = 1
    """Residual blocks at each size from 1/8 on."""
    head_depth: int = 2
    """Convolutions of the head, the same for all levels."""

    def __post_init__(self) -> None:
        counts = (*self.widths, self.pyramid_width, self.head_depth)
        if min(counts) < 1 or self.num_blocks < 0:
            raise InvalidValueError(
                f"widths {self.widths}, pyramid_width {self.pyramid_width} and head_depth "
                f"{self.head_depth} must be 1 or more, num_blocks {self.num_blocks} 0 or more"
            )


def check_picture_size(size: tuple[int, int]) -> None:
    """Refuse a width and height that do not fall into whole cells of the coarsest level.

    Raises:
        InvalidValueError: they do not, or are too small.
    """
    if min(size) < LEAST_SIDE or any(side % STRIDES[-1] for side in size):
        raise InvalidValueError(
            f"pictures of {size[0]}x{size[1]}: width and height must be multiples of "
            f"{STRIDES[-1]}, {LEAST_SIDE} or more; choose others"
        )


def level_shapes(options: PyramidOptions, size: tuple[int, int]) -> tuple[LevelShape, ...]:
    """Give channels, height and width of each level for pictures of that width and height."""
    width, height = size
    return tuple((options.pyramid_width, height // each, width // each) for each in STRIDES)
