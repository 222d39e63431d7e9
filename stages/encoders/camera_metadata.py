"""What is known of the camera, such as its height and pitch, to a vector beside the sound's.

Gan et al. (ICCV 2019) give the student meta-data of the camera, through a perceptron to 128 numbers
[S:GAN-fig], because a camera that is moved changes the picture far more than the sound
[S:GAN-note]. Which values [R] and the layers before [U] are ours.

Conventions: B clips, V values of a camera.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from avkd.errors import InvalidValueError
from avkd.stages.encoders.stream_inputs import require_width, take_stream
from avkd.stages.encoders.streams import InputShape, require_stream

METADATA_SIZE = 128
METADATA_SCALE = 10.0
"""Metres and degrees of a camera at a street are of this order, and a network wants ones."""


class CameraMetadata(nn.Module):
    """A perceptron with ReLU over the values of one or more vector streams.

    A value that is not finite counts as unknown: it is 0, and a flag beside it 1. While training, a
    share ``drop`` of the clips is told nothing, so that the flags come to mean something.
    """

    def __init__(self, sizes: Mapping[str, int], scale: float, drop: float) -> None:
        """``sizes`` are the widths of the streams; values are divided by ``scale``."""
        super().__init__()
        self.sizes = dict(sizes)
        self.scale = scale
        self.drop = drop
        self.layers = nn.Sequential(
            nn.Linear(2 * sum(sizes.values()), METADATA_SIZE),
            nn.ReLU(),
            nn.Linear(METADATA_SIZE, METADATA_SIZE),
            nn.ReLU(),
        )

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """(B, 128)."""
        values = torch.cat([self._take(inputs, stream) for stream in self.sizes], dim=1)
        is_known = values.isfinite()
        if self.training and self.drop:
            # Drawn on the CPU from torch's generator: one seed, one run on every device.
            is_told = torch.rand(len(values), 1) >= self.drop
            is_known = is_known & is_told.to(values.device)
        known = torch.where(is_known, values / self.scale, torch.zeros_like(values))
        vector: Tensor = self.layers(torch.cat([known, (~is_known).to(known)], dim=1))
        return vector

    def _take(self, inputs: Mapping[str, Tensor], stream: str) -> Tensor:
        values = take_stream(inputs, stream, 2, "(clips, width)")
        require_width(values, stream, self.sizes[stream])
        return values.float()


def build_metadata(
    shapes: Mapping[str, InputShape], streams: Sequence[str], scale: float, drop: float
) -> CameraMetadata | None:
    """A perceptron over vector streams; None where none is named.

    Raises:
        InvalidValueError: A stream is missing or no vector, or an option is out of its range.
    """
    if isinstance(streams, str) or len(set(streams)) != len(streams):
        raise InvalidValueError(f"metadata {streams!r} must be names of streams, each once")
    if not scale > 0:
        raise InvalidValueError(f"metadata_scale {scale:g} must be above 0")
    if not 0 <= drop < 1:
        raise InvalidValueError(f"drop_metadata {drop:g} must be at least 0 and below 1")
    if not streams:
        return None
    return CameraMetadata({stream: _width(shapes, stream) for stream in streams}, scale, drop)


def _width(shapes: Mapping[str, InputShape], stream: str) -> int:
    shape = require_stream(shapes, stream).shape
    if len(shape) != 1:
        raise InvalidValueError(
            f"{stream!r} has rows of shape {shape} but metadata needs one axis; "
            "name a column of numbers"
        )
    return shape[0]
