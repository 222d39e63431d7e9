"""What microphones hear without any vehicle nearby.

Sound from far off comes as plane waves from many sides, so that microphones hear the same with
delays of their own; wind and the microphones' own noise are made at each of them. Levels and
spectra are our choice. Conventions: pascals, float64 of (num_channels, num_samples); levels are
decibels over 20 uPa.
"""

from dataclasses import dataclass

import numpy as np

from avkd.stages.simulation.road.chance import stream
from avkd.stages.simulation.road.microphones import centre_m, pickup
from avkd.stages.simulation.road.motion import Array
from avkd.stages.simulation.road.noise import Spectrum, bin_frequencies, shaped_spectrum
from avkd.stages.simulation.road.settings import Drive, Light
from avkd.stages.simulation.road.sound_power import REFERENCE_PA, Density
from avkd.stages.simulation.sounds import slow_curve

NUM_DIRECTIONS = 12
WIND_HZ = 40.0
COMMON_WIND = 0.3
"""Share of the wind's power that microphones have in common."""
SELF_NOISE_DB = 18.0


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What a light sounds like."""

    far_db: float
    """Of traffic far off."""
    rain_db: float = -np.inf
    cricket_db: float = -np.inf
    num_crickets: int = 0


SURROUNDINGS: dict[Light, Surroundings] = {
    "day": Surroundings(far_db=48.0),
    "dusk": Surroundings(far_db=44.0, cricket_db=24.0, num_crickets=2),
    "night": Surroundings(far_db=36.0, cricket_db=28.0, num_crickets=5),
    "rain": Surroundings(far_db=46.0, rain_db=48.0),
}


def background(drive: Drive) -> Array:
    """All of it: (num_channels, num_samples)."""
    around = SURROUNDINGS[drive.light]
    far_db = around.far_db if drive.background_db is None else drive.background_db
    total = far_noise(drive, "far", far_db, _far_density)
    if np.isfinite(around.rain_db):
        total += far_noise(drive, "rain", around.rain_db, _rain_density)
    for cricket in range(around.num_crickets):
        total += _cricket(drive, f"cricket {cricket}", around.cricket_db)
    return total + wind(drive) + _self_noise(drive)


def far_noise(drive: Drive, purpose: str, level_db: float, density: Density) -> Array:
    """Noise from many directions at a level, the same at every microphone but for delays."""
    rng = stream(drive.seed, purpose)
    size = _size(drive)
    total = np.zeros((drive.microphones.num_channels, size // 2 + 1), dtype=np.complex128)
    for direction in _directions(rng, NUM_DIRECTIONS):
        spectrum = shaped_spectrum(rng, size, drive.sample_rate, density)
        total += _plane_wave(drive, spectrum, direction)
    return _at_level(drive, total, level_db)


def wind(drive: Drive) -> Array:
    """Rumble in gusts, made at each microphone; a part is common to all."""
    rng = stream(drive.seed, "wind")
    level_db = 45 + 50 * np.log10(max(drive.wind_mps, 0.1) / 2)
    size = _size(drive)
    spectra = [
        shaped_spectrum(rng, size, drive.sample_rate, _wind_density)
        for _ in range(1 + drive.microphones.num_channels)
    ]
    mixed = np.sqrt(COMMON_WIND) * spectra[0] + np.sqrt(1 - COMMON_WIND) * np.asarray(spectra[1:])
    num_knots = max(3, round(drive.duration_seconds))
    gusts = np.exp(0.4 * slow_curve(rng, drive.num_samples, num_knots))
    return _at_level(drive, mixed, level_db) * gusts


def _cricket(drive: Drive, purpose: str, level_db: float) -> Array:
    """One insect: chirps of a few pulses of a high tone, from one direction."""
    rng = stream(drive.seed, purpose)
    size = _size(drive)
    seconds = np.arange(size) / drive.sample_rate
    tone_hz = min(rng.uniform(3_800, 5_200), 0.4 * drive.sample_rate)
    chirps_hz, pulses_hz = rng.uniform(1.5, 3.0), rng.uniform(25, 35)
    chirping = (seconds * chirps_hz + rng.uniform()) % 1 < 0.35
    pulses = np.maximum(0, np.sin(2 * np.pi * pulses_hz * seconds)) ** 2
    tone = np.sin(2 * np.pi * tone_hz * seconds) * pulses * chirping
    direction = _directions(rng, 1)[0]
    level_db += rng.normal(0, 4)
    return _at_level(drive, _plane_wave(drive, np.fft.rfft(tone), direction), level_db)


def _self_noise(drive: Drive) -> Array:
    rng = stream(drive.seed, "self-noise")
    noise = rng.standard_normal((drive.microphones.num_channels, drive.num_samples))
    return np.asarray(noise * REFERENCE_PA * 10 ** (SELF_NOISE_DB / 20))


def _directions(rng: np.random.Generator, num: int) -> Array:
    """Unit vectors towards the horizon, evenly around from a random start: (num, 3)."""
    angles = 2 * np.pi * (np.arange(num) + rng.uniform()) / num
    return np.stack([np.sin(angles), np.zeros(num), np.cos(angles)], axis=1)


def _plane_wave(drive: Drive, spectrum: Spectrum, direction: Array) -> Spectrum:
    """Spectra at the microphones of a wave that comes from a direction."""
    offsets = np.asarray(drive.microphones.positions_m) - centre_m(drive.microphones)
    early_seconds = offsets @ direction / drive.air.speed_of_sound_mps
    gain = pickup(drive.microphones.directivity, np.asarray(drive.microphones.facing) @ direction)
    frequencies = bin_frequencies(_size(drive), drive.sample_rate)
    waves = spectrum * np.exp(2j * np.pi * early_seconds[:, None] * frequencies)
    return np.asarray(waves * gain[:, None])


def _at_level(drive: Drive, spectra: Spectrum, level_db: float) -> Array:
    """To waveforms whose mean power over all channels is the level's."""
    waves = np.fft.irfft(spectra, _size(drive))[:, : drive.num_samples]
    wanted = REFERENCE_PA * 10 ** (level_db / 20)
    return np.asarray(waves * (wanted / np.sqrt(np.mean(waves**2))))


def _size(drive: Drive) -> int:
    return -(-drive.num_samples // 1024) * 1024


def _far_density(frequencies: Array) -> Array:
    """Traffic that air and ground have dulled: level to 600 Hz, then 9 dB an octave down."""
    return np.asarray((frequencies > 30) / (1 + (frequencies / 600) ** 3))


def _rain_density(frequencies: Array) -> Array:
    return np.asarray(1 / (1 + (800 / np.maximum(frequencies, 1)) ** 2))


def _wind_density(frequencies: Array) -> Array:
    """Turbulence: about f^(-5/3) in pressure above a corner."""
    return np.asarray(1 / (1 + (frequencies / WIND_HZ) ** (10 / 3)))
