"""The values that pass between stages, with their shapes and units.

Conventions: times are seconds on the clock of the recording, from its first presented instant;
pictures are uint8 RGB or uint16 gray, height by width by channel; waveforms are int16, channel by
sample. This module imports no torch, so that the decode child can use it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from avkd.errors import InvalidValueError, UnknownNameError

Tail: TypeAlias = Literal["keep", "drop"]
Fit: TypeAlias = Literal["cover", "stretch"]
Pixels: TypeAlias = Literal["rgb24", "gray16"]
Resampling: TypeAlias = Literal["bicubic", "nearest"]
DecoderName: TypeAlias = Literal["pyav", "decord"]
DECODERS: tuple[DecoderName, ...] = ("pyav", "decord")
"""Of pictures; 16-bit gray and sound are PyAV's."""
Pictures: TypeAlias = npt.NDArray[Any]
"""uint8 (..., height, width, 3), or uint16 (..., height, width, 1) of ``gray16``."""
RowStatus: TypeAlias = Literal[
    "ok",
    "partial",
    "no_video",
    "no_audio",
    "too_short",
    "decode_error",
    "timeout",
    "crashed",
    "not_finite",
    "skipped",
]

CLASS_MAP = "class_map"
"""The output of teachers that say the class of each pixel: uint8 (height, width) of places in its
``class_names``."""
IS_TRUTH = "is_truth"
"""An attribute of a stored class map that nobody said: it is the corpus's own."""
IGNORED_CLASS = 255
"""In the truth of a class map: a pixel that counts for nothing. No class has that place."""


@dataclass(frozen=True, kw_only=True)
class ClipPolicy:
    """How a recording is cut into clips, a clip into steps, and who decodes its pictures."""

    clip_seconds: float = 20.0
    step_seconds: float = 5.0
    frames_per_step: int = 1
    tail: Tail = "keep"
    """Whether a last clip with fewer steps is kept; its row is masked, not short."""
    decoder: DecoderName = "pyav"

    def __post_init__(self) -> None:
        if self.decoder not in DECODERS:
            raise UnknownNameError("decoder", self.decoder, DECODERS)
        steps = self.clip_seconds / self.step_seconds if self.step_seconds > 0 else 0.0
        if steps < 1 or abs(steps - round(steps)) > 1e-9:
            raise InvalidValueError(
                f"clip_seconds {self.clip_seconds} is not a whole number of steps of "
                f"{self.step_seconds} s; choose a multiple"
            )
        if self.frames_per_step < 1:
            raise InvalidValueError(f"frames_per_step {self.frames_per_step} must be 1 or more")

    @property
    def num_steps(self) -> int:
        """Steps of a full clip: the length of the step axis of every row."""
        return round(self.clip_seconds / self.step_seconds)


@dataclass(frozen=True, kw_only=True)
class ClipSpan:
    """One clip of a recording."""

    start_seconds: float
    duration_seconds: float
    num_steps: int
    """Real steps, from 1 to the policy's; the steps after them are zero and masked."""


