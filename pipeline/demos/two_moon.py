"""MKE's first experiment, whole: points, a store, a teacher, students, their accuracies.

The table of Xue et al. (ICCV 2021), as their notebook has it, out of the same commands that serve
recordings. Every stage runs in a process of its own: the teacher's network is never where a student
is. What a stopped demo left is used again.
"""

import random
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from avkd.pipeline.commands import Command, run_command
from avkd.pipeline.cores import count_cores
from avkd.pipeline.demos.probe_scores import summarise
from avkd.pipeline.demos.stages import DemoStages, OnDemoProgress, count_updates
from avkd.stages.simulation.worlds.two_moon import NUM_POINTS, VECTORS, write_two_moon

Version: TypeAlias = Literal["logits", "double_softmax"]
"""``logits`` is the notebook as it is now, ``double_softmax`` its first commit, whose networks end
in a softmax before the cross-entropy."""

TEACHER = "alpha_teacher"
TEACHER_UPDATES = 1000
STUDENT_UPDATES = 2000
NUM_SEEDS = 10
ONE_THREAD = {"OMP_NUM_THREADS": "1"}
"""Of such small networks; more are slower, and sums would have another order."""


def draw_seeds() -> tuple[int, ...]:
    """The notebook's ten seeds; 94 comes twice."""
    generator = random.Random(42)
    return tuple(generator.randint(0, 100) for _ in range(NUM_SEEDS))


@dataclass(frozen=True, kw_only=True)
class StudentKind:
    """Students that differ in their seeds alone."""

    name: str
    variant: str = "two_moon"
    """Of the recipe ``mke``."""
    changes: tuple[str, ...] = ()
    """To its fields."""


_NO_NOISE = "encoder.options.input_noise=0"
STUDENTS = (
    StudentKind(name="um_student", variant="two_moon_uni"),
    StudentKind(name="mm_student"),
    StudentKind(name="mm_supervised", variant="two_moon_supervised"),
)
ABLATIONS = (
    StudentKind(name="no_noise", changes=(_NO_NOISE,)),
    StudentKind(name="hidden_noise", changes=(_NO_NOISE, "encoder.options.hidden_noise=1")),
    StudentKind(name="dropout", changes=(_NO_NOISE, "encoder.options.dropout=0.5")),
    StudentKind(name="soft_targets", changes=("method.options.targets=soft",)),
    StudentKind(name="confident_half", changes=("method.options.threshold=quantile",)),
)
ABLATION_ROWS = (
    "no_noise",
    "hidden_noise",
    "dropout",
    "input_noise",
    "soft_targets",
    "confident_half",
)
"""In the order of the table; ``input_noise`` is the ``mm_student`` itself."""

NOTEBOOK: Mapping[Version, Mapping[str, float]] = {
    "logits": {"teacher": 69.5, "um_student": 72.4, "mm_student": 77.7, "mm_supervised": 87.6},
    "double_softmax": {},
}
"""What the notebook saved, in percent [S]; of its first commit no number is known [U]."""


@dataclass(frozen=True, kw_only=True)
class RunAccuracies:
    """Accuracies over seeds, in percent."""

    mean: float
    sd: float
    """Of a sample; 0 of one run."""
    runs: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class TwoMoonReport:
    """What the experiment gave, on its 200 test points."""

    version: Version
    teacher: RunAccuracies
    um_student: RunAccuracies
    """Learned from the teacher with the teacher's modality alone."""
    mm_student: RunAccuracies
    """With both modalities."""
    mm_supervised: RunAccuracies
    """With both, and the truth instead of the teacher."""
    pseudo_label_accuracy: float
    """Of the teacher on the 270 unlabelled points."""
    seeds: tuple[int, ...]
    """Of the students, in the order of the runs."""
    ablations: Mapping[str, RunAccuracies] = field(default_factory=dict)
    """Of the ``mm_student``; empty unless asked for."""
    seconds: Mapping[str, float]
    """Wall time by stage."""

    @property
    def rows(self) -> Mapping[str, RunAccuracies]:
        """The paper's table: teacher and students by name."""
        names = ("teacher", *(kind.name for kind in STUDENTS))
        return {name: getattr(self, name) for name in names}

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def run_two_moon(
    out: str,
    *,
    version: Version = "logits",
    ablations: bool = False,
    seeds: Sequence[int] = (),
    on_progress: OnDemoProgress = lambda event: None,
) -> TwoMoonReport:
    """Make the points, teach, train and measure, in a folder of its own below ``out``.

    ``seeds`` of the students are the notebook's by default.

    Raises:
        AvkdError: a stage failed; the message is the stage's.
    """
    stages = DemoStages(on_progress=on_progress)
    demo = _Demo(
        folder=Path(out) / f"two-moon-{version}",
        version=version,
        seeds=tuple(seeds or draw_seeds()),
        kinds=STUDENTS + (ABLATIONS if ablations else ()),
        stages=stages,
    )
    with stages.timed("teacher"):
        demo.extract_vectors()
        demo.train_teacher()
        demo.extract_teacher()
    with stages.timed("students"):
        demo.train_students()
    with stages.timed("evaluation"):
        teacher, pseudo_label_accuracy = demo.measure_teacher()
        students = demo.measure_students()
    rows = {**students, "input_noise": students["mm_student"]}
    return TwoMoonReport(
        version=version,
        teacher=teacher,
        um_student=students["um_student"],
        mm_student=students["mm_student"],
        mm_supervised=students["mm_supervised"],
        pseudo_label_accuracy=pseudo_label_accuracy,
        seeds=demo.seeds,
        ablations={name: rows[name] for name in ABLATION_ROWS} if ablations else {},
        seconds=stages.rounded_seconds,
    )


