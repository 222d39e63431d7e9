"""How a sound that moves along x reaches microphones: straight, and by way of the ground.

Each sample solves t_e + r(t_e) / c = t for the time of emission t_e and reads the source there:
Doppler shifts follow from it and are not added. Pressure falls with 1 / r at emission, r no less
than 1 m. The ground is a mirror: an image of the source below it, with its own delay, distance and
angle, times one coefficient for every frequency and angle. Sources radiate alike all around, and
vehicles do not hide each other.
"""

import math
from dataclasses import dataclass

import numpy as np

from avkd.stages.simulation.road.microphones import pickup
from avkd.stages.simulation.road.motion import Array, propagation_seconds
from avkd.stages.simulation.road.settings import Microphones, Point
from avkd.stages.simulation.road.timeline import Timeline, read_timeline

NEAREST_M = 1.0


@dataclass(frozen=True, kw_only=True)
class Source:
    """A point that sounds and moves along x at a constant speed."""

    start_m: Point
    """Where it is at time zero."""
    speed_mps: float
    timeline: Timeline


def hear(
    source: Source,
    microphones: Microphones,
    seconds: Array,
    *,
    speed_of_sound_mps: float,
    ground_reflection: float,
) -> Array:
    """The pressure at each microphone at some times: (num_channels, num_times)."""
    x_m = source.start_m[0] + source.speed_mps * seconds
    _, height_m, depth_m = source.start_m
    heard = np.zeros((microphones.num_channels, len(seconds)))
    for level_m, share in ((height_m, 1.0), (-height_m, ground_reflection)):
        if share == 0:
            continue
        for channel, (x, y, z) in enumerate(microphones.positions_m):
            up_m, away_m = level_m - y, depth_m - z
            delay = propagation_seconds(
                x_m - x, math.hypot(up_m, away_m), source.speed_mps, speed_of_sound_mps
            )
            distance = speed_of_sound_mps * delay
            pressure = read_timeline(source.timeline, seconds - delay)
            pressure *= share / np.maximum(distance, NEAREST_M)
            if microphones.directivity:
                along_m = x_m - x - source.speed_mps * delay
                facing = microphones.facing[channel]
                ahead = facing[0] * along_m + facing[1] * up_m + facing[2] * away_m
                pressure *= pickup(microphones.directivity, ahead / np.maximum(distance, 1e-9))
            heard[channel] += pressure
    return heard
