"""A teacher that is ready to look: its declaration, and the call that keeps it.

Imports no torch: files of other runtimes need none.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy.typing as npt

from avkd.errors import InvalidValueError
from avkd.stages.teachers.audio_declaration import AnyTeacher
from avkd.stages.teachers.declaration import Predictions, TeacherDeclaration

Frames: TypeAlias = npt.NDArray[Any]
Run: TypeAlias = Callable[[Frames], Predictions]
"""One on a device that computes while its caller goes on has a method ``begin`` as well, from
frames, which the caller may change at once, to what finishes them."""
Finish: TypeAlias = Callable[[], Predictions]
"""Waits for what was begun and gives it."""


@dataclass(frozen=True, kw_only=True)
class LoadedTeacher:
    """A declaration and the call that keeps it."""

    declaration: TeacherDeclaration
    run: Run

    def predict(self, frames: Frames) -> Predictions:
        """Look at one whole batch.

        Raises:
            InvalidValueError: for another shape or dtype than was declared.
        """
        self._check(frames)
        return self.run(frames)

    def begin(self, frames: Frames) -> Finish:
        """Begin to look at one whole batch; a CPU has done it when this returns.

        Raises:
            InvalidValueError: as ``predict``.
        """
        self._check(frames)
        return begin_run(self.run, frames)

    def _check(self, frames: Frames) -> None:
        declared = self.declaration
        dtype = declared.frame_format.dtype
        num_pictures = frames.shape[1] if frames.ndim > 1 else 0
        expected = (declared.batch_size, *declared.input_shape(num_pictures))
        if frames.shape != expected or frames.dtype != dtype:
            raise InvalidValueError(
                f"teacher {declared.name!r} takes {dtype.__name__} frames of shape "
                f"{expected}, not {frames.dtype} {frames.shape}; pad the batch"
            )


def begin_run(run: Run, frames: Frames) -> Finish:
    """Begin a run; one that cannot is over when this returns."""
    begin: Callable[[Frames], Finish] | None = getattr(run, "begin", None)
    if begin is not None:
        return begin(frames)
    predictions = run(frames)
    return lambda: predictions


def begin_predicting(teacher: AnyTeacher, frames: Frames) -> Finish:
    """Begin to look at one whole batch with any teacher, also one that can only do it at once."""
    begin: Callable[[Frames], Finish] | None = getattr(teacher, "begin", None)
    return begin(frames) if begin is not None else begin_run(teacher.predict, frames)
