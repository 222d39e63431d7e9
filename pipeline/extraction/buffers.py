"""What a producer gathers over one shard, until it is written.

Conventions: a row counts from the start of its shard. A clip that failed is zeros and a reason;
steps that a clip does not have are zeros. With several frames a step, an output is the mean over
the step's frames (of logits: the mean of logits, not of probabilities).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from avkd.pipeline.extraction.batches import FrameBatches
from avkd.pipeline.extraction.plan import Failure
from avkd.stages.teachers.declaration import Teacher
from avkd.stages.types import ClipPolicy, DecodedClip, FrameFormat
from avkd.storage.schema import ProducerSpec

AnyArray = npt.NDArray[Any]
USABLE_STATUSES = ("ok", "partial")


@dataclass(frozen=True, kw_only=True)
class ShardContent:
    """A shard of one producer."""

    arrays: Mapping[str, AnyArray]
    """Output name to (rows_per_shard, *shape of the output); boxes as their teacher gives them."""
    failures: Mapping[int, Failure]
    """Row of the shard to status and reason; a ``partial`` row has content as well."""


class ShardBuffer(Protocol):
    """Gathers one producer's share of a shard, row by row, in order."""

    name: str

    def put(self, row: int, clip: DecodedClip) -> None:
        """Take what was decoded for a row."""
        ...

    def finish(self) -> ShardContent:
        """Give all rows."""
        ...


class TeacherBuffer:
    """Shows the frames of a shard to a teacher."""

    def __init__(
        self, teacher: Teacher, spec: ProducerSpec, policy: ClipPolicy, rows_per_shard: int
    ) -> None:
        """Make room for a shard."""
        self.name = spec.name
        self._spec = spec
        self._shape = (rows_per_shard, policy.num_steps, policy.frames_per_step)
        self._frame_format = teacher.declaration.frame_format
        self._batches = FrameBatches(teacher, int(np.prod(self._shape)))
        self._failures: dict[int, Failure] = {}

    def put(self, row: int, clip: DecodedClip) -> None:
        """Take the frames of a row; the teacher looks whenever a batch is full."""
        if clip.frames_status != "ok":
            self._failures[row] = (clip.frames_status, clip.frames_reason)
        if clip.frames_status in USABLE_STATUSES:
            frames = clip.frames[self._frame_format][: clip.num_frames]
            self._batches.put(row * self._shape[1] * self._shape[2], frames)

    def finish(self) -> ShardContent:
        """Look at what is left and give all rows, as float32, or uint8 where the output is."""
        results = self._batches.finish()
        is_seen = self._batches.is_seen.reshape(self._shape)
        arrays = {
            output.name: _average_steps(results[output.name], is_seen)
            for output in self._spec.outputs
        }
        self._failures.update(blank_rows_not_finite(self.name, arrays))
        return ShardContent(arrays=arrays, failures=dict(sorted(self._failures.items())))


class WaveformBuffer:
    """Keeps the sound of a shard."""

    def __init__(self, spec: ProducerSpec, rows_per_shard: int) -> None:
        """Make room for a shard: int16 (rows_per_shard, channels, samples)."""
        self.name = spec.name
        (output,) = spec.outputs
        self._output = output.name
        self._waveforms = np.zeros((rows_per_shard, *output.shape), np.int16)
        self._failures: dict[int, Failure] = {}

    def put(self, row: int, clip: DecodedClip) -> None:
        """Take the sound of a row."""
        if clip.waveform_status != "ok":
            self._failures[row] = (clip.waveform_status, clip.waveform_reason)
        if clip.waveform_status in USABLE_STATUSES and clip.waveform is not None:
            self._waveforms[row] = clip.waveform

    def finish(self) -> ShardContent:
        """Give all rows."""
        return ShardContent(arrays={self._output: self._waveforms}, failures=self._failures)


class FramesBuffer:
    """Keeps the pictures of a shard."""

    def __init__(self, spec: ProducerSpec, frame_format: FrameFormat, rows_per_shard: int) -> None:
        """Make room for a shard: uint8 (rows_per_shard, pictures, height, width, 3)."""
        self.name = spec.name
        (output,) = spec.outputs
        self._output = output.name
        self._frame_format = frame_format
        self._frames = np.zeros((rows_per_shard, *output.shape), np.uint8)
        self._failures: dict[int, Failure] = {}

    def put(self, row: int, clip: DecodedClip) -> None:
        """Take the pictures of a row."""
        if clip.frames_status != "ok":
            self._failures[row] = (clip.frames_status, clip.frames_reason)
        if clip.frames_status in USABLE_STATUSES:
            frames = clip.frames[self._frame_format][: clip.num_frames]
            self._frames[row, : len(frames)] = frames

    def finish(self) -> ShardContent:
        """Give all rows."""
        return ShardContent(arrays={self._output: self._frames}, failures=self._failures)


def blank_rows_not_finite(name: str, arrays: Mapping[str, AnyArray]) -> dict[int, Failure]:
    """Put zeros into rows with a value that is not finite, and give these rows' failures."""
    failures = {}
    for row in _rows_not_finite(arrays):
        failures[row] = ("not_finite", f"{name} gave values that are not finite")
        for array in arrays.values():
            array[row] = 0
    return failures


def _average_steps(results: AnyArray, is_seen: npt.NDArray[np.bool_]) -> AnyArray:
    """Average (slots, *shape) over the frames seen of every step: (rows, steps, *shape)."""
    num_rows, num_steps, frames_per_step = is_seen.shape
    tail = results.shape[1:]
    if frames_per_step == 1:
        return results.reshape(num_rows, num_steps, *tail)
    # Slots that were not seen are zero: the sum is over those that were.
    sums = results.reshape(num_rows, num_steps, frames_per_step, *tail).sum(axis=2)
    num_seen = np.maximum(is_seen.sum(axis=2), 1).astype(np.float32)
    averages: AnyArray = sums / num_seen.reshape(num_rows, num_steps, *[1] * len(tail))
    return averages


def _rows_not_finite(arrays: Mapping[str, AnyArray]) -> list[int]:
    is_bad = np.any(
        [~np.isfinite(array).reshape(len(array), -1).all(axis=1) for array in arrays.values()],
        axis=0,
    )
    return [int(row) for row in np.nonzero(is_bad)[0]]