@dataclass(frozen=True, kw_only=True)
class _Demo:
    folder: Path
    version: Version
    seeds: tuple[int, ...]
    kinds: tuple[StudentKind, ...]
    stages: DemoStages

    @property
    def points(self) -> Path:
        return self.folder / "points.parquet"

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def teacher_run(self) -> Path:
        return self.folder / "teacher"

    @property
    def distinct_seeds(self) -> tuple[int, ...]:
        return tuple(dict.fromkeys(self.seeds))

    def kind_folder(self, kind: StudentKind) -> Path:
        return self.folder / "students" / kind.name

    def run_folders(self, kind: StudentKind) -> list[Path]:
        folder, seeds = self.kind_folder(kind), self.distinct_seeds
        return [folder / f"seed-{seed}" for seed in seeds] if len(seeds) > 1 else [folder]

    def extract_vectors(self) -> None:
        write_two_moon(self.points)
        vectors = [f"--vector={name}" for name in VECTORS]
        self._run("extract-teacher", self.points, self.store, *vectors, *self._sizes)

    def train_teacher(self) -> None:
        recipe = ["--recipe=mke_teacher", "--variant=two_moon", *self._set()]
        run = self.teacher_run
        with self._watch("teacher", (run,), TEACHER_UPDATES):
            self._run("train-teacher", self.store, run, *recipe, "--device=cpu")

    def extract_teacher(self) -> None:
        teacher = f"--teacher={TEACHER}={self.teacher_run}"
        self._run("extract-teacher", self.points, self.store, teacher, *self._sizes)

    def train_students(self) -> None:
        """All of a kind in one process, and as many processes as there are cores."""
        runs = [run for kind in self.kinds for run in self.run_folders(kind)]
        with (
            self._watch("students", runs, STUDENT_UPDATES * len(runs)),
            ThreadPoolExecutor(max_workers=count_cores()) as pool,
        ):
            list(pool.map(self._train_kind, self.kinds))

    def measure_teacher(self) -> tuple[RunAccuracies, float]:
        """On the test points, and what was stored of it against the truth of the unlabelled."""
        (accuracy,) = self._measure(self.teacher_run).values()
        stored = self._evaluate(self.teacher_run, "unlabelled", f"--teacher-targets={TEACHER}")
        said = next(each for each in stored["scores"] if each["name"] == TEACHER)
        return _accuracies([accuracy]), round(100 * said["metrics"]["accuracy"], 4)

    def measure_students(self) -> dict[str, RunAccuracies]:
        folders = [self.kind_folder(kind) for kind in self.kinds]
        with ThreadPoolExecutor(max_workers=count_cores()) as pool:
            by_seed = list(pool.map(self._measure, folders))
        return {
            kind.name: _accuracies([measured[seed] for seed in self.seeds])
            for kind, measured in zip(self.kinds, by_seed, strict=True)
        }

    def _train_kind(self, kind: StudentKind) -> None:
        recipe = ["--recipe=mke", f"--variant={kind.variant}", *self._set(*kind.changes)]
        seeds = [f"--seed={seed}" for seed in self.distinct_seeds]
        words = [*recipe, f"--teacher={TEACHER}", *seeds, "--device=cpu"]
        self._run("train-student", self.store, self.kind_folder(kind), *words)

    def _measure(self, folder: Path) -> dict[int, float]:
        """Percent right of the test points, by seed."""
        told = self._evaluate(folder, "test")
        runs = told.get("runs", [told])
        return {run["seed"]: 100 * run["scores"][0]["metrics"]["accuracy"] for run in runs}

    def _evaluate(self, folder: Path, split: str, *words: str) -> dict[str, Any]:
        labels = [f"--split={split}", "--label-column=truth"]
        return self._run("evaluate", folder, self.store, *labels, *words)

    @property
    def _sizes(self) -> list[str]:
        """One shard, and so one look of the teacher at all points."""
        return ["--inputs=none", f"--rows-per-shard={NUM_POINTS}", f"--batch-size={NUM_POINTS}"]

    def _set(self, *changes: str) -> list[str]:
        loss_on = "probabilities" if self.version == "double_softmax" else "logits"
        return [f"--set={change}" for change in (f"method.options.loss_on={loss_on}", *changes)]

    def _run(self, name: str, *words: str | Path) -> dict[str, Any]:
        return run_command(Command(name, [str(word) for word in words], ONE_THREAD))

    def _watch(self, stage: str, runs: Sequence[Path], total: int) -> AbstractContextManager[None]:
        return self.stages.watched(stage, lambda: count_updates(runs), total)


def _accuracies(values: Sequence[float]) -> RunAccuracies:
    """Percent to a tenth of a test point, so that 72.5 is not 72.50000000000001."""
    means = summarise([round(value, 2) for value in values])
    return RunAccuracies(mean=round(means.mean, 4), sd=round(means.sd, 4), runs=means.values)
