"""What an encoder of any streams is: clips of one stream or of several to one embedding each.

Beside the encoders of sound over time (``registry.py``), for students and teachers that say one
thing of a clip. Conventions: B clips, D width of an embedding.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ParamSpec

from torch import Tensor, nn

from avkd.errors import InvalidValueError
from avkd.stages.registry import Registry

Options = ParamSpec("Options")


@dataclass(frozen=True, kw_only=True)
class InputShape:
    """What a store holds of one student input."""

    shape: tuple[int, ...]
    """Of one row."""
    sample_rate: int = 0
    """Of a waveform."""
    frames_per_step: int = 1
    """Of pictures: how many of them lie in a step."""
    step_seconds: float = 0.0
    """Of a waveform: how long a step of its clips is; 0 where that is not known."""


class StreamEncoder(nn.Module, ABC):
    """Inputs of a batch to one embedding a clip."""

    streams: tuple[str, ...]
    """The inputs that are read, in order: ``waveform``, ``frames``, a vector stream, or a teacher
    whose stored embedding is looked at."""
    embedding_size: int
    """The width D of the embedding."""
    part_sizes: Mapping[str, int] = {}
    """Where the embedding is one stream's beside the other's: their widths, in order."""

    @abstractmethod
    def forward(self, inputs: Mapping[str, Tensor], num_steps: Tensor) -> Tensor:
        """The embedding (B, D) of clips; ``num_steps`` (B,) says how many steps are real."""


STREAM_ENCODERS: Registry[StreamEncoder] = Registry(
    kind="stream encoder",
    package="avkd.stages.encoders",
    entry_point_group="avkd.stream_encoders",
)


def register_stream_encoder(
    builder: Callable[Options, StreamEncoder],
) -> Callable[Options, StreamEncoder]:
    """Enter a function that builds an encoder; its first argument is the ``shapes`` of inputs."""
    return STREAM_ENCODERS.register(builder)


def stream_encoder_names() -> tuple[str, ...]:
    """Every encoder of streams there is, sorted."""
    return STREAM_ENCODERS.names()


def build_stream_encoder(
    name: str, shapes: Mapping[str, InputShape], **options: object
) -> StreamEncoder:
    """Build an encoder with fresh weights from torch's global generator.

    Raises:
        UnknownNameError: No encoder has that name.
        InvalidValueError: The encoder does not take one of the options, or lacks a stream.
    """
    return STREAM_ENCODERS.build(name, shapes=shapes, **options)


def require_stream(shapes: Mapping[str, InputShape], stream: str) -> InputShape:
    """The shape of a stream.

    Raises:
        InvalidValueError: The store has no such input.
    """
    if stream not in shapes:
        raise InvalidValueError(
            f"the store has no input {stream!r} but {', '.join(sorted(shapes)) or 'none'}; "
            "extract it, or name another stream"
        )
    return shapes[stream]
