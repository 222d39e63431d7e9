"""What tyres sound like: noise of an axle, by speed, on a dry or a wet road.

Conventions: pascals of the straight sound at 1 m.
"""

import math

import numpy as np

from avkd.stages.simulation.road.chance import stream
from avkd.stages.simulation.road.motion import Array
from avkd.stages.simulation.road.noise import shaped_noise
from avkd.stages.simulation.road.settings import Light, Vehicle
from avkd.stages.simulation.road.sound_power import pressure_density, rolling_db
from avkd.stages.simulation.sounds import slow_curve

WET_DB = np.array([0.0, 0.0, 0.0, 0.0, 1.5, 4.0, 8.0, 9.0])
"""What water adds in each octave band: our choice of a size, hissing above 1 kHz."""
NUM_AXLES = 2


def axle_sounds(
    vehicle: Vehicle, light: Light, num_samples: int, sample_rate: int
) -> tuple[Array, ...]:
    """The noise of the front and the rear axle, which share the power; none for a motorcycle."""
    power_db = rolling_db(vehicle.kind, vehicle.speed_mps)
    if power_db is None:
        return ()
    power_db = power_db + vehicle.level_db - 10 * math.log10(NUM_AXLES)
    density = pressure_density(power_db + WET_DB if light == "rain" else power_db)
    num_knots = max(2, math.ceil(2 * num_samples / sample_rate))
    sounds = []
    for axle in range(NUM_AXLES):
        rng = stream(vehicle.seed, f"axle {axle}")
        noise = shaped_noise(rng, num_samples, sample_rate, density)
        sounds.append(noise * np.exp(0.08 * slow_curve(rng, num_samples, num_knots)))
    return tuple(sounds)
