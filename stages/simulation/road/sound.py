"""What the microphones of a drive record.

One gain holds for the whole world: level tells distance, so nothing is normalised. Air absorption
is applied on the source's own time line for the distance to the middle of the array; microphones
and ground images lie within a metre of it, which at 8 kHz and 20 degrees is worth 0.1 dB [D].
"""

import math

import numpy as np
import numpy.typing as npt

from avkd.stages.simulation.road.absorption import air_gain
from avkd.stages.simulation.road.background import background
from avkd.stages.simulation.road.engine import engine_sound
from avkd.stages.simulation.road.microphones import centre_m
from avkd.stages.simulation.road.motion import Array, position
from avkd.stages.simulation.road.propagation import Source, hear
from avkd.stages.simulation.road.settings import Drive, Kind, Point, Vehicle
from avkd.stages.simulation.road.timeline import MARGIN_SECONDS, build_timeline
from avkd.stages.simulation.road.tyres import axle_sounds

FULL_SCALE_PA = 10.0
"""114 dB over 20 uPa as a peak: a truck at 8 m stays below a third of it."""
TYRE_HEIGHT_M = 0.05
ENGINE_HEIGHT_M: dict[Kind, float] = {"car": 0.4, "van": 0.6, "truck": 0.9, "motorcycle": 0.5}
ENGINE_FORWARD: dict[Kind, float] = {"car": 0.3, "van": 0.35, "truck": 0.4, "motorcycle": 0.0}
"""Shares of the length, from the centre."""
AXLE_FORWARD = (0.3, -0.3)


def render_sound(drive: Drive) -> npt.NDArray[np.int16]:
    """The recording: int16, (num_channels, num_samples); peaks beyond full scale are cut."""
    scaled = np.rint(render_pressure(drive) * (32767 / FULL_SCALE_PA))
    return np.clip(scaled, -32768, 32767).astype(np.int16)


def num_clipped(pressure: Array) -> int:
    """How many samples lie beyond full scale."""
    return int(np.sum(np.abs(pressure) > FULL_SCALE_PA))


def render_pressure(drive: Drive) -> Array:
    """What arrives, in pascals: float64, (num_channels, num_samples)."""
    pressure = background(drive)
    for vehicle in drive.vehicles:
        pressure += vehicle_pressure(drive, vehicle)
    return pressure


def vehicle_pressure(drive: Drive, vehicle: Vehicle) -> Array:
    """What arrives of one vehicle, in pascals: (num_channels, num_samples)."""
    seconds = np.arange(drive.num_samples) / drive.sample_rate
    pressure = np.zeros((drive.microphones.num_channels, drive.num_samples))
    for source in vehicle_sources(drive, vehicle):
        pressure += hear(
            source,
            drive.microphones,
            seconds,
            speed_of_sound_mps=drive.air.speed_of_sound_mps,
            ground_reflection=drive.ground_reflection,
        )
    return pressure


def vehicle_sources(drive: Drive, vehicle: Vehicle) -> tuple[Source, ...]:
    """The engine and the axles, each at its place and on a time line that covers the drive."""
    lead_seconds = _lead_seconds(drive, vehicle)
    num_samples = round(
        (lead_seconds + drive.duration_seconds + MARGIN_SECONDS) * drive.sample_rate
    )
    engine = engine_sound(vehicle, num_samples, drive.sample_rate)
    axles = axle_sounds(vehicle, drive.light, num_samples, drive.sample_rate)
    places = [(ENGINE_FORWARD[vehicle.kind], ENGINE_HEIGHT_M[vehicle.kind])]
    places += [(forward, TYRE_HEIGHT_M) for forward in AXLE_FORWARD[: len(axles)]]
    return tuple(
        _source(drive, vehicle, sound, forward, height_m, -lead_seconds)
        for sound, (forward, height_m) in zip((engine, *axles), places, strict=True)
    )


def _source(
    drive: Drive,
    vehicle: Vehicle,
    sound: Array,
    forward: float,
    height_m: float,
    start_seconds: float,
) -> Source:
    ahead_m = math.copysign(forward * vehicle.length_m, forward * vehicle.speed_mps)
    x, _, z = position(vehicle, 0.0)
    start_m: Point = (float(x) + ahead_m, height_m, float(z))
    centre = centre_m(drive.microphones)

    def gain(frequencies: Array, seconds: Array) -> Array:
        place = np.asarray(start_m) + np.outer(seconds, [vehicle.speed_mps, 0.0, 0.0])
        return air_gain(frequencies, np.linalg.norm(place - centre, axis=1), drive.air)

    timeline = build_timeline(sound, drive.sample_rate, start_seconds, gain)
    return Source(start_m=start_m, speed_mps=vehicle.speed_mps, timeline=timeline)


def _lead_seconds(drive: Drive, vehicle: Vehicle) -> float:
    """How long before the recording the time line starts, in whole half seconds.

    The sound under way at time zero is at most r / (c - v) old. Rounding makes a vehicle sound the
    same wherever the microphones are.
    """
    distance = float(np.linalg.norm(position(vehicle, 0.0) - centre_m(drive.microphones)))
    slack = drive.air.speed_of_sound_mps - abs(vehicle.speed_mps)
    reach_m = distance + vehicle.length_m + 2 * drive.camera.height_m
    return math.ceil(2 * (reach_m / slack + MARGIN_SECONDS)) / 2
