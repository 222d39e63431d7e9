"""The road world: where the vehicles are, by ear.

Everything that a recording will be is planned here as data, from seeds alone; ``road_writing.py``
makes the files. Each camera stands at one of the named places of ``road/settings.py``, a little
elsewhere on each drive, as cameras that are put up again do; some places are for tests alone.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias, get_args

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.stages.simulation.road.chance import stream
from avkd.stages.simulation.road.settings import LIGHTS, VIEWS, Camera, Drive, Light
from avkd.stages.simulation.road.traffic import Recorder, Traffic, draw_drive

RoadSplit: TypeAlias = Literal["teacher", "train", "validation", "test"]
ViewSplit: TypeAlias = Literal["seen", "unseen"]
SPLITS: tuple[RoadSplit, ...] = get_args(RoadSplit)


@dataclass(frozen=True, kw_only=True)
class NumDrives:
    """How many drives by each light."""

    day: int = 0
    dusk: int = 0
    night: int = 0
    rain: int = 0

    def __post_init__(self) -> None:
        """Refuse negative numbers."""
        counts = (self.day, self.dusk, self.night, self.rain)
        if min(counts) < 0:
            raise InvalidValueError(f"numbers of drives {counts} must be 0 or more")

    def of(self, light: Light) -> int:
        """How many there are by one light."""
        counts: Mapping[Light, int] = {
            "day": self.day,
            "dusk": self.dusk,
            "night": self.night,
            "rain": self.rain,
        }
        return counts[light]


@dataclass(frozen=True, kw_only=True)
class RoadWorld:
    """How many drives of what form; equal worlds give equal files."""

    seed: int = 0
    teacher: NumDrives = field(default_factory=lambda: NumDrives(day=40, dusk=14, night=6, rain=14))
    """With boxes for the detectors to learn from: few by night, as labelled sets have."""
    train: NumDrives = field(default_factory=lambda: NumDrives(day=150, dusk=40, night=40, rain=40))
    """Without: students learn from what the detectors say."""
    validation: NumDrives = field(
        default_factory=lambda: NumDrives(day=12, dusk=4, night=4, rain=4)
    )
    test: NumDrives = field(default_factory=lambda: NumDrives(day=28, dusk=14, night=28, rain=14))
    """From the places of training."""
    unseen_test: NumDrives = field(
        default_factory=lambda: NumDrives(day=27, dusk=9, night=27, rain=9)
    )
    """From places that no other split has."""
    seen_views: tuple[str, ...] = (
        "kerb",
        "fence",
        "verge",
        "pole",
        "balcony",
        "mast",
        "gantry",
    )
    unseen_views: tuple[str, ...] = ("shelter", "porch", "window")
    mount_spread: float = 0.08
    """Height and distance of a drive's camera are those of its place, up to this share more or
    less; what was drawn is told in the table."""
    pitch_spread_degrees: float = 1.0
    picture_size: tuple[int, int] = (320, 192)
    """Width and height, both even."""
    recorder: Recorder = field(
        default_factory=lambda: Recorder(frame_rate=4.0, sample_rate=16_000, array="cardioids")
    )
    traffic: Traffic = field(default_factory=Traffic)

    def __post_init__(self) -> None:
        """Refuse places that are not known or in both lists, and pictures that no codec takes."""
        for view in (*self.seen_views, *self.unseen_views):
            _camera_named(view)
        both = sorted({*self.seen_views} & {*self.unseen_views})
        if both:
            raise InvalidValueError(
                f"view {both[0]!r} is both seen and unseen; leave it in one of the two"
            )
        if not self.seen_views or (not self.unseen_views and self.unseen_test != NumDrives()):
            raise InvalidValueError(
                f"views {self.seen_views} and {self.unseen_views}: name at least one for each "
                "split that has drives"
            )
        if any(side % 2 or side < 64 for side in self.picture_size):
            raise InvalidValueError(
                f"picture_size {self.picture_size} must be even, from 64 by 64 up"
            )
        if not 0 <= self.mount_spread < 0.5:
            raise InvalidValueError(f"mount_spread {self.mount_spread} must be 0 to below 0.5")


@dataclass(frozen=True, kw_only=True)
class PlannedDrive:
    """One recording, planned, and what the table says of it."""

    drive: Drive
    split: RoadSplit
    view_split: ViewSplit
    """Whether training sees the camera's place."""


