"""Mutual learning in rounds: teacher and student exchange stored targets, never a process.

Mutual learning needs each network's gradient while the other learns, which stored targets cannot
give; this is its offline form, a design of ours (Yin et al., AAAI 2021, have no such form). In each
round an audio-visual teacher learns from the labels and from what the student of the round before
said (nothing in the first), then a student learns from the labels and from what that teacher said.
Networks begin anew in every round, with the recipe's seed, so that rounds differ in their targets
alone. Every stage is a command in a process of its own; what is finished is not done again.

    RUN/corpus.jsonl            the store's recordings, which extraction asks for
    RUN/round-0/teacher         a run, and beside it the branches that the student learns from
    RUN/round-0/teacher-audio   the same weights, of which the audio branch is used
    RUN/round-0/student         a run
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from avkd.errors import InvalidValueError
from avkd.pipeline.commands import Command, run_command
from avkd.pipeline.recipe import Option, Recipe, differing_fields
from avkd.pipeline.recipe_options import recipe_options
from avkd.pipeline.run_dir import RunDir
from avkd.pipeline.store_corpus import write_store_corpus
from avkd.pipeline.training.deployment import deploy_part
from avkd.pipeline.training.session import Device
from avkd.stages.methods.mutual import MutualMethod
from avkd.stages.methods.mutual_transfers import Transfer
from avkd.stages.methods.registry import build_method
from avkd.storage.layout import check_name
from avkd.storage.store import Store

Start: TypeAlias = Callable[[Command], Mapping[str, Any]]
CORPUS_FILE = "corpus.jsonl"


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One command of the whole, and how to tell that it was done."""

    round: int
    what: str
    """Such as ``teacher`` or ``targets of the student``."""
    command: Command
    run: str = ""
    """The folder that it trains; empty where it stores targets."""
    recipe: Recipe | None = None
    """Of that run."""
    parts: tuple[str, ...] = ()
    """Branches of the run that get a folder of their own."""

    @property
    def is_finished(self) -> bool:
        """Whether the run is there already; targets are for their command to tell."""
        folder = RunDir(path=Path(self.run))
        if self.recipe is None or not folder.is_finished:
            return False
        return not differing_fields(folder.read_recipe(), self.recipe)


@dataclass(frozen=True, kw_only=True)
class RoundEvent:
    """Which stage begins."""

    round: int
    num_rounds: int
    what: str
    num_done: int
    num_stages: int


@dataclass(frozen=True, kw_only=True)
class Round:
    """What a round left behind."""

    teacher: str
    """Its run."""
    student: str
    teacher_targets: tuple[str, ...]
    """Names in the store: what the teacher said, and its branches."""
    student_targets: str


@dataclass(frozen=True, kw_only=True)
class RoundsReport:
    """What training in rounds did."""

    run: str
    rounds: tuple[Round, ...]
    student: str
    """The run of the last student: the one to use."""
    num_trained: int
    """Networks that were trained by this call; the others were finished before."""
    seconds: float


def train_rounds(
    store: str,
    run: str,
    recipe: Recipe,
    num_rounds: int,
    *,
    name: str = "",
    device: Device = "auto",
    on_progress: Callable[[RoundEvent], None] = lambda event: None,
    start: Start = run_command,
) -> RoundsReport:
    """Train teachers and students in turn; more rounds later go on from there.

    ``recipe`` is of the method ``mutual`` in its joint form: switches, weights and networks are
    those of every round. ``name`` begins the names of the stored targets, ``NAME-teacher-R``,
    ``NAME-teacher-R-audio`` and ``NAME-student-R``; it is the folder's unless given. ``start`` runs
    a command to its end.

    Raises:
        InvalidValueError: The recipe or the number of rounds cannot be trained like this.
        CommandFailedError: A command failed.
    """
    began = time.monotonic()
    plan = RoundsPlan(
        store=store,
        run=Path(run),
        recipe=recipe,
        name=check_name("rounds", name or Path(run).absolute().name),
        device=device,
    )
    stages = plan.stages(num_rounds)
    write_store_corpus(Store.open(store), plan.corpus)
    num_trained = 0
    for number, stage in enumerate(stages):
        on_progress(
            RoundEvent(
                round=stage.round,
                num_rounds=num_rounds,
                what=stage.what,
                num_done=number,
                num_stages=len(stages),
            )
        )
        if not stage.is_finished:
            start(stage.command)
            num_trained += stage.recipe is not None
        for part in stage.parts:
            deploy_part(stage.run, f"{stage.run}-{part}", part)
    rounds = tuple(plan.round(number) for number in range(num_rounds))
    return RoundsReport(
        run=run,
        rounds=rounds,
        student=rounds[-1].student,
        num_trained=num_trained,
        seconds=time.monotonic() - began,
    )


