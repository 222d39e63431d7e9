"""How large a road demo is, and what of the road it shows: one preset a recipe and size."""

from dataclasses import dataclass, replace

from avkd.errors import InvalidValueError
from avkd.pipeline.recipes.registry import spell_recipe
from avkd.stages.simulation.road.microphones import array_at
from avkd.stages.simulation.road.settings import VIEWS
from avkd.stages.simulation.worlds.road import NumDrives, RoadWorld, fast_road_world

STEREO = "stereosoundnet"
RING = "mm_distillnet"
ROAD_RECIPES = (STEREO, RING)
"""Recipes with a demo on the road, the usual one first."""
RUNS = "runs"
"""Folder of trained networks in that of a demo."""
TRUSTED = "light=day,dusk,rain"
"""By night a camera's detector says what is not there."""


@dataclass(frozen=True, kw_only=True)
class RoadTeacher:
    """A detector of the pictures of one stream."""

    stream: str
    """Its name, and of 16-bit gray the range, as ``--stream`` of `avkd train-teacher` takes it."""
    maps: str = ""
    """What extraction stores of it besides boxes, as ``--maps`` takes it."""

    @property
    def name(self) -> str:
        """The name of its stream."""
        return self.stream.partition(":")[0]


@dataclass(frozen=True, kw_only=True)
class RoadPreset:
    """What a demo makes, trains and measures."""

    name: str
    """Of its folder as well."""
    recipe: str
    world: RoadWorld
    teachers: tuple[RoadTeacher, ...]
    """Trained side by side; the first is the camera's."""
    num_detector_updates: int
    """Of each of them."""
    variants: tuple[str, ...]
    """Of the recipe; the first is the one to look at, others are held against it."""
    seeds: tuple[int, ...]
    """Of the students of each variant, which are trained side by side."""
    map_channels: int = 0
    """To which stored feature maps are projected; 0 stores all."""
    where: tuple[str, ...] = ()
    """Which drives students learn from, besides that they are of the split ``train``."""
    student_settings: tuple[str, ...] = ()
    """Changes to fields of the students' recipe, such as ``schedule.num_epochs=5``."""
    detector_settings: tuple[str, ...] = ()
    """The same of the detectors'."""
    clip_seconds: float = 5.0
    sample_rate: int = 16_000
    """Of what students hear."""
    executor: str = "processes"
    """Of the extraction."""
    detectors_folder: str = "teachers"
    """Apart from students, whose variants may be called like a teacher."""

    @property
    def num_microphones(self) -> int:
        """Of the world's array, all of which students hear."""
        return array_at(self.world.recorder.array, VIEWS[0]).num_channels

    @property
    def streams(self) -> tuple[str, ...]:
        """Of recordings: what teachers see and students hear."""
        return (*(teacher.name for teacher in self.teachers), "audio")


def choose_road_preset(recipe: str, *, fast: bool) -> RoadPreset:
    """Give the demo of a recipe, whose name may be spelled as papers do.

    Raises:
        InvalidValueError: there is no demo of it on the road.
    """
    name = spell_recipe(recipe)
    if name not in ROAD_RECIPES:
        raise InvalidValueError(
            f"recipe {recipe!r} has no demo on the road; give {' or '.join(ROAD_RECIPES)}"
        )
    if name == STEREO:
        return fast_road_preset() if fast else full_road_preset()
    return fast_ring_preset() if fast else full_ring_preset()


def full_road_preset() -> RoadPreset:
    """Two microphones and a camera: about ten minutes on two cores."""
    return RoadPreset(
        name="road-full",
        recipe=STEREO,
        world=fast_road_world(),
        teachers=(RoadTeacher(stream="rgb", maps="features_1"),),
        num_detector_updates=600,
        variants=("phase", "mono"),
        seeds=(0,),
        map_channels=32,
        where=(TRUSTED,),
        student_settings=("schedule.num_epochs=25",),
        detectors_folder=RUNS,
    )


def fast_road_preset() -> RoadPreset:
    """About two minutes on two cores: every stage, and too little to learn much."""
    return replace(
        full_road_preset(),
        name="road-fast",
        world=_least_world(),
        num_detector_updates=200,
        map_channels=16,
        # Two updates an epoch: the recipe's warm-up alone would outlast its epochs.
        student_settings=("schedule.num_epochs=40", "schedule.warmup_updates=10"),
        executor="serial",
    )


def full_ring_preset() -> RoadPreset:
    """Eight microphones and three detectors: sixteen minutes on two cores.

    Students learn by every light, a third of it night: where the camera is blind, the other
    detectors are not. The drives are fewer, for eight microphones take four times as long to make.
    """
    world = replace(
        fast_road_world(),
        train=NumDrives(day=42, dusk=10, night=30, rain=10),
        test=NumDrives(day=8, dusk=2, night=8, rain=2),
        unseen_test=NumDrives(day=5, night=5),
    )
    return RoadPreset(
        name="ring-full",
        recipe=RING,
        world=_with_ring(world),
        teachers=(
            RoadTeacher(stream="rgb", maps="attention"),
            RoadTeacher(stream="depth:0:6000", maps="attention"),
            RoadTeacher(stream="thermal:26000:32000", maps="attention"),
        ),
        num_detector_updates=600,
        variants=("ring", "rgb"),
        seeds=(0,),
        student_settings=("schedule.num_epochs=14",),
    )


def fast_ring_preset() -> RoadPreset:
    """Every stage, and too little to learn much: 8.5 minutes on two busy cores."""
    return replace(
        full_ring_preset(),
        name="ring-fast",
        world=_with_ring(replace(_least_world(), train=NumDrives(day=8, night=4))),
        num_detector_updates=100,
        student_settings=("schedule.num_epochs=20", "schedule.warmup_updates=10"),
    )


def _least_world() -> RoadWorld:
    return replace(
        fast_road_world(),
        teacher=NumDrives(day=5, night=1),
        train=NumDrives(day=12),
        validation=NumDrives(),
        test=NumDrives(day=2, night=2),
        unseen_test=NumDrives(day=1, night=1),
    )


def _with_ring(world: RoadWorld) -> RoadWorld:
    return replace(world, recorder=replace(world.recorder, array="ring"))
