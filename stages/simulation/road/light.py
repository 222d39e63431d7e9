"""Light on a road: what sun, sky, haze and lamps make of colours.

The numbers are ours, chosen by eye: night leaves unlit paint darker than the noise of the camera.
"""

from dataclasses import dataclass

import numpy as np

from avkd.stages.simulation.road.projection import Array
from avkd.stages.simulation.road.settings import Light


@dataclass(frozen=True, kw_only=True)
class Illumination:
    """What falls on the scene and what lies in the air: shares of white, or colours to 255."""

    ambient: tuple[float, float, float]
    """From all sides."""
    sun: tuple[float, float, float]
    """On a face that looks into the sun."""
    sky_top: tuple[float, float, float]
    sky_low: tuple[float, float, float]
    """At the horizon; far things take this colour."""
    clouds: float
    """How far clouds lighten or darken the sky, in levels."""
    haze_m: float
    """Depth at which 63 % of a colour is lost to the haze."""
    lamps_lit: bool
    noise_levels: float
    """Standard deviation of the camera's noise, in steps of 255."""
    num_streaks: int = 0
    """Of rain, in a picture."""


ILLUMINATIONS: dict[Light, Illumination] = {
    "day": Illumination(
        ambient=(0.52, 0.55, 0.6),
        sun=(0.62, 0.58, 0.5),
        sky_top=(96, 148, 214),
        sky_low=(200, 218, 234),
        clouds=34.0,
        haze_m=700.0,
        lamps_lit=False,
        noise_levels=2.5,
    ),
    "dusk": Illumination(
        ambient=(0.3, 0.27, 0.33),
        sun=(0.2, 0.11, 0.06),
        sky_top=(52, 56, 98),
        sky_low=(214, 132, 88),
        clouds=26.0,
        haze_m=600.0,
        lamps_lit=True,
        noise_levels=4.0,
    ),
    "night": Illumination(
        ambient=(0.032, 0.034, 0.046),
        sun=(0.0, 0.0, 0.0),
        sky_top=(4, 5, 10),
        sky_low=(14, 14, 20),
        clouds=2.0,
        haze_m=900.0,
        lamps_lit=True,
        noise_levels=5.0,
    ),
    "rain": Illumination(
        ambient=(0.56, 0.58, 0.6),
        sun=(0.0, 0.0, 0.0),
        sky_top=(138, 144, 150),
        sky_low=(158, 162, 166),
        clouds=14.0,
        haze_m=48.0,
        lamps_lit=True,
        noise_levels=4.0,
        num_streaks=190,
    ),
}


def light_on(normals: Array, light: Illumination, sun_direction: Array) -> Array:
    """Shares of red, green and blue (F, 3) that faces with these normals (F, 3) receive."""
    facing = np.clip(normals @ sun_direction, 0.0, None)
    upward = 0.85 + 0.15 * normals[:, 1]
    return np.asarray(
        upward[:, None] * np.array(light.ambient) + facing[:, None] * np.array(light.sun)
    )


def in_haze(colours: Array, depths_m: Array, light: Illumination) -> Array:
    """Colours (..., 3) seen through the haze before them."""
    kept = np.exp(-depths_m / light.haze_m)[..., None]
    return np.asarray(colours * kept + np.array(light.sky_low) * (1 - kept))
