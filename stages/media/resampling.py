"""Native samples to a student's rate, the same for a clip deep inside as for the whole file.

A polyphase resampler starts its phases anew with its first sample. So a clip's window starts at a
native sample that falls on a sample of the target rate too, a little before the clip: from there
on both count the same phases, and what the filter had not yet seen lies before the cut.
"""

import math
from dataclasses import dataclass

import av
import numpy as np
import numpy.typing as npt

# Many times the filter's reach (16 taps to a side, more when the rate falls).
_MARGIN_SECONDS = 0.05


@dataclass(frozen=True, kw_only=True)
class ResamplingWindow:
    """Which native samples to resample for a clip, and where the clip lies in the result."""

    start: int
    stop: int
    num_skipped: int
    """Resampled samples before the clip's first."""


def resampling_window(
    first_sample: int, num_samples: int, native_rate: int, rate: int
) -> ResamplingWindow:
    """The native samples behind ``num_samples`` samples at ``rate`` from ``first_sample`` on."""
    common = math.gcd(native_rate, rate)
    native_period, period = native_rate // common, rate // common
    margin = math.ceil(_MARGIN_SECONDS * common)
    num_periods = max(0, first_sample // period - margin)
    stop = math.ceil((first_sample + num_samples) * native_rate / rate)
    return ResamplingWindow(
        start=num_periods * native_period,
        stop=stop + math.ceil(_MARGIN_SECONDS * native_rate),
        num_skipped=first_sample - num_periods * period,
    )


def resample(
    samples: npt.NDArray[np.float32], native_rate: int, rate: int
) -> npt.NDArray[np.float32]:
    """Resample (channels, samples) by FFmpeg's resampler, each channel by itself."""
    if native_rate == rate or not samples.shape[1]:
        return samples
    return np.stack([_resample_channel(channel, native_rate, rate) for channel in samples])


def _resample_channel(
    samples: npt.NDArray[np.float32], native_rate: int, rate: int
) -> npt.NDArray[np.float32]:
    resampler = av.AudioResampler(format="fltp", layout="mono", rate=rate)
    frame = av.AudioFrame.from_ndarray(
        np.ascontiguousarray(samples[np.newaxis]), format="fltp", layout="mono"
    )
    frame.sample_rate = native_rate
    pieces = [piece.to_ndarray()[0] for piece in (*resampler.resample(frame), *_flush(resampler))]
    return np.concatenate(pieces).astype(np.float32, copy=False)


def _flush(resampler: av.AudioResampler) -> list[av.AudioFrame]:
    return resampler.resample(None)
