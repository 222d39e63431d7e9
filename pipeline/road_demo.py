"""The road, whole: drives, a detector, a store, students that hear where vehicles are, a report.

Every stage but the first runs as the command that a user would type, in a process of its own: no
detector is where a student learns. What a stopped demo left is used again; evaluations are made
anew.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from avkd.pipeline.commands import Command, count_lines, run_command
from avkd.pipeline.cores import cores_per_worker, count_cores
from avkd.pipeline.demo_box_scores import BoxMeans, gather_box_scores
from avkd.pipeline.demo_stages import (
    DemoStages,
    OnDemoProgress,
    count_commits,
    count_updates,
    expect_commits,
)
from avkd.pipeline.recipes.stereosoundnet import CAMERA
from avkd.pipeline.road_demo_report import RoadStory, write_road_report
from avkd.stages.simulation.worlds.road import NumDrives, RoadWorld, fast_road_world
from avkd.stages.simulation.worlds.road_writing import RoadFiles, write_road_world

TEACHER = "rgb"
"""The stream, and the name of the detector of its pictures."""
RECIPE = "stereosoundnet"
MICROPHONES = 2
GROUPS_BY = ("light", "view_split")
TRUSTED = "light=day,dusk,rain"
"""Which drives students learn from: by night a camera's detector says what is not there."""
ROWS_PER_SHARD = 32

Student: TypeAlias = tuple[str, int]
"""A variant of the recipe and a seed."""
Made = TypeVar("Made")


@dataclass(frozen=True, kw_only=True)
class RoadPreset:
    """How large a demo is."""

    name: str
    world: RoadWorld
    num_detector_updates: int
    variants: tuple[str, ...]
    """Of the recipe; the first is the one to look at, others are held against it."""
    seeds: tuple[int, ...]
    """Of the students of each variant, which are trained side by side."""
    feature_map: str
    """Of the detector, for variants that rank; empty where none does."""
    map_channels: int = 0
    """To which the map is projected; 0 stores all."""
    student_settings: tuple[str, ...] = ()
    """Changes to fields of the students' recipe, such as ``schedule.num_epochs=5``."""
    detector_settings: tuple[str, ...] = ()
    """The same of the detector's."""
    clip_seconds: float = 5.0
    sample_rate: int = 16_000
    """Of what students hear."""
    executor: str = "processes"
    """Of the extraction."""


