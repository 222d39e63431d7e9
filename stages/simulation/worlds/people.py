"""The people world: who is it, by face and by voice.

Everything that a recording will be is planned here as data, from seeds alone;
``people_writing.py`` makes the files. Speakers of the two splits are other people. Conventions:
times are seconds of the recording, levels are decibels, positions are shares of the frame.
"""

import hashlib
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from avkd.errors import InvalidValueError
from avkd.stages.simulation.obstacles import OBSTACLES
from avkd.stages.simulation.people.face import Look, draw_look
from avkd.stages.simulation.people.person import Person, draw_person
from avkd.stages.simulation.people.voice import Delivery, draw_delivery
from avkd.stages.simulation.rendering import Pose

PeopleSplit: TypeAlias = Literal["train", "test"]
SIGNAL_TO_NOISE_DB = (5.0, 30.0)
_FIRST_NUMBERS: dict[PeopleSplit, int] = {"train": 10_001, "test": 20_001}


@dataclass(frozen=True, kw_only=True)
class PeopleWorld:
    """How many speakers and recordings of what form; equal worlds give equal files."""

    seed: int = 0
    num_train_speakers: int = 60
    num_test_speakers: int = 30
    num_train_utterances: int = 12
    """Of each speaker, like the next."""
    num_test_utterances: int = 8
    clip_seconds: float = 3.0
    frame_size: tuple[int, int] = (112, 112)
    """Width and height, both even."""
    frame_rate: int = 2
    sample_rate: int = 16_000

    def __post_init__(self) -> None:
        speakers = (self.num_train_speakers, self.num_test_speakers)
        utterances = (self.num_train_utterances, self.num_test_utterances)
        if min(speakers) < 2 or max(speakers) >= 10_000:
            raise InvalidValueError(
                f"numbers of speakers {speakers} must be 2 or more, below 10000"
            )
        if min(utterances) < 2:
            raise InvalidValueError(
                f"numbers of utterances {utterances} must be 2 or more: trials compare two"
            )
        if self.clip_seconds < 1:
            raise InvalidValueError(f"clip_seconds {self.clip_seconds} must be 1 or more")
        if any(side % 2 or side < 64 for side in self.frame_size):
            raise InvalidValueError(f"frame_size {self.frame_size} must be even, from 64 by 64 up")
        if self.sample_rate < 8_000 or self.sample_rate % 100:
            raise InvalidValueError(
                f"sample_rate {self.sample_rate} must be a multiple of 100, from 8000 up"
            )


@dataclass(frozen=True, kw_only=True)
class UtteranceSpec:
    """One recording of a person, planned."""

    path: str
    """In the world's folder, in VoxCeleb's layout: speaker, video, number."""
    speaker: str
    split: PeopleSplit
    seed: int
    """Of all that is left to chance when the recording is made."""
    person: Person
    look: Look
    start: Pose
    stop: Pose
    obstacle: str
    """Of the obstacles, or empty."""
    obstacle_pose: Pose
    delivery: Delivery
    signal_to_noise_db: float
    active_seconds: tuple[float, float]
    """From when to when the person speaks."""
    peak: float
    """Of the sound: how loud the recording is."""
    clip_seconds: float
    frame_size: tuple[int, int]
    frame_rate: int
    sample_rate: int


def full_people_world(seed: int = 0) -> PeopleWorld:
    """720 recordings of 60 people to learn from, 240 of 30 others to be told apart."""
    return PeopleWorld(seed=seed)


def tiny_people_world(seed: int = 0) -> PeopleWorld:
    """A few seconds' work, for tests."""
    return PeopleWorld(
        seed=seed,
        num_train_speakers=4,
        num_test_speakers=3,
        num_train_utterances=3,
        num_test_utterances=2,
        clip_seconds=1.0,
        frame_size=(64, 64),
    )


def plan_people_world(world: PeopleWorld) -> tuple[UtteranceSpec, ...]:
    """Plan every recording, sorted by path."""
    sizes: dict[PeopleSplit, tuple[int, int]] = {
        "train": (world.num_train_speakers, world.num_train_utterances),
        "test": (world.num_test_speakers, world.num_test_utterances),
    }
    specs = [
        plan_utterance(world, split, number, utterance)
        for split, (num_speakers, num_utterances) in sizes.items()
        for number in range(num_speakers)
        for utterance in range(num_utterances)
    ]
    return tuple(sorted(specs, key=lambda spec: spec.path))


def plan_utterance(
    world: PeopleWorld, split: PeopleSplit, number: int, utterance: int
) -> UtteranceSpec:
    """Plan one recording: the same in every world of this seed and form, however many it has."""
    speaker = f"id{_FIRST_NUMBERS[split] + number}"
    digest = hashlib.sha256(f"{world.seed}/{speaker}/{utterance}".encode()).digest()
    seed = int.from_bytes(digest[:4])
    rng = np.random.default_rng([seed, 0])
    start = _draw_pose(rng)
    return UtteranceSpec(
        path=f"{speaker}/{digest[4:10].hex()[:11]}/00001.mp4",
        speaker=speaker,
        split=split,
        seed=seed,
        person=draw_person(world.seed, split, number),
        look=draw_look(rng),
        start=start,
        stop=_moved(rng, start),
        obstacle=str(rng.choice(sorted(OBSTACLES))) if rng.random() < 0.2 else "",
        obstacle_pose=_draw_obstacle_pose(rng),
        delivery=draw_delivery(rng),
        signal_to_noise_db=float(rng.uniform(*SIGNAL_TO_NOISE_DB)),
        active_seconds=_draw_activity(rng, world.clip_seconds),
        peak=float(rng.uniform(0.1, 0.9)),
        clip_seconds=world.clip_seconds,
        frame_size=world.frame_size,
        frame_rate=world.frame_rate,
        sample_rate=world.sample_rate,
    )


def _draw_pose(rng: np.random.Generator) -> Pose:
    return Pose(
        x=float(rng.uniform(0.47, 0.53)),
        y=float(rng.uniform(0.52, 0.58)),
        height=float(rng.uniform(1.2, 1.4)),
        turn_degrees=float(rng.normal(0, 4)),
    )


def _moved(rng: np.random.Generator, pose: Pose) -> Pose:
    return Pose(
        x=pose.x + float(rng.uniform(-0.04, 0.04)),
        y=pose.y + float(rng.uniform(-0.03, 0.03)),
        height=pose.height * float(rng.uniform(0.96, 1.04)),
        turn_degrees=pose.turn_degrees + float(rng.uniform(-5, 5)),
    )


def _draw_obstacle_pose(rng: np.random.Generator) -> Pose:
    return Pose(
        x=float(rng.uniform(0.2, 0.8)),
        y=float(rng.uniform(0.3, 0.8)),
        height=float(rng.uniform(0.6, 1.0)),
        turn_degrees=float(rng.normal(0, 20)),
    )


def _draw_activity(rng: np.random.Generator, clip_seconds: float) -> tuple[float, float]:
    length = clip_seconds * rng.uniform(0.6, 1.0)
    start = rng.uniform(0, clip_seconds - length)
    return (float(start), float(start + length))
