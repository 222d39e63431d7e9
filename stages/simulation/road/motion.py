"""Where vehicles are, and when what is heard of them was emitted.

Conventions: float64, any shape of times; points have a last axis of (x, y, z) in metres.
"""

import numpy as np
import numpy.typing as npt

from avkd.stages.simulation.road.settings import Vehicle

Array = npt.NDArray[np.float64]


def position(vehicle: Vehicle, seconds: npt.ArrayLike) -> Array:
    """Where the point on the ground below a vehicle's centre is: (..., 3)."""
    times = np.asarray(seconds, dtype=np.float64)
    point = np.empty((*times.shape, 3))
    point[..., 0] = vehicle.speed_mps * (times - vehicle.passing_seconds)
    point[..., 1] = 0.0
    point[..., 2] = vehicle.lane_z_m
    return point


def propagation_seconds(
    along_m: Array, aside_m: float, speed_mps: float, speed_of_sound_mps: float
) -> Array:
    """How long the sound that arrives now was under way, from a source that moves along x.

    The source is now ``along_m`` further along x than the listener, on a line that passes it at
    ``aside_m``. With d from the listener to the source and the delay T, the condition of emission
    |d - v T| = c T is a quadratic with one positive root below the speed of sound [D].
    """
    slack = speed_of_sound_mps**2 - speed_mps**2
    forward = along_m * speed_mps
    root = np.sqrt((speed_of_sound_mps * along_m) ** 2 + slack * aside_m**2)
    return np.asarray((root - forward) / slack)
