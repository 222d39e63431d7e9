"""The demo world: twelve kinds of things that look and sound distinct.

Everything that a recording will be is planned here as data, from seeds alone; ``writing.py`` makes
the files. Conventions: times are seconds of the recording, levels are decibels, positions are
shares of the frame.
"""

import hashlib
import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from avkd.errors import InvalidValueError
from avkd.stages.simulation.obstacles import OBSTACLES
from avkd.stages.simulation.rendering import Pose
from avkd.stages.simulation.things.catalog import KINDS

Split: TypeAlias = Literal["unlabelled", "train", "validation", "test"]
SIGNAL_TO_NOISE_DB = (-3.0, 20.0)
SPLITS: tuple[Split, ...] = ("unlabelled", "train", "validation", "test")


@dataclass(frozen=True, kw_only=True)
class ThingsWorld:
    """How many recordings of what form; equal worlds give equal files."""

    seed: int = 0
    num_unlabelled: int = 576
    num_train_per_kind: int = 12
    num_validation_per_kind: int = 4
    num_test_per_kind: int = 16
    clip_seconds: float = 5.0
    frame_size: tuple[int, int] = (224, 176)
    """Width and height, both even."""
    frame_rate: int = 6
    sample_rate: int = 22_050

    def __post_init__(self) -> None:
        counts = (
            self.num_unlabelled,
            self.num_train_per_kind,
            self.num_validation_per_kind,
            self.num_test_per_kind,
        )
        if min(counts) < 0:
            raise InvalidValueError(f"numbers of recordings {counts} must be 0 or more")
        if self.clip_seconds < 1:
            raise InvalidValueError(f"clip_seconds {self.clip_seconds} must be 1 or more")
        if any(side % 2 or side < 64 for side in self.frame_size):
            raise InvalidValueError(f"frame_size {self.frame_size} must be even, from 64 by 64 up")


@dataclass(frozen=True, kw_only=True)
class Appearance:
    """A thing in the picture: which, and its way over the clip."""

    kind: str
    start: Pose
    stop: Pose
    mirrored: bool


@dataclass(frozen=True, kw_only=True)
class ThingSpec:
    """One recording, planned."""

    recording_id: str
    """Also the file's stem; says nothing about the kind."""
    split: Split
    seed: int
    """Of all that is left to chance when the recording is made."""
    thing: Appearance
    distractor: Appearance | None
    """A smaller thing of another kind that is seen and not heard."""
    obstacle: Appearance | None
    """What hides a part of the thing; its kind is one of the obstacles."""
    offscreen_kind: str
    """A kind that is heard and not seen; empty for none."""
    offscreen_db: float
    """Its level over the thing's."""
    signal_to_noise_db: float
    active_seconds: tuple[float, float]
    """From when to when the thing may be heard."""
    clip_seconds: float
    frame_size: tuple[int, int]
    frame_rate: int
    sample_rate: int

    @property
    def kind(self) -> str:
        """What it is: the label."""
        return self.thing.kind


def full_world(seed: int = 0) -> ThingsWorld:
    """The world of ``avkd demo``."""
    return ThingsWorld(seed=seed)


def fast_world(seed: int = 0) -> ThingsWorld:
    """The world of ``avkd demo --fast``."""
    return ThingsWorld(
        seed=seed,
        num_unlabelled=192,
        num_train_per_kind=4,
        num_validation_per_kind=1,
        num_test_per_kind=6,
        # A frame for each second: the teachers look at one of the five.
        frame_rate=1,
    )


def plan_world(world: ThingsWorld) -> tuple[ThingSpec, ...]:
    """Plan every recording, sorted by split and id; kinds come equally often in each split."""
    specs = [
        plan_recording(world, split, kind, index)
        for split in SPLITS
        for kind in KINDS
        for index in range(_num_of_kind(world, split, kind))
    ]
    return tuple(sorted(specs, key=lambda spec: (SPLITS.index(spec.split), spec.recording_id)))