@dataclass(frozen=True, kw_only=True)
class RoadDemoReport:
    """What a demo measured, on simulated drives that nothing was learned from."""

    report: str
    """Path of report.html."""
    preset: str
    scores: Mapping[str, BoxMeans]
    """By variant, group and metric, held to the truth."""
    teacher: BoxMeans
    """The same of the detector, which sees the pictures."""
    content_digest: str
    seconds: Mapping[str, float]
    """Wall time by stage."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"simulated": True, **asdict(self)}


def full_road_preset() -> RoadPreset:
    """About ten minutes on two cores."""
    return RoadPreset(
        name="road-full",
        world=fast_road_world(),
        num_detector_updates=600,
        variants=("phase", "mono"),
        seeds=(0,),
        feature_map="features_1",
        map_channels=32,
        student_settings=("schedule.num_epochs=25",),
    )


def fast_road_preset() -> RoadPreset:
    """About two minutes on two cores: every stage, and too little to learn much."""
    world = replace(
        fast_road_world(),
        teacher=NumDrives(day=5, night=1),
        train=NumDrives(day=12),
        validation=NumDrives(),
        test=NumDrives(day=2, night=2),
        unseen_test=NumDrives(day=1, night=1),
    )
    return RoadPreset(
        name="road-fast",
        world=world,
        num_detector_updates=200,
        variants=("phase", "mono"),
        seeds=(0,),
        feature_map="features_1",
        map_channels=16,
        # Two updates an epoch: the recipe's warm-up alone would outlast its epochs.
        student_settings=("schedule.num_epochs=40", "schedule.warmup_updates=10"),
        executor="serial",
    )


def run_road_demo(
    out: str, *, fast: bool = False, on_progress: OnDemoProgress = lambda event: None
) -> RoadDemoReport:
    """Make the road, teach, train, measure and tell, in a folder of its own below ``out``.

    Raises:
        AvkdError: a stage failed; the message is the stage's.
    """
    preset = fast_road_preset() if fast else full_road_preset()
    stages = DemoStages(on_progress=on_progress)
    demo = _RoadDemo(preset=preset, folder=Path(out) / preset.name, stages=stages)
    with stages.timed("world"):
        world = demo.make_world()
    with stages.timed("detector"):
        demo.train_detector(world)
    with stages.timed("extraction"):
        extraction = demo.extract(world)
    with stages.timed("students"):
        demo.train_students()
    with stages.timed("evaluation"):
        scores, teacher = demo.evaluate(world)
    with stages.timed("report"):
        report = demo.tell(world, scores, teacher)
    return RoadDemoReport(
        report=report,
        preset=preset.name,
        scores=scores,
        teacher=teacher,
        content_digest=extraction["content_digest"],
        seconds=stages.rounded_seconds,
    )


@dataclass(frozen=True, kw_only=True)
class _RoadDemo:
    preset: RoadPreset
    folder: Path
    stages: DemoStages

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def detector(self) -> Path:
        return self.folder / "runs" / TEACHER

    @property
    def students(self) -> list[Student]:
        return [(variant, seed) for seed in self.preset.seeds for variant in self.preset.variants]

    def run_folder(self, student: Student) -> Path:
        variant, seed = student
        return self.folder / "runs" / variant / f"seed-{seed}"

    def make_world(self) -> RoadFiles:
        return write_road_world(
            self.preset.world,
            self.folder / "world",
            streams=(TEACHER, "audio"),
            num_workers=count_cores(),
            on_progress=lambda done, total: self.stages.tell("world", done, total),
        )

    def train_detector(self, world: RoadFiles) -> None:
        num_updates = self.preset.num_detector_updates
        settings = (f"schedule.num_updates={num_updates}", *self.preset.detector_settings)
        task = ["--task=detection", f"--truth={world.truth}", "--split=teacher"]
        count = partial(count_updates, [self.detector])
        with self.stages.watched("detector", count, num_updates):
            self._run("train-teacher", world.corpus, self.detector, *task, *_set(settings))

    def extract(self, world: RoadFiles) -> dict[str, Any]:
        preset = self.preset
        teacher = [f"--teacher={TEACHER}={self.detector}", *self._maps]
        sound = [f"--num-channels={MICROPHONES}", f"--sample-rate={preset.sample_rate}"]
        camera = [f"--vector={name}" for name in CAMERA]
        # A step is a picture: what is between two pictures, no detector can tell.
        steps = f"--step-seconds={1 / preset.world.recorder.frame_rate}"
        clips = [f"--clip-seconds={preset.clip_seconds}", f"--rows-per-shard={ROWS_PER_SHARD}"]
        num_workers = 1 if preset.executor == "serial" else count_cores()
        workers = [f"--executor={preset.executor}", f"--workers={num_workers}"]
        count, total = partial(count_commits, self.store), self._expect_commits(world)
        with self.stages.watched("extraction", count, total):
            words = [*teacher, *sound, *camera, steps, *clips, *workers]
            return self._run("extract-teacher", world.corpus, self.store, *words)

    def train_students(self) -> None:
        runs = [self.run_folder(student) for student in self.students]
        with self.stages.watched("students", partial(count_updates, runs)):
            self._side_by_side(self._train)

    def evaluate(self, world: RoadFiles) -> tuple[dict[str, BoxMeans], BoxMeans]:
        """Give what each variant scored, and the detector."""
        total = len(self.students)
        told = dict(
            self._side_by_side(
                partial(self._evaluate, world),
                on_done=lambda num_done: self.stages.tell("evaluation", num_done, total),
            )
        )
        scores = {
            variant: gather_box_scores([told[variant, seed] for seed in self.preset.seeds])
            for variant in self.preset.variants
        }
        # It said what it said: its row is the same beside every student.
        return scores, gather_box_scores([told[self.students[0]]], TEACHER)

    def tell(self, world: RoadFiles, scores: Mapping[str, BoxMeans], teacher: BoxMeans) -> str:
        story = RoadStory(
            store=self.store,
            truth=world.truth,
            runs={
                variant: [self.run_folder((variant, seed)) for seed in self.preset.seeds]
                for variant in self.preset.variants
            },
            scores=scores,
            teacher=teacher,
            seconds=self.stages.seconds,
        )
        return write_road_report(self.folder / "report.html", story)

    def _train(self, student: Student) -> None:
        variant, seed = student
        recipe = [f"--recipe={RECIPE}", f"--variant={variant}", f"--seed={seed}"]
        words = [
            *recipe,
            "--split=train",
            f"--where={TRUSTED}",
            *_set(self.preset.student_settings),
        ]
        folder = self.run_folder(student)
        self._run("train-student", self.store, folder, *words, environment=self._threads)

    def _evaluate(self, world: RoadFiles, student: Student) -> tuple[Student, dict[str, Any]]:
        groups = [f"--by={column}" for column in GROUPS_BY]
        against = [f"--truth={world.truth}", f"--teacher-targets={TEACHER}", "--split=test"]
        folder, words = self.run_folder(student), [*against, *groups]
        return student, self._run("evaluate", folder, self.store, *words, environment=self._threads)

    def _side_by_side(
        self, do: Callable[[Student], Made], on_done: Callable[[int], None] = lambda num_done: None
    ) -> list[Made]:
        """As many processes as there are cores."""
        made = []
        with ThreadPoolExecutor(max_workers=self._num_workers) as pool:
            for one in pool.map(do, self.students):
                made.append(one)
                on_done(len(made))
        return made

    @property
    def _num_workers(self) -> int:
        return min(count_cores(), len(self.students))

    @property
    def _threads(self) -> dict[str, str]:
        return {"OMP_NUM_THREADS": str(cores_per_worker(self._num_workers))}

    @property
    def _maps(self) -> list[str]:
        if not self.preset.feature_map:
            return []
        maps = f"--maps={TEACHER}={self.preset.feature_map}"
        return [maps, f"--map-channels={self.preset.map_channels}"]

    def _expect_commits(self, world: RoadFiles) -> int:
        seconds = self.preset.world.recorder.duration_seconds
        clips_per_drive = -int(-seconds // self.preset.clip_seconds)
        num_clips = (count_lines(world.corpus) - 1) * clips_per_drive
        return expect_commits(num_clips, ROWS_PER_SHARD, num_producers=2 + len(CAMERA))

    def _run(
        self, name: str, *words: str | Path, environment: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        return run_command(Command(name, [str(word) for word in words], environment or {}))


def _set(settings: tuple[str, ...]) -> list[str]:
    return [f"--set={setting}" for setting in settings]
