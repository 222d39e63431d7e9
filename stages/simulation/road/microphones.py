"""Arrays of microphones, hung around the camera's centre.

Conventions: metres in the world's frame; channels of the pair are left, right.
"""

import math
from collections.abc import Callable

import numpy as np

from avkd.errors import UnknownNameError
from avkd.stages.simulation.road.motion import Array
from avkd.stages.simulation.road.settings import Camera, Microphones, Point

PAIR_SPACING_M = 0.4
RING_RADIUS_M = 0.2


def stereo_pair(
    camera: Camera,
    spacing_m: float = PAIR_SPACING_M,
    *,
    directivity: float = 0.0,
    outward_degrees: float = 45.0,
) -> Microphones:
    """Two microphones along the road, that hear all around or are turned outward."""
    angle = math.radians(outward_degrees)
    side, ahead = math.sin(angle), math.cos(angle)
    return Microphones(
        array="stereo",
        positions_m=(
            (-spacing_m / 2, camera.height_m, 0.0),
            (spacing_m / 2, camera.height_m, 0.0),
        ),
        facing=((-side, 0.0, ahead), (side, 0.0, ahead)),
        directivity=directivity,
    )


def ring_of_eight(camera: Camera, radius_m: float = RING_RADIUS_M) -> Microphones:
    """Eight microphones in a level circle that hear all around; the first looks at the road."""
    angles = 2 * np.pi * np.arange(8) / 8
    facing: tuple[Point, ...] = tuple((math.sin(a), 0.0, math.cos(a)) for a in angles)
    positions: tuple[Point, ...] = tuple(
        (radius_m * x, camera.height_m, radius_m * z) for x, _, z in facing
    )
    return Microphones(array="ring", positions_m=positions, facing=facing)


def cardioid_pair(camera: Camera) -> Microphones:
    """A pair of cardioids turned outward: level tells left from right, as delay does."""
    pair = stereo_pair(camera, directivity=0.5)
    return Microphones(
        array="cardioids",
        positions_m=pair.positions_m,
        facing=pair.facing,
        directivity=pair.directivity,
    )


ARRAYS: dict[str, Callable[[Camera], Microphones]] = {
    "stereo": stereo_pair,
    "cardioids": cardioid_pair,
    "ring": ring_of_eight,
}


def array_at(name: str, camera: Camera) -> Microphones:
    """The array of a name at a camera."""
    if name not in ARRAYS:
        raise UnknownNameError("array of microphones", name, ARRAYS)
    return ARRAYS[name](camera)


def pickup(directivity: float, cosines: Array) -> Array:
    """Gain for sound that comes at some angle to a microphone's front, as its cosine."""
    return np.asarray(1 - directivity + directivity * cosines)


def centre_m(microphones: Microphones) -> Array:
    """The middle of an array: (3,)."""
    return np.asarray(np.mean(np.asarray(microphones.positions_m), axis=0))
