"""What air takes from sound on its way.

ISO 9613-1:1993, equations 3 to 5 and annex B [S], at one atmosphere.
"""

import numpy as np

from avkd.stages.simulation.road.motion import Array
from avkd.stages.simulation.road.settings import Air

REFERENCE_KELVIN = 293.15
TRIPLE_POINT_KELVIN = 273.16


def absorption_db_per_m(frequencies: Array, air: Air) -> Array:
    """Attenuation of pure tones, in decibels a metre."""
    kelvin = air.temperature_celsius + 273.15
    ratio = kelvin / REFERENCE_KELVIN
    vapour = air.humidity_percent * 10 ** (
        4.6151 - 6.8346 * (TRIPLE_POINT_KELVIN / kelvin) ** 1.261
    )
    oxygen_hz = 24 + 4.04e4 * vapour * (0.02 + vapour) / (0.391 + vapour)
    nitrogen_hz = ratio**-0.5 * (9 + 280 * vapour * np.exp(-4.170 * (ratio ** (-1 / 3) - 1)))
    square = np.asarray(frequencies, dtype=np.float64) ** 2
    relaxation = 0.01275 * np.exp(-2239.1 / kelvin) / (oxygen_hz + square / oxygen_hz)
    relaxation += 0.1068 * np.exp(-3352.0 / kelvin) / (nitrogen_hz + square / nitrogen_hz)
    return np.asarray(8.686 * square * (1.84e-11 * ratio**0.5 + ratio**-2.5 * relaxation))


def air_gain(frequencies: Array, distance_m: Array, air: Air) -> Array:
    """Pressure that is left after some distances: (num_distances, num_frequencies)."""
    nepers_per_m = absorption_db_per_m(frequencies, air) * (np.log(10) / 20)
    return np.asarray(np.exp(np.outer(distance_m, -nepers_per_m)))
