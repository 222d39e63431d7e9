"""How a segmenter is built, as values that go to JSON; imports no torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from avkd.errors import InvalidValueError

MAP_STRIDES = (1, 2, 4, 8, 16, 32)
"""Every picture that a network takes falls into whole cells of these."""


@dataclass(frozen=True, kw_only=True)
class SegmenterOptions:
    """Sizes of a network that a CPU trains in minutes."""

    __pydantic_config__: ClassVar[Mapping[str, object]] = {"extra": "forbid", "strict": True}

    widths: tuple[int, int, int, int, int] = (16, 24, 48, 64, 96)
    """Channels at 1/2, 1/4, 1/8, 1/16 and 1/32 of the picture's size."""
    decoder_width: int = 32
    """Channels of the levels on the way back, from 1/4 on."""
    fine_width: int = 16
    """Channels at 1/2, where the classes are told."""
    num_blocks: int = 1
    """Residual blocks at each size from 1/8 on."""

    def __post_init__(self) -> None:
        """Refuse what cannot be built."""
        counts = (*self.widths, self.decoder_width, self.fine_width)
        if min(counts) < 1 or self.num_blocks < 0:
            raise InvalidValueError(
                f"widths {self.widths}, decoder_width {self.decoder_width} and fine_width "
                f"{self.fine_width} must be 1 or more, num_blocks {self.num_blocks} 0 or more"
            )