def plan_recording(world: ThingsWorld, split: Split, kind: str, index: int) -> ThingSpec:
    """Plan one recording: the same in every world of this seed and form, however many it has."""
    name = f"{world.seed}/{split}/{kind}/{index}"
    digest = hashlib.sha256(name.encode()).digest()
    seed = int.from_bytes(digest[:4])
    rng = np.random.default_rng([seed, 0])
    others = [other for other in KINDS if other != kind]
    return ThingSpec(
        recording_id=digest[4:10].hex(),
        split=split,
        seed=seed,
        thing=_plan_thing(rng, kind),
        distractor=_plan_distractor(rng, others) if rng.random() < 0.3 else None,
        obstacle=_plan_obstacle(rng) if rng.random() < 0.3 else None,
        offscreen_kind=str(rng.choice(others)) if rng.random() < 0.4 else "",
        offscreen_db=float(rng.uniform(-16, -5)),
        signal_to_noise_db=float(rng.uniform(*SIGNAL_TO_NOISE_DB)),
        active_seconds=_plan_activity(rng, world.clip_seconds),
        clip_seconds=world.clip_seconds,
        frame_size=world.frame_size,
        frame_rate=world.frame_rate,
        sample_rate=world.sample_rate,
    )


def _num_of_kind(world: ThingsWorld, split: Split, kind: str) -> int:
    if split == "unlabelled":
        whole, rest = divmod(world.num_unlabelled, len(KINDS))
        return whole + (list(KINDS).index(kind) < rest)
    per_kind = {
        "train": world.num_train_per_kind,
        "validation": world.num_validation_per_kind,
        "test": world.num_test_per_kind,
    }
    return per_kind[split]


def _plan_thing(rng: np.random.Generator, kind: str) -> Appearance:
    start = Pose(
        x=float(rng.uniform(0.34, 0.66)),
        y=float(rng.uniform(0.38, 0.62)),
        height=float(rng.uniform(0.45, 0.95)),
        turn_degrees=float(rng.normal(0, 12)),
    )
    return Appearance(
        kind=kind, start=start, stop=_moved(rng, start), mirrored=bool(rng.random() < 0.5)
    )


def _plan_distractor(rng: np.random.Generator, kinds: list[str]) -> Appearance:
    angle = rng.uniform(0, 2 * math.pi)
    start = Pose(
        x=0.5 + 0.38 * math.cos(angle),
        y=0.5 + 0.38 * math.sin(angle),
        height=float(rng.uniform(0.26, 0.42)),
        turn_degrees=float(rng.normal(0, 15)),
    )
    kind = str(rng.choice(kinds))
    return Appearance(
        kind=kind, start=start, stop=_moved(rng, start), mirrored=bool(rng.random() < 0.5)
    )


def _plan_obstacle(rng: np.random.Generator) -> Appearance:
    start = Pose(
        x=float(rng.uniform(0.25, 0.75)),
        y=float(rng.uniform(0.4, 0.6)),
        height=float(rng.uniform(1.3, 1.7)),
        turn_degrees=float(rng.normal(0, 8)),
    )
    return Appearance(
        kind=str(rng.choice(sorted(OBSTACLES))),
        start=start,
        stop=_moved(rng, start),
        mirrored=False,
    )


def _moved(rng: np.random.Generator, pose: Pose) -> Pose:
    return Pose(
        x=pose.x + float(rng.uniform(-0.12, 0.12)),
        y=pose.y + float(rng.uniform(-0.1, 0.1)),
        height=pose.height * float(rng.uniform(0.85, 1.18)),
        turn_degrees=pose.turn_degrees + float(rng.uniform(-14, 14)),
    )


def _plan_activity(rng: np.random.Generator, clip_seconds: float) -> tuple[float, float]:
    if rng.random() < 0.3:
        return (0.0, clip_seconds)
    length = clip_seconds * rng.uniform(0.45, 0.95)
    start = rng.uniform(0, clip_seconds - length)
    return (float(start), float(start + length))
