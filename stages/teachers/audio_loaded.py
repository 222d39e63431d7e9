"""A teacher that is ready to listen: its declaration, and the call that keeps it.

Imports no torch: ONNX needs none.
"""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from avkd.errors import InvalidValueError
from avkd.stages.teachers.audio_declaration import AudioDeclaration
from avkd.stages.teachers.declaration import Predictions
from avkd.stages.teachers.loaded import Finish, Run, begin_run

Waveforms: TypeAlias = npt.NDArray[Any]

FULL_SCALE = 32_768
SMALLEST_VARIANCE = 1e-5
"""Added to that of a window that is normalised, so that silence stays silence."""


@dataclass(frozen=True, kw_only=True)
class LoadedAudioTeacher:
    """A declaration and the call that keeps it."""

    declaration: AudioDeclaration
    run: Run

    def predict(self, waveforms: Waveforms) -> Predictions:
        """Listen to one whole batch.

        Raises:
            InvalidValueError: for another shape or dtype than was declared.
        """
        self._check(waveforms)
        return self.run(waveforms)

    def begin(self, waveforms: Waveforms) -> Finish:
        """Begin to listen to one whole batch; a CPU has done it when this returns.

        Raises:
            InvalidValueError: as ``predict``.
        """
        self._check(waveforms)
        return begin_run(self.run, waveforms)

    def _check(self, waveforms: Waveforms) -> None:
        declared = self.declaration
        expected = (declared.batch_size, declared.num_channels)
        is_long = waveforms.shape[2:] == (declared.num_samples,) or not declared.num_samples
        if waveforms.dtype != np.int16 or waveforms.shape[:2] != expected or not is_long:
            raise InvalidValueError(
                f"teacher {declared.name!r} takes int16 windows of shape "
                f"{(*expected, declared.num_samples or 'samples')}, not {waveforms.dtype} "
                f"{waveforms.shape}; pad the batch"
            )


def scale_sound(waveforms: Waveforms, *, normalises: bool) -> npt.NDArray[np.float32]:
    """Give int16 windows as float ones in [-1, 1], or each channel with mean 0 and variance 1."""
    sound = waveforms.astype(np.float32) / np.float32(FULL_SCALE)
    if normalises:
        sound -= sound.mean(axis=-1, keepdims=True)
        sound /= np.sqrt(sound.var(axis=-1, keepdims=True) + np.float32(SMALLEST_VARIANCE))
    return sound
