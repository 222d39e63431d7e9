"""What a producer gathers over one shard, until it is written.

Conventions: a row counts from the start of its shard. A clip that failed is zeros and a reason;
steps that a clip does not have are zeros. Where a teacher sees several things of a step, or of a
clip that it is stored once for, an output is the mean over these (of logits: the mean of logits,
not of probabilities).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from avkd.pipeline.extraction.batches import Batches, Looking
from avkd.pipeline.extraction.plan import Failure
from avkd.pipeline.extraction.producers import VIEWS, stored_name
from avkd.stages.teachers.declaration import Teacher
from avkd.stages.types import ClipPolicy, DecodedClip, FrameFormat, Pictures
from avkd.stages.views import PARAMETERS, draw_views, replay_views
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
    """Shows the frames of a shard to a teacher.

    Its places are (rows, units, pictures), of which a unit that is seen as a whole has one; each
    picture of a teacher with views has one for every view.
    """

    def __init__(
        self,
        teacher: Teacher,
        spec: ProducerSpec,
        policy: ClipPolicy,
        rows_per_shard: int,
        num_steps: Mapping[int, int],
        looking: Looking | None = None,
    ) -> None:
        """Make room for a shard.

        Args:
            teacher: it looks.
            spec: of its outputs as they are stored.
            policy: of the store.
            rows_per_shard: of the store.
            num_steps: by row of the shard, the steps that there may be anything of.
            looking: who computes; by default whoever calls.
        """
        declared = teacher.declaration
        most_steps, frames_per_step = policy.num_steps, policy.frames_per_step
        lead = {
            "frame": (rows_per_shard, most_steps, frames_per_step),
            "step": (rows_per_shard, most_steps, 1),
            "clip": (rows_per_shard, 1, 1),
        }[declared.unit]
        self.name = spec.name
        self._declared = declared
        self._num_in_unit = frames_per_step * (most_steps if declared.unit == "clip" else 1)
        self._shape = lead if declared.views is None else (*lead, declared.views.num_views)
        self._policy = policy
        self._drawn = np.zeros((*self._shape[:2], *self._shape[3:], len(PARAMETERS)), np.float32)
        num_units = {row: 1 if declared.unit == "clip" else n for row, n in num_steps.items() if n}
        self._batches = Batches(
            teacher,
            plan_places(self._shape, num_units),
            declared.input_shape(self._num_in_unit),
            declared.frame_format.dtype,
            looking,
        )
        self._failures: dict[int, Failure] = {}

    def put(self, row: int, clip: DecodedClip) -> None:
        """Take the frames of a row; the teacher looks whenever a batch is full."""
        if clip.frames_status != "ok":
            self._failures[row] = (clip.frames_status, clip.frames_reason)
        if clip.frames_status in USABLE_STATUSES:
            frames = clip.frames[self._declared.frame_format][: clip.num_frames]
            place = row * int(np.prod(self._shape[1:]))
            for items in self._list_items(row, clip.clip_id, frames):
                self._batches.put(place, items)
                place += len(items)

    def finish(self) -> ShardContent:
        """Look at what is left and give all rows, as float32, or uint8 where the output is."""
        results = self._batches.finish()
        is_seen = self._batches.is_seen.reshape(self._shape)
        arrays: dict[str, AnyArray] = {
            stored_name(self._declared, name): self._average(array, is_seen)
            for name, array in results.items()
        }
        if self._declared.views is not None:
            arrays[VIEWS] = self._drawn
        self._failures.update(blank_rows_not_finite(self.name, arrays))
        return ShardContent(arrays=arrays, failures=dict(sorted(self._failures.items())))

    def _list_items(self, row: int, clip_id: str, frames: Pictures) -> Iterator[AnyArray]:
        """Give what fills the places of a row from its first on."""
        declared = self._declared
        if declared.views is not None:
            for first in range(0, len(frames), self._policy.frames_per_step):
                step = first // self._policy.frames_per_step
                views = declared.views
                size = declared.frame_format
                drawn = draw_views(views, clip_id, step, size.width / size.height)
                self._drawn[row, step] = drawn
                of_step = frames[first : first + self._policy.frames_per_step]
                shown = replay_views(of_step, drawn[np.newaxis], (views.height, views.width))
                yield shown.reshape(-1, *shown.shape[2:])
        elif declared.unit == "frame":
            yield frames
        else:
            for first in range(0, len(frames), self._num_in_unit):
                there = frames[first : first + self._num_in_unit]
                # The usual way with videos that are too short: they begin again.
                yield there[np.arange(self._num_in_unit) % len(there)][np.newaxis]

    def _average(self, results: AnyArray, is_seen: npt.NDArray[np.bool_]) -> AnyArray:
        """Average (places, *shape) over what was seen: (rows, steps, *shape), or (rows, *shape)."""
        results = results.reshape(*is_seen.shape, *results.shape[1:])
        if self._declared.per == "clip" or self._declared.unit == "clip":
            num_rows, num_units, num_pictures = is_seen.shape
            tail = results.shape[3:]
            results = results.reshape(num_rows, num_units * num_pictures, *tail)
            return average_seen(results, is_seen.reshape(num_rows, -1), 1)
        return average_seen(results, is_seen, 2)


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


def plan_places(shape: Sequence[int], num_real: Mapping[int, int]) -> npt.NDArray[np.bool_]:
    """Tell to which places of a shard anything can come.

    Args:
        shape: of all places: (rows, units, ...).
        num_real: by row, how many of its units are there; a row that is not named has none.
    """
    is_planned = np.zeros(tuple(shape), bool)
    for row, num_units in num_real.items():
        is_planned[row, :num_units] = True
    return is_planned.reshape(-1)


def average_seen(results: AnyArray, is_seen: npt.NDArray[np.bool_], axis: int) -> AnyArray:
    """Average over one axis of places, of those that were seen; places are the first axes."""
    if is_seen.shape[axis] == 1:
        return results.squeeze(axis)
    # Places that were not seen are zero: the sum is over those that were.
    num_seen = np.maximum(is_seen.sum(axis=axis), 1).astype(np.float32)
    tail = [1] * (results.ndim - is_seen.ndim)
    averages: AnyArray = results.sum(axis=axis) / num_seen.reshape(*num_seen.shape, *tail)
    return averages


def _rows_not_finite(arrays: Mapping[str, AnyArray]) -> list[int]:
    is_bad = np.any(
        [~np.isfinite(array).reshape(len(array), -1).all(axis=1) for array in arrays.values()],
        axis=0,
    )
    return [int(row) for row in np.nonzero(is_bad)[0]]
