"""Where in a clip the windows lie that a network hears: arithmetic, no files.

Conventions: samples are counted from the start of the clip, at the teacher's rate; U units of W
windows each. A window lies as a picture does: a unit is cut into W equal parts, and the middle of
each is that of a window.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avkd.stages.teachers.audio_declaration import AudioDeclaration
from avkd.stages.types import ClipPolicy

_TOLERANCE = 1e-6
"""Of a window: 0.1 s at 16 kHz are 1600 samples, whatever the last bit of a float says."""

Waveform = npt.NDArray[np.int16]


@dataclass(frozen=True, kw_only=True)
class AudioWindows:
    """The windows of a full clip."""

    num_samples: int
    """Of each."""
    starts: npt.NDArray[np.int64]
    """(U, W): its first sample, which may lie before the clip."""
    middles: npt.NDArray[np.float64]
    """(U, W), in steps from the start of the clip."""

    def count_real(self, num_steps: int) -> int:
        """How many windows, from the first, have their middle in a clip of so many steps."""
        return max(1, int((self.middles < num_steps).sum()))

    def cut(self, waveform: Waveform, num_windows: int) -> Waveform:
        """Give the first windows of a clip (channels, samples): (windows, channels, samples).

        Beyond the clip there is silence.
        """
        num_channels, num_there = waveform.shape
        windows = np.zeros((num_windows, num_channels, self.num_samples), np.int16)
        for window, start in zip(windows, self.starts.reshape(-1).tolist(), strict=False):
            begin, stop = max(0, start), min(start + self.num_samples, num_there)
            if begin < stop:
                window[:, begin - start : stop - start] = waveform[:, begin:stop]
        return windows


def lay_windows(declaration: AudioDeclaration, policy: ClipPolicy) -> AudioWindows:
    """Lay the windows that a teacher hears into the clips of a store."""
    num_units = policy.num_steps if declaration.unit == "step" else 1
    seconds = policy.step_seconds if declaration.unit == "step" else policy.clip_seconds
    unit_samples = seconds * declaration.waveform_format.sample_rate
    num_samples = declaration.num_samples or max(1, round(unit_samples))
    num_windows = 1
    if declaration.num_samples:
        num_windows = max(1, math.floor(unit_samples / num_samples + _TOLERANCE))
    units = np.arange(num_units * num_windows).reshape(num_units, num_windows)
    middles = (units + 0.5) / num_windows * unit_samples
    return AudioWindows(
        num_samples=num_samples,
        starts=np.rint(middles - num_samples / 2 - _TOLERANCE).astype(np.int64),
        middles=middles / (policy.step_seconds * declaration.waveform_format.sample_rate),
    )
