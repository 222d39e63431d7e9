"""The small TOML beside a network of sound in a file; one of pictures is in ``description``.

Imports no torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from avkd.errors import InvalidValueError
from avkd.stages.teachers.audio_declaration import AUDIO_STREAM
from avkd.stages.teachers.files.reading import (
    ONNX_SUFFIX,
    STRICTLY,
    ClassNames,
    OutputDescription,
    find_class_names,
    find_network,
    parse,
    read_toml,
    refuse_first,
    refuse_wrong_outputs,
)

_HIGHEST_RATE = 384_000


@dataclass(frozen=True, kw_only=True)
class SoundFileDescription:
    """A network of sound in a file."""

    __pydantic_config__ = STRICTLY

    file: str
    """Beside the TOML, or in a folder below."""
    stream: Literal["audio"]
    sample_rate: int
    outputs: Mapping[str, OutputDescription]
    """By the name under which they are stored."""
    samples_per_step: int = 0
    """Of one input of the network; 0 is all of a step, or of a clip."""
    unit: Literal["step", "clip"] = "step"
    """What it listens to."""
    channels: Literal["first", "mix"] = "mix"
    """How the channels of a recording become one."""
    normalises: bool = False
    """Whether each window is brought to mean 0 and variance 1; sound is in [-1, 1] otherwise."""


@dataclass(frozen=True, kw_only=True)
class FoundSound:
    """A description with the place where it was found."""

    path: Path
    told: SoundFileDescription
    class_names: ClassNames

    @property
    def file(self) -> Path:
        """The network."""
        return self.path.parent / self.told.file


def describes_sound(path: str) -> bool:
    """Whether a file is the description of a network of sound."""
    try:
        return read_toml(Path(path).expanduser()).get("stream") == AUDIO_STREAM
    except InvalidValueError:
        return False


def read_sound_description(path: str | Path) -> FoundSound:
    """Read and check a description, and the names of classes that it points at.

    Raises:
        InvalidValueError: naming the first key that is wrong.
    """
    place = Path(path).expanduser().absolute()
    told = parse(place, SoundFileDescription, {})
    maps = [name for name, output in told.outputs.items() if output.kind == "map"]
    faults = {
        f"sample_rate {told.sample_rate} must be 1 to {_HIGHEST_RATE}": not (
            1 <= told.sample_rate <= _HIGHEST_RATE
        ),
        f"samples_per_step {told.samples_per_step} must be 0 or more": told.samples_per_step < 0,
        f"outputs.{', '.join(maps)}: a map is of a picture; name logits or an embedding": maps
        != [],
    }
    refuse_first(place, faults)
    refuse_wrong_outputs(place, told.outputs)
    find_network(place, told.file, (ONNX_SUFFIX,), "export the network to ONNX")
    return FoundSound(path=place, told=told, class_names=find_class_names(place, told.outputs))