def full_road_world(seed: int = 0) -> RoadWorld:
    """524 drives of ten seconds."""
    return RoadWorld(seed=seed)


def fast_road_world(seed: int = 0) -> RoadWorld:
    """What a demo can make and learn from in minutes."""
    return RoadWorld(
        seed=seed,
        teacher=NumDrives(day=14, dusk=5, night=3, rain=5),
        train=NumDrives(day=64, dusk=16, night=24, rain=16),
        validation=NumDrives(),
        test=NumDrives(day=12, dusk=4, night=12, rain=4),
        unseen_test=NumDrives(day=8, night=8),
    )


def tiny_road_world(seed: int = 0) -> RoadWorld:
    """A few seconds' work, for tests."""
    return RoadWorld(
        seed=seed,
        teacher=NumDrives(day=1),
        train=NumDrives(day=1, night=1),
        validation=NumDrives(),
        test=NumDrives(rain=1),
        unseen_test=NumDrives(dusk=1),
        picture_size=(128, 80),
        recorder=Recorder(
            duration_seconds=2.0, frame_rate=2.0, sample_rate=16_000, array="cardioids"
        ),
    )


def plan_road(world: RoadWorld) -> tuple[PlannedDrive, ...]:
    """Plan every recording, by split, then by id."""
    groups: tuple[tuple[RoadSplit, ViewSplit, NumDrives], ...] = (
        ("teacher", "seen", world.teacher),
        ("train", "seen", world.train),
        ("validation", "seen", world.validation),
        ("test", "seen", world.test),
        ("test", "unseen", world.unseen_test),
    )
    planned = [
        plan_drive(world, split, view_split, light, index)
        for split, view_split, num_drives in groups
        for light in LIGHTS
        for index in range(num_drives.of(light))
    ]
    return tuple(sorted(planned, key=lambda one: (SPLITS.index(one.split), one.drive.recording_id)))


def plan_drive(
    world: RoadWorld, split: RoadSplit, view_split: ViewSplit, light: Light, index: int
) -> PlannedDrive:
    """Plan one recording: the same in every world of this seed and form, however many it has.

    The places take turns from drive to drive.
    """
    name = f"{world.seed}/{split}/{view_split}/{light}/{index}"
    digest = hashlib.sha256(name.encode()).digest()
    seed = int.from_bytes(digest[:4])
    views = world.seen_views if view_split == "seen" else world.unseen_views
    view = views[(index + LIGHTS.index(light)) % len(views)]
    drive = draw_drive(
        digest[4:10].hex(),
        seed,
        camera=_put_up(world, _camera_named(view), seed),
        light=light,
        recorder=world.recorder,
        traffic=world.traffic,
    )
    return PlannedDrive(drive=drive, split=split, view_split=view_split)


def _put_up(world: RoadWorld, camera: Camera, seed: int) -> Camera:
    rng = stream(seed, "mount")
    higher, farther = 1 + world.mount_spread * rng.uniform(-1, 1, 2)
    tilt = world.pitch_spread_degrees * rng.uniform(-1, 1)
    # Rounded as the table tells them: who reads it knows the camera to the last bit.
    return replace(
        camera,
        height_m=round(camera.height_m * higher, 3),
        distance_m=round(camera.distance_m * farther, 3),
        pitch_degrees=round(camera.pitch_degrees + tilt, 2),
        picture_size=world.picture_size,
    )


def _camera_named(view: str) -> Camera:
    for camera in VIEWS:
        if camera.view == view:
            return camera
    raise UnknownNameError("view", view, [camera.view for camera in VIEWS])
