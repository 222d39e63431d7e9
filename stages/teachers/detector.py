"""A detector as a network from pictures to its boxes and its maps.

Conventions: B pictures, C channels, N = the most boxes of a picture; boxes in fractions of the
picture.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from avkd.stages.teachers.declaration import Teacher
from avkd.stages.teachers.detector_declaration import (
    BOX_NUMBERS,
    MAX_BOXES,
    DetectorFacts,
    declare_detector,
)
from avkd.stages.teachers.detector_maps import (
    LevelShape,
    MapChoice,
    choose_maps,
    projection_matrix,
)
from avkd.stages.teachers.loaded import LoadedTeacher
from avkd.stages.teachers.request import TeacherRequest
from avkd.stages.teachers.runtimes.build import build_runtime

_BYTE_RANGE = (0.0, 255.0)


@dataclass(frozen=True, kw_only=True)
class Detections:
    """What a network found in one picture, best first."""

    boxes: Tensor
    """(n, 4): x_min, y_min, x_max, y_max."""
    scores: Tensor
    """(n,), above 0."""
    classes: Tensor
    """(n,), from 0 on, no background."""


class DetectorNetwork(Protocol):
    """A network that finds things; a ``torch.nn.Module``."""

    def __call__(self, pictures: Tensor) -> tuple[Sequence[Detections], Sequence[Tensor]]:
        """Look at (B, 3, H, W) in [0, 1]: detections a picture, and (B, C, h, w) a level."""
        ...


class Detector(nn.Module):
    """Frames (B, H, W, 1 or 3) to a tuple of outputs: padded boxes (B, N, 6), then maps."""

    def __init__(
        self,
        network: nn.Module,
        maps: Sequence[MapChoice],
        level_shapes: Sequence[LevelShape],
        *,
        map_channels: int,
        value_range: tuple[float, float] | None,
    ) -> None:
        """Wrap a ``DetectorNetwork``; a value of the range's ends becomes 0 or 1."""
        super().__init__()
        self.network = network
        self._value_range = value_range
        self._maps = tuple(maps)
        self._projects = map_channels > 0
        widths = {level_shapes[c.level][0] for c in maps if c.kind == "features"}
        for num_channels in widths if self._projects else ():
            matrix = torch.from_numpy(projection_matrix(num_channels, map_channels))
            self.register_buffer(f"projection_{num_channels}", matrix)

    def forward(self, frames: Tensor) -> tuple[Tensor, ...]:
        """Look at whole pictures."""
        found, levels = self.network(prepare_pictures(frames, self._value_range))
        outputs = [torch.stack([pad_detections(each) for each in found])]
        for choice in self._maps:
            level = levels[choice.level]
            outputs += [self._project(level)] if choice.kind == "features" else measure(level)
        return tuple(outputs)

    def _project(self, level: Tensor) -> Tensor:
        if not self._projects:
            return level
        matrix = self.get_buffer(f"projection_{level.shape[1]}")
        return torch.einsum("nc,bchw->bnhw", matrix, level)


def prepare_pictures(frames: Tensor, value_range: tuple[float, float] | None) -> Tensor:
    """Give (B, 3, H, W) in [0, 1] of frames (B, H, W, 1 or 3); a range is of 16-bit gray."""
    low, high = value_range or _BYTE_RANGE
    values = (frames.permute(0, 3, 1, 2).to(torch.float32) - low) / (high - low)
    return values.clamp(0, 1).expand(-1, 3, -1, -1)


def load_detector(request: TeacherRequest, network: nn.Module, facts: DetectorFacts) -> Teacher:
    """Put a ``DetectorNetwork`` behind the outputs that it declares."""
    declaration = declare_detector(request, facts)
    detector = Detector(
        network,
        choose_maps(request.name, request.maps, facts.level_shapes),
        facts.level_shapes,
        map_channels=request.map_channels,
        value_range=request.value_range,
    ).eval()
    names = [output.name for output in declaration.outputs]
    return LoadedTeacher(
        declaration=declaration, run=build_runtime(detector, names, declaration, request)
    )


def pad_detections(found: Detections) -> Tensor:
    """Give (N, 6): box, score, class, and zeros from where there are no more."""
    rows = torch.cat(
        [found.boxes, found.scores[:, None], found.classes[:, None].to(found.boxes.dtype)], dim=1
    )
    padded = rows.new_zeros((MAX_BOXES, BOX_NUMBERS))
    padded[: len(rows)] = rows[:MAX_BOXES]
    return padded


def measure(level: Tensor) -> list[Tensor]:
    """Give the attention (B, h, w) of a level (B, C, h, w), at most 1, and its scale (B,).

    The product of the two is the mean over channels of the squared activation.
    """
    attention = level.square().mean(dim=1)
    scale = attention.amax(dim=(1, 2))
    return [attention / torch.where(scale > 0, scale, 1)[:, None, None], scale]


def order_levels(features: Mapping[str, Tensor]) -> list[Tensor]:
    """Put the levels of a pyramid in order, the finest first; of equals the first given."""
    return sorted(features.values(), key=lambda level: -level.shape[-1] * level.shape[-2])