@dataclass(frozen=True, kw_only=True)
class FrameFormat:
    """How a teacher or a student wants its pictures: scaled, then the centre cut out."""

    height: int
    width: int
    crop_fraction: float = 0.875
    """Crop height over scaled height: 0.875 scales the shorter side to 256 for a crop of 224."""
    fit: Fit = "cover"
    """``cover`` keeps the proportions and loses what sticks out. ``stretch`` shows all of the
    picture, each side scaled by its own: a fraction of it is that fraction of the native one."""
    pixels: Pixels = "rgb24"
    """``gray16`` takes pictures that are 16-bit gray in their file, with every bit."""
    resampling: Resampling = "bicubic"
    """``nearest`` keeps values that are names, such as the classes of a class map."""

    def __post_init__(self) -> None:
        if self.fit == "stretch" and self.crop_fraction != 1:
            raise InvalidValueError(
                f"crop_fraction {self.crop_fraction} cuts what stretch shows whole; take 1"
            )

    @property
    def picture_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of one picture."""
        return self.height, self.width, 3 if self.pixels == "rgb24" else 1

    @property
    def dtype(self) -> type[np.uint8] | type[np.uint16]:
        """Of its pictures."""
        return np.uint8 if self.pixels == "rgb24" else np.uint16


@dataclass(frozen=True, kw_only=True)
class WaveformFormat:
    """How a student wants its sound."""

    sample_rate: int = 22_050
    num_channels: int = 1
    channels: Literal["first", "mix", "all"] = "first"
    """``first`` keeps channel 0 (SoundNet's rule), ``mix`` averages, ``all`` keeps num_channels."""


@dataclass(frozen=True, kw_only=True)
class MediaInfo:
    """What the container of a recording declares."""

    duration_seconds: float
    has_video: bool
    has_audio: bool
    width: int = 0
    height: int = 0
    frame_rate: float = 0.0
    sample_rate: int = 0
    num_channels: int = 0


@dataclass(frozen=True, kw_only=True)
class DecodedSound:
    """The sound of one clip in one format."""

    status: RowStatus
    """``ok``; ``partial`` when sound ends earlier than the file declares; ``skipped`` when none was
    asked for; else why there is none."""
    reason: str = ""
    waveform: npt.NDArray[np.int16] | None = None
    """(num_channels, num_samples) of a full clip, zeros after the end of the sound; None when the
    status is neither ``ok`` nor ``partial``."""


@dataclass(frozen=True, kw_only=True)
class DecodedClip:
    """What decoding gave for one clip; a failure is a status with a reason, never an exception.

    Pictures and sound fail apart: a recording without a picture still delivers its sound.
    """

    clip_id: str
    frames_status: RowStatus = "skipped"
    """``ok``; ``partial`` when the last pictures are missing or damaged; ``skipped`` when none were
    asked for; else why there are none."""
    frames_reason: str = ""
    frames: Mapping[FrameFormat, Pictures] = field(default_factory=dict)
    """Per format (num_steps * frames_per_step, height, width, channels), real steps only; zeros
    from ``num_frames`` on; empty when the status is neither ``ok`` nor ``partial``."""
    num_frames: int = 0
    """Pictures there are, counted from the first; all of them when the status is ``ok``."""
    waveform_status: RowStatus = "skipped"
    """As ``frames_status``; ``partial`` when sound ends earlier than the file declares."""
    waveform_reason: str = ""
    waveform: npt.NDArray[np.int16] | None = None
    """(num_channels, num_samples) of a full clip, zeros after the end of the sound; None when the
    status is neither ``ok`` nor ``partial``."""
    more_sound: Mapping[WaveformFormat, DecodedSound] = field(default_factory=dict)
    """In each format beside that of ``waveform``: a file may have too few channels for one alone.
    Empty where all of them failed in one way."""

    def sound(self, waveform_format: WaveformFormat) -> DecodedSound:
        """What there is in a format that was asked for."""
        first = DecodedSound(
            status=self.waveform_status, reason=self.waveform_reason, waveform=self.waveform
        )
        return self.more_sound.get(waveform_format, first)


@dataclass(frozen=True, kw_only=True)
class TeacherOutput:
    """One thing that a teacher says of every frame it sees, or of a whole clip."""

    name: str
    shape: tuple[int, ...]
    """Of one frame or clip, such as (1000,); the store adds the row axis and that of steps."""
    axes: tuple[str, ...]
    class_names: tuple[str, ...] = ()
    activation: Literal["softmax", "sigmoid", "none"] = "none"
    """What turns logits into probabilities."""
    dtype: Literal["float16", "float32", "uint8"] = "float16"
    """In the store. ``uint8`` holds classes, places in ``class_names``, which no average is of."""
    layout: Literal["dense", "boxes"] = "dense"
    """``boxes`` are given as (most, 6): x_min, y_min, x_max, y_max as fractions of the picture,
    score, class; a score of 0 says that there is none."""
    attributes: Mapping[str, object] = field(default_factory=dict)
    """What else a reader of the store must know; JSON."""
