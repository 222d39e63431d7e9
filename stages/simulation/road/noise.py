"""Noise of a given density, and what sources may not exceed.

Conventions: waveforms are float64 of (num_samples,); densities are one-sided, in squares a hertz.
"""

import numpy as np
import numpy.typing as npt

from avkd.stages.simulation.road.motion import Array
from avkd.stages.simulation.road.sound_power import Density

Spectrum = npt.NDArray[np.complex128]

PASS_SHARE = 0.40
STOP_SHARE = 0.45
"""Of the sample rate: sources fade out between these, so that an approach at up to 33 m/s, which
raises every frequency by a tenth, stays below half of it."""


def bin_frequencies(num_samples: int, sample_rate: int) -> Array:
    """The frequencies of an ``rfft``."""
    return np.asarray(np.fft.rfftfreq(num_samples, 1 / sample_rate), dtype=np.float64)


def band_limit(frequencies: Array, sample_rate: int) -> Array:
    """Gain that fades out below half the sample rate."""
    part = (frequencies / sample_rate - PASS_SHARE) / (STOP_SHARE - PASS_SHARE)
    return np.asarray(np.cos(np.pi / 2 * np.clip(part, 0, 1)))


def shaped_spectrum(
    rng: np.random.Generator, num_samples: int, sample_rate: int, density: Density
) -> Spectrum:
    """The ``rfft`` of noise of a density: complex128, (num_samples // 2 + 1,)."""
    frequencies = bin_frequencies(num_samples, sample_rate)
    power = density(frequencies) * num_samples * sample_rate / 2
    parts = rng.standard_normal((len(frequencies), 2)).view(np.complex128)[:, 0]
    gain = np.sqrt(power / 2) * band_limit(frequencies, sample_rate)
    gain[0] = 0.0
    return np.asarray(parts * gain)


def shaped_noise(
    rng: np.random.Generator, num_samples: int, sample_rate: int, density: Density
) -> Array:
    """Gaussian noise of a density, below the band's limit."""
    whole = -(-num_samples // 1024) * 1024  # lengths of small factors transform fast
    spectrum = shaped_spectrum(rng, whole, sample_rate, density)
    return np.asarray(np.fft.irfft(spectrum, whole)[:num_samples])
