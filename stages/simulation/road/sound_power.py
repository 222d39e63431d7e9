"""How loud vehicles are, by kind, speed and octave band.

The road source of CNOSSOS-EU, table F-1 of Directive (EU) 2015/996 as replaced by (EU) 2021/1226
[S]: rolling noise rises with the logarithm of the speed, propulsion noise with the speed itself.
Conventions: levels are decibels over 1 pW in the octave bands of ``OCTAVES_HZ``; densities are Pa^2
per Hz of the sound that comes straight (without the ground) at 1 m.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from avkd.stages.simulation.road.motion import Array
from avkd.stages.simulation.road.settings import Kind

OCTAVES_HZ = 1000.0 * 2.0 ** np.arange(-4, 4)
REFERENCE_KMH = 70.0
SLOWEST_KMH = 20.0
"""Below it the levels stay as they are there [S]."""
REFERENCE_PA = 2e-5

Density = Callable[[Array], Array]
Bands = tuple[float, float, float, float, float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class Emission:
    """One category's coefficients, each over the eight bands."""

    rolling: tuple[Bands, Bands] | None
    """Level at the reference speed and rise a decade; none where the source gives none."""
    propulsion: tuple[Bands, Bands]
    """Level at the reference speed and rise over another such speed."""


EMISSIONS: dict[Kind, Emission] = {
    "car": Emission(  # category 1
        rolling=(
            (83.1, 89.2, 87.7, 93.1, 100.1, 96.7, 86.8, 76.2),
            (30.0, 41.5, 38.9, 25.7, 32.5, 37.2, 39.0, 40.0),
        ),
        propulsion=(
            (97.9, 92.5, 90.7, 87.2, 84.7, 88.0, 84.4, 77.1),
            (-1.3, 7.2, 7.7, 8.0, 8.0, 8.0, 8.0, 8.0),
        ),
    ),
    "van": Emission(  # category 2, medium heavy: delivery vans above 3.5 t
        rolling=(
            (88.7, 93.2, 95.7, 100.9, 101.7, 95.1, 87.8, 83.6),
            (30.0, 35.8, 32.6, 23.8, 30.1, 36.2, 38.3, 40.1),
        ),
        propulsion=(
            (105.5, 100.2, 100.5, 98.7, 101.0, 97.8, 91.2, 85.0),
            (-1.9, 4.7, 6.4, 6.5, 6.5, 6.5, 6.5, 6.5),
        ),
    ),
    "truck": Emission(  # category 3
        rolling=(
            (91.7, 96.2, 98.2, 104.9, 105.1, 98.5, 91.1, 85.6),
            (30.0, 33.5, 31.3, 25.4, 31.8, 37.1, 38.6, 40.6),
        ),
        propulsion=(
            (108.8, 104.2, 103.5, 102.9, 102.6, 98.5, 93.8, 87.5),
            (0.0, 3.0, 4.6, 5.0, 5.0, 5.0, 5.0, 5.0),
        ),
    ),
    "motorcycle": Emission(  # category 4b
        rolling=None,
        propulsion=(
            (99.9, 101.9, 96.7, 94.4, 95.2, 94.7, 92.1, 88.6),
            (3.2, 5.9, 11.9, 11.6, 11.5, 12.6, 11.1, 12.0),
        ),
    ),
}


def rolling_db(kind: Kind, speed_mps: float) -> Array | None:
    """Sound power of the tyres, A + B lg(v / v_ref): (8,), or none."""
    rolling = EMISSIONS[kind].rolling
    if rolling is None:
        return None
    level, rise = np.asarray(rolling)
    return np.asarray(level + rise * np.log10(_kmh(speed_mps) / REFERENCE_KMH))


def propulsion_db(kind: Kind, speed_mps: float) -> Array:
    """Sound power of engine, exhaust and gears, A + B (v - v_ref) / v_ref: (8,)."""
    level, rise = np.asarray(EMISSIONS[kind].propulsion)
    return np.asarray(level + rise * (_kmh(speed_mps) - REFERENCE_KMH) / REFERENCE_KMH)


def pressure_density(power_db: Array) -> Density:
    """The smooth density whose octave bands have these powers.

    The source's powers are of a half space, ground included. Straight sound alone is 6 dB below
    sound and image in step: lg(2 pi) for the half space and lg(4) for the image make 14 dB [D].
    """
    mean_square_db = power_db - 10 * np.log10(8 * np.pi) + 20 * np.log10(REFERENCE_PA)
    knots = _fit_bands(mean_square_db - 10 * np.log10(OCTAVES_HZ / np.sqrt(2)))

    def density(frequencies: Array) -> Array:
        return np.asarray(10 ** (_level_db(np.log2(np.maximum(frequencies, 1.0)), knots) / 10))

    return density


def _kmh(speed_mps: float) -> float:
    return max(3.6 * abs(speed_mps), SLOWEST_KMH)


def _fit_bands(target_db: Array) -> Array:
    """Move the knots of the curve until the mean over each band meets its target."""
    offsets = np.linspace(-0.5, 0.5, 33)
    grid = np.log2(OCTAVES_HZ)[:, None] + offsets
    weights = 2.0**offsets / np.sum(2.0**offsets)
    knots = target_db.copy()
    for _ in range(20):
        means = 10 ** (_level_db(grid, knots) / 10) @ weights
        knots += 0.7 * (target_db - 10 * np.log10(means))
    return knots


def _level_db(octave: Array, knots: Array) -> Array:
    """A curve through the bands; its last slope goes on, and below 44 Hz little is known."""
    centres = np.log2(OCTAVES_HZ)
    level = np.interp(octave, centres, knots)
    level += (knots[-1] - knots[-2]) * np.maximum(octave - centres[-1], 0.0)
    return np.asarray(level - 12.0 * np.maximum(centres[0] - 0.5 - octave, 0.0))
