"""Who drives by, and when: a drive drawn from a seed.

Each lane is a row of vehicles with exponential headways above a shortest one; a follower whose
speed would close the gap drives as fast as the gap allows, and one that cannot is left out. The
near lane drives to the right, as right-hand traffic does past a camera beside the road. Densities,
speeds and sizes are our choice.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from avkd.errors import InvalidValueError
from avkd.stages.simulation.road.chance import stream
from avkd.stages.simulation.road.microphones import array_at
from avkd.stages.simulation.road.models import draw_body, draw_speed
from avkd.stages.simulation.road.settings import KINDS, Air, Camera, Drive, Kind, Light, Vehicle

AIR: dict[Light, Air] = {
    "day": Air(temperature_celsius=20.0, humidity_percent=60.0),
    "dusk": Air(temperature_celsius=15.0, humidity_percent=70.0),
    "night": Air(temperature_celsius=10.0, humidity_percent=80.0),
    "rain": Air(temperature_celsius=12.0, humidity_percent=95.0),
}
WIND_MPS: dict[Light, tuple[float, float]] = {
    "day": (0.5, 4.0),
    "dusk": (0.5, 3.0),
    "night": (0.2, 2.0),
    "rain": (1.0, 5.0),
}
SPEED_FACTOR: dict[Light, float] = {"day": 1.0, "dusk": 1.0, "night": 1.1, "rain": 0.85}
SLOWEST_MPS = 5.0
FAIR_SPEEDS = (0.6, 1.2)
"""Shares of its own speed that a follower may drive at to keep its distance."""
EARLIER_SECONDS = 1.0
LANE_DIRECTIONS = (1, -1)
"""Of the near and the far lane, along x."""


def _flow() -> dict[Light, float]:
    return {"day": 900.0, "dusk": 750.0, "night": 600.0, "rain": 750.0}


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """What is usual on a road."""

    vehicles_per_hour: Mapping[Light, float] = field(default_factory=_flow)
    """On each lane, on average over drives."""
    flow_spread: float = 0.4
    """Each lane of a drive has its own flow, up to this share more or less."""
    kind_shares: Mapping[Kind, float] = field(
        default_factory=lambda: {"car": 0.62, "van": 0.16, "truck": 0.12, "motorcycle": 0.10}
    )
    min_headway_seconds: float = 1.5
    """Between the centres of two vehicles of a lane as they pass the camera."""
    min_gap_m: float = 3.0
    """Between bumpers, at any time of the drive."""
    heard_m: float = 60.0
    """A vehicle that never comes this near along the road is part of the background."""

    def __post_init__(self) -> None:
        """Refuse headways that the flow cannot keep."""
        for light, flow in self.vehicles_per_hour.items():
            most = 3600 / (self.min_headway_seconds * (1 + self.flow_spread))
            if not 0 < flow < most:
                message = (
                    f"{flow} vehicles an hour by {light}; give more than 0, less than {most:.0f}"
                )
                raise InvalidValueError(message)


@dataclass(frozen=True, kw_only=True)
class Recorder:
    """How drives are recorded."""

    duration_seconds: float = 10.0
    frame_rate: float = 10.0
    sample_rate: int = 24_000
    array: str = "stereo"
    """The name of an array of ``microphones.py``."""


def draw_drive(
    recording_id: str,
    seed: int,
    *,
    camera: Camera,
    light: Light,
    recorder: Recorder,
    traffic: Traffic,
) -> Drive:
    """Draw one recording: who drives by, how windy it is."""
    vehicles = draw_vehicles(
        seed,
        camera=camera,
        light=light,
        duration_seconds=recorder.duration_seconds,
        traffic=traffic,
    )
    return Drive(
        recording_id=recording_id,
        seed=seed,
        vehicles=vehicles,
        camera=camera,
        microphones=array_at(recorder.array, camera),
        light=light,
        duration_seconds=recorder.duration_seconds,
        frame_rate=recorder.frame_rate,
        sample_rate=recorder.sample_rate,
        air=AIR[light],
        ground_reflection=0.95 if light == "rain" else 0.9,
        wind_mps=float(stream(seed, "weather").uniform(*WIND_MPS[light])),
    )


def draw_vehicles(
    seed: int, *, camera: Camera, light: Light, duration_seconds: float, traffic: Traffic
) -> tuple[Vehicle, ...]:
    """Draw the rows of both lanes; track ids count from 0, the near lane first."""
    vehicles: list[Vehicle] = []
    for lane, direction in enumerate(LANE_DIRECTIONS):
        row = _draw_row(
            stream(seed, f"lane {lane}"),
            lane_z_m=camera.lane_z_m(lane),
            direction=direction,
            light=light,
            duration_seconds=duration_seconds,
            traffic=traffic,
            first_id=len(vehicles),
        )
        vehicles += row
    return tuple(vehicles)


def _draw_row(
    rng: np.random.Generator,
    *,
    lane_z_m: float,
    direction: int,
    light: Light,
    duration_seconds: float,
    traffic: Traffic,
    first_id: int,
) -> list[Vehicle]:
    row: list[Vehicle] = []
    flow = traffic.vehicles_per_hour[light]
    flow *= 1 + traffic.flow_spread * rng.uniform(-1, 1)
    for passing_seconds in _passings(rng, flow, duration_seconds, traffic):
        kind = KINDS[rng.choice(len(KINDS), p=_shares(traffic))]
        speed = direction * SPEED_FACTOR[light] * draw_speed(rng, kind)
        body = draw_body(rng, kind)
        vehicle = Vehicle(
            track_id=first_id + len(row),
            seed=int(rng.integers(2**31)),
            kind=kind,
            lane_z_m=lane_z_m,
            speed_mps=speed,
            passing_seconds=passing_seconds,
            length_m=body.length_m,
            height_m=body.height_m,
            width_m=body.width_m,
            colour=body.colour,
            engine=body.engine,
            level_db=body.level_db,
        )
        fitting = _behind(row[-1], vehicle, duration_seconds, traffic) if row else vehicle
        if fitting is not None and _comes_near(fitting, duration_seconds, traffic.heard_m):
            row.append(fitting)
    return row


def _passings(
    rng: np.random.Generator, flow: float, duration_seconds: float, traffic: Traffic
) -> list[float]:
    """When vehicles pass the camera, from the first to the last that could be heard."""
    reach_seconds = traffic.heard_m / SLOWEST_MPS
    mean_seconds = 3600 / flow
    passings = [-reach_seconds + mean_seconds * rng.uniform()]
    while passings[-1] < duration_seconds + reach_seconds:
        spare = mean_seconds - traffic.min_headway_seconds
        passings.append(passings[-1] + traffic.min_headway_seconds + float(rng.exponential(spare)))
    return passings[:-1]


def _shares(traffic: Traffic) -> list[float]:
    shares = [traffic.kind_shares.get(kind, 0.0) for kind in KINDS]
    return [share / sum(shares) for share in shares]


def _comes_near(vehicle: Vehicle, duration_seconds: float, heard_m: float) -> bool:
    """Whether it is within reach at some time of the drive."""
    nearest = min(max(vehicle.passing_seconds, 0.0), duration_seconds)
    return abs(nearest - vehicle.passing_seconds) * abs(vehicle.speed_mps) <= heard_m


def _behind(
    leader: Vehicle, follower: Vehicle, duration_seconds: float, traffic: Traffic
) -> Vehicle | None:
    """Let the follower keep its distance, or none where no fair speed does.

    Between constant speeds a gap is linear in time: what holds at both ends of the drive (from
    before it, when its first sounds were emitted) holds throughout.
    """
    apart_m = (leader.length_m + follower.length_m) / 2 + traffic.min_gap_m
    slowest, fastest = (share * abs(follower.speed_mps) for share in FAIR_SPEEDS)
    for seconds in (-EARLIER_SECONDS, duration_seconds):
        room_m = abs(leader.speed_mps) * (seconds - leader.passing_seconds) - apart_m
        since = seconds - follower.passing_seconds
        if since > 0:
            fastest = min(fastest, room_m / since)
        elif since < 0:
            slowest = max(slowest, room_m / since)
        elif room_m < 0:
            return None
    if slowest > fastest:
        return None
    speed = min(max(abs(follower.speed_mps), slowest), fastest)
    return replace(follower, speed_mps=math.copysign(speed, follower.speed_mps))
