"""Batches whose contents are fixed by rows and steps, never by what happened to other clips.

Slots: what a teacher takes of a shard lies on a line. A picture's place is ``(row * num_steps +
step) * frames_per_step + frame`` with the row counted in the shard; windows of sound, views and
whole steps have theirs in the same way. Places that nothing can come to, as the plan tells, are
passed over: steps beyond the end of a recording, recordings that could not be cut, clips that an
earlier attempt holds. The other places are the slots, numbered one after the other, and batch ``b``
of a teacher is the slots from ``b * batch_size`` on. A slot to which nothing came is zero, the last
batch is padded, and a batch without anything is not computed.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
from numpy.typing import DTypeLike

from avkd.stages.teachers.audio_declaration import AnyTeacher
from avkd.stages.teachers.declaration import Predictions
from avkd.stages.teachers.loaded import Finish, begin_predicting

Items: TypeAlias = npt.NDArray[Any]


class Looking(Protocol):
    """Who computes a teacher's batches."""

    def do(self, work: Callable[[], None]) -> None:
        """Do it, or see to it that it is done after what was given before.

        Raises:
            Exception: of this or of earlier work.
        """
        ...

    def wait(self) -> None:
        """Return when all is done.

        Raises:
            Exception: of any work.
        """
        ...


class LookingAtOnce:
    """Batches are computed by whoever fills them."""

    def do(self, work: Callable[[], None]) -> None:
        """Do it."""
        work()

    def wait(self) -> None:
        """All is done already."""


class Batches:
    """One teacher's batches over one shard; holds one that is filled, and those being computed."""

    def __init__(
        self,
        teacher: AnyTeacher,
        is_planned: npt.NDArray[np.bool_],
        item_shape: Sequence[int],
        dtype: DTypeLike,
        looking: Looking | None = None,
    ) -> None:
        """Make room for the results: (places, *shape) an output, uint8 or float32.

        Args:
            teacher: it looks or listens.
            is_planned: (places,): to which anything can come.
            item_shape: of what is in a slot.
            dtype: of that.
            looking: who computes; by default whoever calls.
        """
        declaration = teacher.declaration
        self._teacher = teacher
        self._looking = looking or LookingAtOnce()
        self._batch_size = declaration.batch_size
        self._places = np.flatnonzero(is_planned)
        self._slots = np.cumsum(is_planned) - 1
        self._first_slot = 0
        self._items: Items = np.zeros((self._batch_size, *item_shape), dtype)
        self._is_real = np.zeros(self._batch_size, bool)
        self._begun: tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], Finish] | None = None
        self._results = {
            output.name: np.zeros(
                (len(is_planned), *output.shape),
                np.uint8 if output.dtype == "uint8" else np.float32,
            )
            for output in declaration.outputs
        }
        self.is_seen = np.zeros(len(is_planned), bool)
        """To which places something came."""

    def put(self, place: int, items: Items) -> None:
        """Lay (n, *item_shape) items into the places from ``place`` on, which all are planned.

        ``place`` only moves up.
        """
        slot = int(self._slots[place]) if len(items) else 0
        while len(items):
            self._move_to(slot)
            begin = slot - self._first_slot
            part = items[: self._batch_size - begin]
            self._items[begin : begin + len(part)] = part
            self._is_real[begin : begin + len(part)] = True
            slot, items = slot + len(part), items[len(part) :]

    def finish(self) -> Predictions:
        """Compute what is left and give the results; places to which nothing came are zero."""
        self._compute()
        self._looking.do(self._collect)
        self._looking.wait()
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
        places = self._places[self._first_slot + real]
        self.is_seen[places] = True
        self._looking.do(partial(self._look, self._items, real, places))
        # Not the same again: what a teacher gives may lie in what it was given.
        self._items = np.zeros_like(self._items)
        self._is_real[:] = False

    def _look(self, items: Items, real: npt.NDArray[np.intp], places: npt.NDArray[np.intp]) -> None:
        finish = begin_predicting(self._teacher, items)
        self._collect()
        self._begun = real, places, finish

    def _collect(self) -> None:
        """Keep what was begun last."""
        if self._begun is None:
            return
        real, places, finish = self._begun
        self._begun = None
        predictions = finish()
        for name, results in self._results.items():
            results[places] = predictions[name][real]
