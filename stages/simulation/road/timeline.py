"""A source's sound over its own time, ready to be read at any moment.

The waveform is filtered in frames (what air takes changes slowly), brought to twice its rate on the
way, and read through a spline of degree five. For tones up to 0.4 of the sample rate the error of
the reading is below -65 dB, up to a quarter of it below -90 dB: the tests say so.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from avkd.stages.simulation.road.motion import Array
from avkd.stages.simulation.road.noise import bin_frequencies

FRAME = 1024
HOP = FRAME // 2
PAD = FRAME // 4
"""On both sides of a frame: filters must ring out within it."""
FFT = FRAME + 2 * PAD
OVERSAMPLING = 2
DEGREE = 5
MARGIN_SECONDS = 0.1
"""At both ends, where frames and splines have no neighbours."""

Gain = Callable[[Array, Array], Array]
"""From frequencies (B,) and times of emission (F,) to gains (F, B)."""


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """Spline coefficients of a source's pressure at 1 m."""

    start_seconds: float
    """Of the first coefficient, on the recording's clock."""
    sample_rate: int
    """Of the coefficients."""
    coefficients: Array


def build_timeline(
    waveform: Array, sample_rate: int, start_seconds: float, gain: Gain | None = None
) -> Timeline:
    """Prepare a waveform that starts at a time; a gain filters what is emitted when."""
    from scipy.ndimage import spline_filter1d

    finer = _filter_frames(waveform, sample_rate, start_seconds, gain)
    return Timeline(
        start_seconds=start_seconds,
        sample_rate=OVERSAMPLING * sample_rate,
        coefficients=spline_filter1d(finer, order=DEGREE),
    )


def read_timeline(timeline: Timeline, seconds: Array) -> Array:
    """The pressure at some times; outside of the time line there is silence."""
    from scipy.ndimage import map_coordinates

    where = (seconds - timeline.start_seconds) * timeline.sample_rate
    return np.asarray(
        map_coordinates(timeline.coefficients, where[None], order=DEGREE, prefilter=False)
    )


def _filter_frames(
    waveform: Array, sample_rate: int, start_seconds: float, gain: Gain | None
) -> Array:
    """Overlap-add with frames that sum to one: exact for a gain that stays the same."""
    num_frames = -(-len(waveform) // HOP) + 1
    padded = np.zeros((num_frames + 1) * HOP)
    padded[HOP : HOP + len(waveform)] = waveform
    frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME)[::HOP]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME) / FRAME)
    wide = np.zeros((num_frames, FFT))
    wide[:, PAD : PAD + FRAME] = frames * window
    spectrum = np.fft.rfft(wide)
    if gain is not None:
        middles = start_seconds + np.arange(num_frames) * HOP / sample_rate
        spectrum *= gain(bin_frequencies(FFT, sample_rate), middles)
    finer = np.fft.irfft(spectrum, OVERSAMPLING * FFT) * OVERSAMPLING
    return _overlap_add(finer, OVERSAMPLING * HOP)[
        OVERSAMPLING * (HOP + PAD) : OVERSAMPLING * (HOP + PAD + len(waveform))
    ]


def _overlap_add(frames: Array, hop: int) -> Array:
    num_frames, length = frames.shape
    num_parts = length // hop
    total = np.zeros((num_frames + num_parts - 1, hop))
    for part in range(num_parts):
        total[part : part + num_frames] += frames[:, part * hop : (part + 1) * hop]
    return total.reshape(-1)
