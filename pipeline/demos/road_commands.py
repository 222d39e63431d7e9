"""The stages of a road demo as the commands that a user would type, and the folders they share."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from avkd.pipeline.commands import Command, count_lines, run_command
from avkd.pipeline.cores import cores_per_worker, count_cores
from avkd.pipeline.demos.road_presets import RUNS, RoadPreset, RoadTeacher
from avkd.pipeline.demos.stages import DemoStages, count_commits, count_updates, expect_commits
from avkd.pipeline.recipes.stereosoundnet import CAMERA
from avkd.stages.simulation.worlds.road_writing import RoadFiles, write_road_world

GROUPS_BY = ("light", "view_split")
ROWS_PER_SHARD = 32

Student: TypeAlias = tuple[str, int]
"""A variant of the recipe and a seed."""
Asked = TypeVar("Asked")
Made = TypeVar("Made")


@dataclass(frozen=True, kw_only=True)
class RoadCommands:
    """What a demo does, in order; what a stopped one left is used again."""

    preset: RoadPreset
    folder: Path
    stages: DemoStages

    @property
    def store(self) -> Path:
        """What teachers saw and students hear."""
        return self.folder / "store"

    @property
    def students(self) -> list[Student]:
        """All that are trained."""
        return [(variant, seed) for seed in self.preset.seeds for variant in self.preset.variants]

    @property
    def detectors_stage(self) -> str:
        """How the training of teachers is called."""
        return "detector" if len(self.preset.teachers) == 1 else "detectors"

    def run_folder(self, student: Student) -> Path:
        """Where a student is."""
        variant, seed = student
        return self.folder / RUNS / variant / f"seed-{seed}"

    def detector_folder(self, teacher: RoadTeacher) -> Path:
        """Where a teacher is."""
        return self.folder / self.preset.detectors_folder / teacher.name

    def make_world(self) -> RoadFiles:
        """Make the drives that are not there."""
        return write_road_world(
            self.preset.world,
            self.folder / "world",
            streams=self.preset.streams,
            num_workers=count_cores(),
            on_progress=lambda done, total: self.stages.tell("world", done, total),
        )

    def train_detectors(self, world: RoadFiles) -> None:
        """Let each teacher learn from the true boxes of the drives that are for teachers."""
        teachers = self.preset.teachers
        count = partial(count_updates, [self.detector_folder(each) for each in teachers])
        total = len(teachers) * self.preset.num_detector_updates
        with self.stages.watched(self.detectors_stage, count, total):
            _side_by_side(partial(self._train_detector, world), teachers)

    def extract(self, world: RoadFiles) -> dict[str, Any]:
        """Store what all teachers say of all drives, and what students hear."""
        preset = self.preset
        teachers = [
            f"--teacher={each.name}={self.detector_folder(each)}" for each in preset.teachers
        ]
        channels = f"--num-channels={preset.num_microphones}"
        sound = [channels, f"--sample-rate={preset.sample_rate}"]
        camera = [f"--vector={name}" for name in CAMERA]
        # A step is a picture: what is between two pictures, no detector can tell.
        steps = f"--step-seconds={1 / preset.world.recorder.frame_rate}"
        clips = [f"--clip-seconds={preset.clip_seconds}", f"--rows-per-shard={ROWS_PER_SHARD}"]
        num_workers = 1 if preset.executor == "serial" else count_cores()
        workers = [f"--executor={preset.executor}", f"--workers={num_workers}"]
        count, total = partial(count_commits, self.store), self._expect_commits(world)
        with self.stages.watched("extraction", count, total):
            words = [*teachers, *self._maps, *sound, *camera, steps, *clips, *workers]
            return _run("extract-teacher", world.corpus, self.store, *words)

    def train_students(self) -> None:
        """Train every variant with every seed."""
        runs = [self.run_folder(student) for student in self.students]
        with self.stages.watched("students", partial(count_updates, runs)):
            _side_by_side(self._train_student, self.students)

    def evaluate(self, world: RoadFiles) -> dict[Student, dict[str, Any]]:
        """Hold students, and teachers beside each, to the truth of drives that nobody learned from.

        Gives what `avkd evaluate` printed of each student.
        """
        total = len(self.students)
        told = _side_by_side(
            partial(self._evaluate, world),
            self.students,
            on_done=lambda num_done: self.stages.tell("evaluation", num_done, total),
        )
        return dict(zip(self.students, told, strict=True))

    def _train_detector(self, world: RoadFiles, teacher: RoadTeacher) -> None:
        num_updates = self.preset.num_detector_updates
        settings = (f"schedule.num_updates={num_updates}", *self.preset.detector_settings)
        task = ["--task=detection", f"--truth={world.truth}", "--split=teacher"]
        words = [*task, f"--stream={teacher.stream}", *_set(settings)]
        threads = _share_cores(len(self.preset.teachers))
        folder = self.detector_folder(teacher)
        _run("train-teacher", world.corpus, folder, *words, environment=threads)

    def _train_student(self, student: Student) -> None:
        variant, seed = student
        recipe = [f"--recipe={self.preset.recipe}", f"--variant={variant}", f"--seed={seed}"]
        rows = ["--split=train", *(f"--where={each}" for each in self.preset.where)]
        words = [*recipe, *rows, *_set(self.preset.student_settings)]
        threads = _share_cores(len(self.students))
        folder = self.run_folder(student)
        _run("train-student", self.store, folder, *words, environment=threads)

    def _evaluate(self, world: RoadFiles, student: Student) -> dict[str, Any]:
        groups = [f"--by={column}" for column in GROUPS_BY]
        teachers = [f"--teacher-targets={teacher.name}" for teacher in self.preset.teachers]
        words = [f"--truth={world.truth}", *teachers, "--split=test", *groups]
        threads = _share_cores(len(self.students))
        return _run("evaluate", self.run_folder(student), self.store, *words, environment=threads)

    @property
    def _maps(self) -> list[str]:
        maps = [f"--maps={each.name}={each.maps}" for each in self.preset.teachers if each.maps]
        num_channels = self.preset.map_channels
        return [*maps, *([f"--map-channels={num_channels}"] if num_channels else [])]

    def _expect_commits(self, world: RoadFiles) -> int:
        seconds = self.preset.world.recorder.duration_seconds
        clips_per_drive = -int(-seconds // self.preset.clip_seconds)
        num_clips = (count_lines(world.corpus) - 1) * clips_per_drive
        num_producers = len(self.preset.teachers) + 1 + len(CAMERA)
        return expect_commits(num_clips, ROWS_PER_SHARD, num_producers=num_producers)


def _side_by_side(
    do: Callable[[Asked], Made],
    asked: Sequence[Asked],
    on_done: Callable[[int], None] = lambda num_done: None,
) -> list[Made]:
    """As many processes as there are cores."""
    made = []
    with ThreadPoolExecutor(max_workers=_count_workers(len(asked))) as pool:
        for one in pool.map(do, asked):
            made.append(one)
            on_done(len(made))
    return made


def _count_workers(num_asked: int) -> int:
    return min(count_cores(), num_asked)


def _share_cores(num_asked: int) -> dict[str, str]:
    """The threads of each of so many processes; one alone takes what it takes."""
    num_workers = _count_workers(num_asked)
    return {"OMP_NUM_THREADS": str(cores_per_worker(num_workers))} if num_asked > 1 else {}


def _run(
    name: str, *words: str | Path, environment: Mapping[str, str] | None = None
) -> dict[str, Any]:
    return run_command(Command(name, [str(word) for word in words], environment or {}))


def _set(settings: Sequence[str]) -> list[str]:
    return [f"--set={setting}" for setting in settings]