@dataclass(frozen=True, kw_only=True)
class RoundsPlan:
    """What is trained where and stored as what; nothing is done by it."""

    store: str
    run: Path
    recipe: Recipe
    name: str
    device: Device

    @property
    def corpus(self) -> Path:
        """The store's recordings."""
        return self.run / CORPUS_FILE

    def round(self, number: int) -> Round:
        """Folders and names of a round."""
        teacher = f"{self.name}-teacher-{number}"
        return Round(
            teacher=self._folder(number, "teacher"),
            student=self._folder(number, "student"),
            teacher_targets=(teacher, *(f"{teacher}-{part}" for part in self._parts())),
            student_targets=f"{self.name}-student-{number}",
        )

    def stages(self, num_rounds: int) -> tuple[Stage, ...]:
        """All there is to do, in order.

        Raises:
            InvalidValueError: The recipe or the number of rounds cannot be trained like this.
        """
        if num_rounds < 1:
            raise InvalidValueError(f"rounds {num_rounds} must be 1 or more")
        if self.recipe.data.label_column is None:
            raise InvalidValueError("rounds need labels; give --label-column")
        return tuple(stage for r in range(num_rounds) for stage in self._stages_of(r))

    def teacher_recipe(self, number: int) -> Recipe:
        """The audio-visual teacher of a round, which learns from the student before it."""
        before = self.round(number - 1).student_targets if number else ""
        return self._one_way(learner="teacher", teacher=before, audio_teacher=before)

    def student_recipe(self, number: int) -> Recipe:
        """The student of a round, which learns from its teacher."""
        teacher = self.round(number).teacher_targets[0]
        pair = "-visual" if self._method().cross_pair == "visual" else ""
        return self._one_way(
            learner="student", teacher=f"{teacher}{pair}", audio_teacher=f"{teacher}-audio"
        )

    def _stages_of(self, number: int) -> tuple[Stage, ...]:
        here = self.round(number)
        teacher, student = self.teacher_recipe(number), self.student_recipe(number)
        folders = (here.teacher, *(f"{here.teacher}-{part}" for part in self._parts()))
        return (
            Stage(
                round=number,
                what="teacher",
                command=self._train("train-teacher", here.teacher, teacher),
                run=here.teacher,
                recipe=teacher,
                parts=self._parts(),
            ),
            Stage(
                round=number,
                what="targets of the teacher",
                command=self._extract(dict(zip(here.teacher_targets, folders, strict=True))),
            ),
            Stage(
                round=number,
                what="student",
                command=self._train("train-student", here.student, student),
                run=here.student,
                recipe=student,
            ),
            Stage(
                round=number,
                what="targets of the student",
                command=self._extract({here.student_targets: here.student}),
            ),
        )

    def _parts(self) -> tuple[str, ...]:
        """Branches whose targets the student learns from."""
        method = self._method()
        parts = {"audio": Transfer("single", "to_student")}
        if method.cross_pair == "visual":
            parts["visual"] = Transfer("cross", "to_student")
        return tuple(part for part, transfer in parts.items() if transfer in method.transfers)

    def _method(self) -> MutualMethod:
        name, options = self.recipe.method.name, self.recipe.method.options
        method = build_method(name, **options)
        if not isinstance(method, MutualMethod) or method.form != "joint":
            raise InvalidValueError(
                f"recipe {self.recipe.name!r} ({self.recipe.variant}) is not of the method mutual "
                "in its joint form, which rounds replace; take --recipe mutual"
            )
        return method

    def _one_way(self, **options: Option) -> Recipe:
        method = self.recipe.method
        options = {**method.options, "form": "one_way", **options}
        return replace(self.recipe, method=replace(method, options=options))

    def _train(self, command: str, run: str, recipe: Recipe) -> Command:
        device = f"--device={self.device}"
        return Command(command, (self.store, run, *recipe_options(recipe), device))

    def _extract(self, runs: Mapping[str, str]) -> Command:
        teachers = (f"--teacher={name}={run}" for name, run in runs.items())
        return Command("extract-teacher", (str(self.corpus), self.store, *teachers))

    def _folder(self, number: int, what: str) -> str:
        return str(self.run / f"round-{number}" / what)
