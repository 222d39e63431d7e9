"""What a teacher that listens gathers over one shard."""

from collections.abc import Mapping

import numpy as np

from avkd.pipeline.extraction.batches import Batches, Looking
from avkd.pipeline.extraction.buffers import (
    USABLE_STATUSES,
    ShardContent,
    average_seen,
    blank_rows_not_finite,
    plan_places,
)
from avkd.pipeline.extraction.plan import Failure
from avkd.stages.teachers.audio_declaration import AudioTeacher
from avkd.stages.teachers.audio_windows import lay_windows
from avkd.stages.types import ClipPolicy, DecodedClip
from avkd.storage.schema import ProducerSpec


class SoundTeacherBuffer:
    """Lets a teacher hear a shard, window by window; its places are (rows, units, windows)."""

    def __init__(
        self,
        teacher: AudioTeacher,
        spec: ProducerSpec,
        policy: ClipPolicy,
        rows_per_shard: int,
        num_steps: Mapping[int, int],
        looking: Looking | None = None,
    ) -> None:
        """Make room for a shard.

        Args:
            teacher: it listens.
            spec: of its outputs as they are stored.
            policy: of the store.
            rows_per_shard: of the store.
            num_steps: by row of the shard, the steps that there may be anything of.
            looking: who computes; by default whoever calls.
        """
        self.name = spec.name
        self._declared = teacher.declaration
        self._windows = lay_windows(teacher.declaration, policy)
        self._num_windows = {row: self._windows.count_real(n) for row, n in num_steps.items() if n}
        self._shape = (rows_per_shard, *self._windows.starts.shape)
        self._batches = Batches(
            teacher,
            plan_places((rows_per_shard, self._windows.starts.size), self._num_windows),
            (self._declared.num_channels, self._windows.num_samples),
            np.int16,
            looking,
        )
        self._failures: dict[int, Failure] = {}

    def put(self, row: int, clip: DecodedClip) -> None:
        """Take the sound of a row; the teacher listens whenever a batch is full."""
        sound = clip.sound(self._declared.waveform_format)
        if sound.status != "ok":
            self._failures[row] = (sound.status, sound.reason)
        if sound.status in USABLE_STATUSES and sound.waveform is not None:
            heard = self._windows.cut(sound.waveform, self._num_windows[row])
            self._batches.put(row * self._windows.starts.size, heard)

    def finish(self) -> ShardContent:
        """Listen to what is left and give all rows, as float32."""
        results = self._batches.finish()
        is_seen = self._batches.is_seen.reshape(self._shape)
        is_one = self._declared.unit == "clip" or self._declared.per == "clip"
        if is_one:
            is_seen = is_seen.reshape(len(is_seen), 1, -1)
        arrays = {
            name: average_seen(array.reshape(*is_seen.shape, *array.shape[1:]), is_seen, 2)
            for name, array in results.items()
        }
        if is_one:
            arrays = {name: array[:, 0] for name, array in arrays.items()}
        self._failures.update(blank_rows_not_finite(self.name, arrays))
        return ShardContent(arrays=arrays, failures=dict(sorted(self._failures.items())))
