"""What a teacher that listens says of itself: which sound, how much of it at once, what it gives.

Imports no torch: asking whether a store already holds a teacher must be quick.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol, TypeAlias, TypeGuard

import numpy.typing as npt

from avkd.stages.teachers.declaration import (
    Predictions,
    Teacher,
    TeacherDeclaration,
    runtime_fingerprint,
)
from avkd.stages.teachers.request import TeacherRequest
from avkd.stages.types import TeacherOutput, WaveformFormat

AUDIO_STREAM = "audio"


@dataclass(frozen=True, kw_only=True)
class AudioDeclaration:
    """A teacher of sound without its network."""

    name: str
    waveform_format: WaveformFormat
    outputs: tuple[TeacherOutput, ...]
    """Of a step, or of a clip where that is the unit."""
    fingerprint: Mapping[str, object]
    """JSON; what decides the bytes of the targets beside what is said here."""
    batch_size: int
    """Every batch has exactly this many windows; the last one of a shard is padded."""
    unit: Literal["step", "clip"] = "step"
    """What it listens to and speaks of."""
    num_samples: int = 0
    """Of a window, which is one input of its network; 0 is the whole unit. Windows that are shorter
    lie evenly in their unit and what is said of them is averaged; a longer one lies around its
    middle and reaches into the sound beside it."""
    per: Literal["step", "clip"] = "step"
    """As of ``TeacherDeclaration``."""
    stream: str = AUDIO_STREAM

    @property
    def num_channels(self) -> int:
        """Of a window."""
        return self.waveform_format.num_channels if self.waveform_format.channels == "all" else 1

    def describe_sound(self) -> Mapping[str, object]:
        """Give what it hears; JSON."""
        return {
            **asdict(self.waveform_format),
            "num_samples": self.num_samples,
            "unit": self.unit,
        }


class AudioTeacher(Protocol):
    """A loaded teacher that listens."""

    @property
    def declaration(self) -> AudioDeclaration:
        """What it declared."""
        ...

    def predict(self, waveforms: npt.NDArray[Any]) -> Predictions:
        """Listen to int16 (batch_size, channels, samples) windows.

        A window's result depends on it alone.
        """
        ...


AnyDeclaration: TypeAlias = TeacherDeclaration | AudioDeclaration
AnyTeacher: TypeAlias = Teacher | AudioTeacher


def listens(teacher: AnyTeacher) -> TypeGuard[AudioTeacher]:
    """Whether a teacher hears its clips."""
    return isinstance(teacher.declaration, AudioDeclaration)


def looks(teacher: AnyTeacher) -> TypeGuard[Teacher]:
    """Whether a teacher sees its clips."""
    return isinstance(teacher.declaration, TeacherDeclaration)


def declare_audio(
    request: TeacherRequest,
    *,
    weights_sha256: str,
    sample_rate: int,
    outputs: tuple[TeacherOutput, ...],
    samples_per_step: int = 0,
    channels: Literal["first", "mix"] = "mix",
    unit: Literal["step", "clip"] = "step",
    normalises: bool = False,
) -> AudioDeclaration:
    """Declare a network that takes one channel.

    Args:
        request: resolved.
        weights_sha256: of its weights.
        sample_rate: in Hz.
        outputs: of a step, or of a clip.
        samples_per_step: of one input of the network; 0 takes what a unit has.
        channels: how the channels of a file become one.
        unit: what it listens to.
        normalises: whether each window is brought to mean 0 and variance 1.
    """
    return AudioDeclaration(
        name=request.name,
        waveform_format=WaveformFormat(sample_rate=sample_rate, channels=channels),
        outputs=outputs,
        fingerprint={
            "family": request.family,
            "weights_sha256": weights_sha256,
            "normalises": normalises,
            "outputs": [{"name": each.name, "shape": list(each.shape)} for each in outputs],
            **runtime_fingerprint(request),
        },
        batch_size=request.batch_size,
        unit=unit,
        num_samples=samples_per_step,
    )
