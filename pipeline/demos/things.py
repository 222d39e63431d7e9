"""The whole product on a made-up world: videos, a store, students, controls and a report.

Every stage runs as the command that a user would type, in a process of its own: the teachers'
backbones are gone before the first student starts. What a stopped demo left is used again.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from avkd.pipeline.commands import Command, count_lines, run_command
from avkd.pipeline.cores import count_cores
from avkd.pipeline.demos.probe_scores import SeedMeans, gather_scores
from avkd.pipeline.demos.stages import (
    DemoStages,
    OnDemoProgress,
    count_commits,
    count_updates,
    expect_commits,
)
from avkd.pipeline.demos.things_report import write_demo_report
from avkd.stages.simulation.worlds.things import ThingsWorld, fast_world, full_world
from avkd.stages.simulation.worlds.writing import WorldFiles, write_world

DEMO_TEACHERS = ("efficientnet_lite0", "efficientnet_lite1")
CONTROLS = ("scratch", "random", "teacher")
ROWS_PER_SHARD = 32


@dataclass(frozen=True, kw_only=True)
class DemoPreset:
    """How large a demo is."""

    name: str
    world: ThingsWorld
    step_seconds: float
    variant: str
    """Of the recipe ``soundnet_logmel``."""
    seeds: tuple[int, ...]
    """Of the students, which are trained side by side."""
    labels_per_class: tuple[int, ...]
    """Of the probes; 0 stands for all."""
    executor: str
    """Of the extraction: a few recordings are done before other processes have started."""


@dataclass(frozen=True, kw_only=True)
class DemoReport:
    """What a demo measured, on simulated recordings."""

    report: str
    """Path of report.html."""
    preset: str
    probe_accuracy: Mapping[str, SeedMeans]
    """With all labels: ``distilled``, ``scratch``, ``random``, ``teacher``."""
    probe_accuracy_by_labels: Mapping[str, Mapping[str, SeedMeans]]
    """The same by labels a class: ``1``, ``5``, ``all``."""
    content_digest: str
    seconds: Mapping[str, float]
    """Wall time by stage."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"simulated": True, **asdict(self)}


def full_preset() -> DemoPreset:
    """About ten minutes on two busy cores (docs/results)."""
    return DemoPreset(
        name="full",
        world=full_world(),
        step_seconds=1.0,
        variant="default",
        seeds=(0, 1, 2),
        labels_per_class=(1, 5, 0),
        executor="processes",
    )


def fast_preset() -> DemoPreset:
    """Less than a minute on two cores that do nothing else (docs/results)."""
    return DemoPreset(
        name="fast",
        world=fast_world(),
        step_seconds=5.0,
        variant="tiny",
        seeds=(0,),
        labels_per_class=(0,),
        executor="serial",
    )


def run_demo(
    out: str, *, fast: bool = False, on_progress: OnDemoProgress = lambda event: None
) -> DemoReport:
    """Make the world, teach, train, measure and tell, in a folder of its own below ``out``.

    Raises:
        AvkdError: a stage failed; the message is the stage's.
    """
    preset = fast_preset() if fast else full_preset()
    stages = DemoStages(on_progress=on_progress)
    demo = _Demo(preset=preset, folder=Path(out) / preset.name, stages=stages)
    with stages.timed("world"):
        world = demo.make_world()
    with stages.timed("extraction"):
        extraction = demo.extract(world)
    with stages.timed("students"):
        evaluations = demo.train_and_evaluate(world)
    scores = gather_scores(evaluations)
    with stages.timed("report"):
        report = demo.tell(evaluations)
    return DemoReport(
        report=report,
        preset=preset.name,
        probe_accuracy=scores["all"],
        probe_accuracy_by_labels=scores,
        content_digest=extraction["content_digest"],
        seconds=stages.rounded_seconds,
    )


@dataclass(frozen=True, kw_only=True)
class _Demo:
    preset: DemoPreset
    folder: Path
    stages: DemoStages

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def run_folders(self) -> list[Path]:
        return [self.run_folder(seed) for seed in self.preset.seeds]

    def run_folder(self, seed: int) -> Path:
        return self.folder / "runs" / f"seed-{seed}"

    def make_world(self) -> WorldFiles:
        return write_world(
            self.preset.world,
            self.folder / "world",
            num_workers=count_cores(),
            on_progress=lambda done, total: self.stages.tell("world", done, total),
        )

    def extract(self, world: WorldFiles) -> dict[str, Any]:
        teachers = [f"--teacher={name}" for name in DEMO_TEACHERS]
        step = f"--step-seconds={self.preset.step_seconds}"
        policy = ["--clip-seconds=5", step, f"--rows-per-shard={ROWS_PER_SHARD}"]
        num_workers = 1 if self.preset.executor == "serial" else count_cores()
        workers = [f"--executor={self.preset.executor}", f"--workers={num_workers}"]
        arguments = [str(world.corpus), str(self.store), *teachers, *policy, *workers]
        num_clips, num_producers = count_lines(world.corpus) - 1, len(DEMO_TEACHERS) + 1
        total = expect_commits(num_clips, ROWS_PER_SHARD, num_producers)
        with self.stages.watched("extraction", partial(count_commits, self.store), total):
            return run_command(Command("extract-teacher", arguments))

    def train_and_evaluate(self, world: WorldFiles) -> list[Mapping[str, Any]]:
        """Give each seed's evaluation, its controls beside it."""
        seeds = self.preset.seeds
        with (
            self.stages.watched("students", lambda: count_updates(self.run_folders)),
            ThreadPoolExecutor(max_workers=len(seeds)) as pool,
        ):
            return list(pool.map(lambda seed: self._follow_seed(world, seed), seeds))

    def tell(self, evaluations: list[Mapping[str, Any]]) -> str:
        page = self.folder / "report.html"
        seconds = self.stages.seconds
        return write_demo_report(page, self.store, self.run_folders, evaluations, seconds)

    def _follow_seed(self, world: WorldFiles, seed: int) -> Mapping[str, Any]:
        run = str(self.run_folder(seed))
        recipe = ["--recipe=soundnet_logmel", f"--variant={self.preset.variant}", f"--seed={seed}"]
        threads = {"OMP_NUM_THREADS": str(max(1, count_cores() // len(self.preset.seeds)))}
        training = [str(self.store), run, *recipe, "--split=unlabelled"]
        run_command(Command("train-student", training, threads))
        return run_command(
            Command(
                "evaluate",
                [
                    *(run, str(world.labelled)),
                    *(f"--control={name}" for name in CONTROLS),
                    *(f"--labels-per-class={number}" for number in self.preset.labels_per_class),
                    f"--seed={seed}",
                ],
                threads,
            )
        )
