"""What a drive is made of: vehicles, a camera, microphones, and the air between them.

Conventions: metres, seconds and metres a second in the world's frame: x along the road and positive
to the right of the camera, y up, z away from the camera, the origin on the ground below the camera.
Lanes are parallel to x. A drive is complete: pictures, sounds and boxes are functions of it.
"""

import math
from dataclasses import dataclass, field
from typing import Literal, get_args

from avkd.errors import InvalidValueError

Kind = Literal["car", "van", "truck", "motorcycle"]
Light = Literal["day", "dusk", "night", "rain"]
Point = tuple[float, float, float]

KINDS: tuple[Kind, ...] = get_args(Kind)
LIGHTS: tuple[Light, ...] = get_args(Light)
LANE_WIDTH_M = 3.5
MAX_SPEED_MPS = 60.0
"""Far below the speed of sound: every sample then has one emission time."""


@dataclass(frozen=True, kw_only=True)
class Engine:
    """A four-stroke engine behind a gearbox."""

    num_cylinders: int
    turns_per_metre: tuple[float, ...]
    """Of the crank, in each gear, first gear first."""
    cruise_rpm: float
    """The driver takes the gear that comes nearest to it."""


@dataclass(frozen=True, kw_only=True)
class Vehicle:
    """One vehicle at a constant speed, before, during and after the drive."""

    track_id: int
    """Unique in the drive."""
    seed: int
    """Of what its sound and its looks leave to chance."""
    kind: Kind
    lane_z_m: float
    """Of its centre line."""
    speed_mps: float
    """Along x: negative drives to the left."""
    passing_seconds: float
    """When its centre is at x = 0, on the recording's clock; may lie outside the recording."""
    length_m: float
    """Along x."""
    height_m: float
    width_m: float
    """Along z."""
    colour: tuple[int, int, int]
    """Red, green and blue of its paint, 0 to 255."""
    engine: Engine
    level_db: float = 0.0
    """How much louder it is than its kind."""

    def __post_init__(self) -> None:
        """Refuse what the physics here cannot hold."""
        if not 0 < abs(self.speed_mps) <= MAX_SPEED_MPS:
            message = (
                f"a vehicle's speed is {self.speed_mps} m/s; give up to {MAX_SPEED_MPS}, not 0"
            )
            raise InvalidValueError(message)


@dataclass(frozen=True, kw_only=True)
class Camera:
    """A pinhole camera above (0, 0, 0) that looks across the road."""

    view: str
    """The name of its place, for what is seen and what is unseen."""
    height_m: float
    pitch_degrees: float
    """Downward is positive."""
    distance_m: float
    """To the centre line of the near lane, along z."""
    focal_widths: float = 0.7
    """Focal length in widths of the picture: 0.7 sees 71 degrees across."""
    picture_size: tuple[int, int] = (320, 240)
    """Width and height in pixels; pixels are square."""

    def lane_z_m(self, lane: int) -> float:
        """Depth of a lane's centre line: 0 is the near one, 1 the far one."""
        return self.distance_m + lane * LANE_WIDTH_M


VIEWS: tuple[Camera, ...] = (
    Camera(view="kerb", height_m=1.6, pitch_degrees=2.0, distance_m=8.0),
    Camera(view="fence", height_m=2.4, pitch_degrees=6.0, distance_m=10.0),
    Camera(view="verge", height_m=2.0, pitch_degrees=4.0, distance_m=14.0),
    Camera(view="shelter", height_m=2.8, pitch_degrees=12.0, distance_m=8.5),
    Camera(view="porch", height_m=3.2, pitch_degrees=7.0, distance_m=12.0),
    Camera(view="pole", height_m=4.0, pitch_degrees=16.0, distance_m=9.5),
    Camera(view="window", height_m=4.8, pitch_degrees=14.0, distance_m=13.0),
    Camera(view="balcony", height_m=5.6, pitch_degrees=22.0, distance_m=11.0),
    Camera(view="mast", height_m=6.4, pitch_degrees=20.0, distance_m=15.0),
    Camera(view="gantry", height_m=7.2, pitch_degrees=28.0, distance_m=12.5),
)
"""Places for the camera; a world says which of them training sees."""


@dataclass(frozen=True, kw_only=True)
class Microphones:
    """Where microphones are, and which way they listen: see ``microphones.py`` for arrays."""

    array: str
    """The name of the arrangement."""
    positions_m: tuple[Point, ...]
    facing: tuple[Point, ...]
    """Unit vectors out of the microphones' fronts, one each."""
    directivity: float = 0.0
    """0 hears all around alike, 0.5 is a cardioid, 1 a figure of eight."""

    def __post_init__(self) -> None:
        """Refuse vectors that do not match."""
        if len(self.facing) != len(self.positions_m):
            message = (
                f"{len(self.positions_m)} microphones face {len(self.facing)} ways; give one each"
            )
            raise InvalidValueError(message)

    @property
    def num_channels(self) -> int:
        """How many there are."""
        return len(self.positions_m)


@dataclass(frozen=True, kw_only=True)
class Air:
    """What sound travels through, at a pressure of one atmosphere."""

    temperature_celsius: float = 20.0
    humidity_percent: float = 60.0

    @property
    def speed_of_sound_mps(self) -> float:
        """Of dry air; humidity adds at most 0.4 % here."""
        return 331.3 * math.sqrt(1 + self.temperature_celsius / 273.15)


@dataclass(frozen=True, kw_only=True)
class Drive:
    """One recording, planned: all that is drawn, heard and true follows from it."""

    recording_id: str
    seed: int
    """Of the scene and the background; each vehicle has its own."""
    vehicles: tuple[Vehicle, ...]
    """Sorted by track id; also those that are never in view."""
    camera: Camera
    microphones: Microphones
    light: Light
    duration_seconds: float
    frame_rate: float
    sample_rate: int
    air: Air = field(default_factory=Air)
    ground_reflection: float = 0.9
    """Share of the pressure that the ground gives back, at every frequency and angle."""
    wind_mps: float = 2.0
    background_db: float | None = None
    """Sound pressure level of what is far off; none takes the light's own."""

    @property
    def num_frames(self) -> int:
        """How many pictures there are."""
        return round(self.duration_seconds * self.frame_rate)

    @property
    def num_samples(self) -> int:
        """How many samples each channel has."""
        return round(self.duration_seconds * self.sample_rate)
