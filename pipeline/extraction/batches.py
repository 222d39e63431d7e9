"""Batches whose contents are fixed by rows and steps, never by what happened to other clips.

Slots: the frames of a shard lie on a line, ``(row * num_steps + step) * frames_per_step + frame``
with the row counted in the shard; batch ``b`` of a teacher is the slots from ``b * batch_size``
on. A slot without a picture is zero, the last batch is padded, and a batch without any picture is
not computed.
"""

import numpy as np

from avkd.stages.teachers.declaration import Predictions, Teacher
from avkd.stages.types import Pictures


class FrameBatches:
    """One teacher's batches over one shard; holds one batch of pictures at a time."""

    def __init__(self, teacher: Teacher, num_slots: int) -> None:
        """Make room for the results: (num_slots, *shape) an output, uint8 or float32."""
        declaration = teacher.declaration
        size = declaration.frame_format
        self._teacher = teacher
        self._batch_size = declaration.batch_size
        self._first_slot = 0
        self._frames: Pictures = np.zeros((self._batch_size, *size.picture_shape), size.dtype)
        self._is_real = np.zeros(self._batch_size, bool)
        self._results = {
            output.name: np.zeros(
                (num_slots, *output.shape), np.uint8 if output.dtype == "uint8" else np.float32
            )
            for output in declaration.outputs
        }
        self.is_seen = np.zeros(num_slots, bool)
        """Which slots held a picture."""

    def put(self, slot: int, frames: Pictures) -> None:
        """Lay (n, height, width, channels) frames into the slots from ``slot`` on.

        ``slot`` only moves up.
        """
        while len(frames):
            self._move_to(slot)
            begin = slot - self._first_slot
            part = frames[: self._batch_size - begin]
            self._frames[begin : begin + len(part)] = part
            self._is_real[begin : begin + len(part)] = True
            slot, frames = slot + len(part), frames[len(part) :]

    def finish(self) -> Predictions:
        """Compute what is left and give the results; slots without a picture are zero."""
        self._compute()
        return self._results

    def _move_to(self, slot: int) -> None:
        if slot < self._first_slot + self._batch_size:
            return
        self._compute()
        self._first_slot = slot - slot % self._batch_size

    def _compute(self) -> None:
        (real,) = np.nonzero(self._is_real)
        if not len(real):
            return
        predictions = self._teacher.predict(self._frames)
        for name, results in self._results.items():
            results[self._first_slot + real] = predictions[name][real]
        self.is_seen[self._first_slot + real] = True
        self._frames[:] = 0
        self._is_real[:] = False
