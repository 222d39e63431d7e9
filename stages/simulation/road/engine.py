"""What an engine sounds like: harmonics of its cycle, and noise around them.

A four-stroke cycle takes two turns of the crank; its harmonics that are multiples of the number of
cylinders are firings, the others come from cylinders that are not alike. How the power of a band is
shared between harmonics and noise is our choice; that it adds up to the band's power is not.
Conventions: pascals of the straight sound at 1 m; frequencies are hertz.
"""

import math

import numpy as np
import numpy.typing as npt

from avkd.stages.simulation.road.chance import stream
from avkd.stages.simulation.road.motion import Array
from avkd.stages.simulation.road.noise import band_limit, shaped_noise
from avkd.stages.simulation.road.settings import Engine, Vehicle
from avkd.stages.simulation.road.sound_power import Density, pressure_density, propulsion_db
from avkd.stages.simulation.sounds import slow_curve

TONAL_HZ = 1200.0
"""Where harmonics and noise have the same power."""
TABLE_SIZE = 8192
KNOTS_PER_SECOND = 3.0


def cycle_hz(engine: Engine, speed_mps: float) -> float:
    """Cycles a second, half the turns of the crank, in the gear nearest to the cruising speed."""
    turns = abs(speed_mps) * np.asarray(engine.turns_per_metre)
    gear = np.argmin(np.abs(np.log(60 * turns / engine.cruise_rpm)))
    return float(turns[gear]) / 2


def firing_hz(engine: Engine, speed_mps: float) -> float:
    """Firings a second: one a cylinder in each cycle."""
    return engine.num_cylinders * cycle_hz(engine, speed_mps)


def engine_sound(vehicle: Vehicle, num_samples: int, sample_rate: int) -> Array:
    """Engine, exhaust and gears of a vehicle on its own time line."""
    rng = stream(vehicle.seed, "engine")
    density = pressure_density(propulsion_db(vehicle.kind, vehicle.speed_mps) + vehicle.level_db)
    num_knots = max(2, math.ceil(KNOTS_PER_SECOND * num_samples / sample_rate))
    tone = _harmonics(rng, vehicle, density, num_samples, sample_rate, num_knots)
    noise = shaped_noise(rng, num_samples, sample_rate, lambda f: density(f) * (1 - tonal_share(f)))
    return np.asarray((tone + noise) * np.exp(0.08 * slow_curve(rng, num_samples, num_knots)))


def tonal_share(frequencies: Array) -> Array:
    """Share of the power that is in harmonics."""
    return np.asarray(1 / (1 + (frequencies / TONAL_HZ) ** 2))


def _harmonics(
    rng: np.random.Generator,
    vehicle: Vehicle,
    density: Density,
    num_samples: int,
    sample_rate: int,
    num_knots: int,
) -> Array:
    from scipy.ndimage import map_coordinates

    cycle = cycle_hz(vehicle.engine, vehicle.speed_mps)
    table = _cycle_table(rng, vehicle.engine, cycle, density, sample_rate)
    jitter = rng.uniform(0.001, 0.004) * slow_curve(rng, num_samples, num_knots)
    phase = np.cumsum(cycle * (1 + jitter)) / sample_rate + rng.uniform()
    where = (phase % 1.0) * TABLE_SIZE
    return np.asarray(map_coordinates(table, where[None], order=3, mode="grid-wrap"))


def _cycle_table(
    rng: np.random.Generator, engine: Engine, cycle: float, density: Density, sample_rate: int
) -> Array:
    """One cycle of the waveform: harmonics with random phases and a timbre of their own."""
    orders = np.arange(1, TABLE_SIZE // 8)
    frequencies = np.asarray(orders * cycle, dtype=np.float64)
    power = density(frequencies) * tonal_share(frequencies) * cycle
    power *= _firing_weights(orders, engine.num_cylinders, float(rng.uniform(0.05, 0.3)))
    timbre_db = rng.normal(0, 2, len(orders))
    gain = np.sqrt(2 * power) * 10 ** (timbre_db / 20) * band_limit(frequencies, sample_rate)
    spectrum = np.zeros(TABLE_SIZE // 2 + 1, dtype=np.complex128)
    spectrum[orders] = gain * np.exp(2j * np.pi * rng.uniform(size=len(orders)))
    return np.asarray(np.fft.irfft(spectrum, TABLE_SIZE) * TABLE_SIZE / 2)


def _firing_weights(orders: npt.NDArray[np.int_], num_cylinders: int, unevenness: float) -> Array:
    """Share the power between firings and the other harmonics; the mean is one."""
    if num_cylinders == 1:
        return np.ones(len(orders))
    others = unevenness * num_cylinders / (num_cylinders - 1)
    firing = (1 - unevenness) * num_cylinders
    return np.where(orders % num_cylinders == 0, firing, others)
