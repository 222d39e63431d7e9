"""What a worker is told about one shard, and what it tells back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from avkd.pipeline.extraction.partial_rule import PartialRule
from avkd.pipeline.extraction.pictures import AnyPictures
from avkd.stages.media.limits import DEFAULT_LIMITS, DecodeLimits
from avkd.stages.teachers.request import TeacherRequest
from avkd.stages.types import FrameFormat, WaveformFormat

TeacherInput: TypeAlias = tuple[str, FrameFormat] | WaveformFormat
"""What a teacher is shown: pictures of a stream, or sound."""


@dataclass(frozen=True, kw_only=True)
class ShardTask:
    """A shard to compute: small, and the same for every executor.

    What is named or given here lacks this shard.
    """

    store: str
    shard: int
    teachers: tuple[TeacherRequest, ...] = ()
    """That look or listen; resolved."""
    shown: Mapping[str, TeacherInput] = field(default_factory=dict)
    """By name what each of them is shown: to decode it, its load need not be awaited."""
    waveform: WaveformFormat | None = None
    frames: FrameFormat | None = None
    pictures: tuple[AnyPictures, ...] = ()
    """Of streams, as student inputs and as true class maps."""
    vectors: tuple[str, ...] = ()
    trained: tuple[TeacherRequest, ...] = ()
    """Teachers that look at what the others stored, each after those it looks at; resolved."""
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    """Producer name to the digest that a worker must find."""
    num_decode_workers: int = 1
    decode_limits: DecodeLimits = DEFAULT_LIMITS
    on_partial: PartialRule = "keep"
    num_threads: int = 0
    """Of the teachers' libraries; 0 leaves it to them."""

    @property
    def needs_decoding(self) -> bool:
        """Whether there is anything to look at or to listen to."""
        has_inputs = self.waveform is not None or self.frames is not None
        return bool(self.teachers or self.pictures) or has_inputs

    def __str__(self) -> str:
        return f"shard {self.shard}"


@dataclass(frozen=True, kw_only=True)
class ShardReceipt:
    """What became of a shard."""

    shard: int
    num_clips: int
    num_failed: int
    """Clips that at least one producer has neither whole nor in part."""
    seconds: Mapping[str, float]
    """``load`` of teachers, ``decode`` (waiting for pictures and sound), ``model``, ``write``."""
    stalls: Mapping[str, float] = field(default_factory=dict)
    """What its worker waited for since the receipt before (``stalls``)."""
    was_there: bool = False
    """Everything was committed before the task began: nothing was computed."""
    was_raced: bool = False
    """Another run committed the shard while this one computed it."""
