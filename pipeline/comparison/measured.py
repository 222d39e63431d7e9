"""A run with what its evaluations say: reports on stored rows, and on probes of labelled sounds."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import nan
from pathlib import Path
from typing import Any, TypeAlias

from avkd.errors import CorruptStoreError, InvalidValueError
from avkd.pipeline.evaluation.measures import DISTILLED
from avkd.pipeline.evaluation.row_files import predictions_file
from avkd.pipeline.recipe import Recipe
from avkd.pipeline.run_dir import RunDir

Metrics: TypeAlias = Mapping[str, float]
PROBE = "probe"


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How numbers were taken; those of two protocols are not comparable."""

    kind: str
    """``class``, ``classes`` or ``verification`` of stored rows, or ``probe``."""
    data: str
    """The split of the rows (empty: all), or the dataset of the probe."""
    label_column: str = ""
    trials: str = ""
    """The trial list's file name."""
    scoring: str = ""
    """Of trials: plain cosines, or normalised."""
    p_target: float = 0.0
    """Of trials: the prior of minDCF."""

    def __str__(self) -> str:
        """As messages name it."""
        if self.kind == PROBE:
            return f"probe of {self.data}"
        of_split = f"split {self.data}" if self.data else "all rows"
        if self.trials:
            return f"{of_split}, trials {self.trials}, {self.scoring}, P_target {self.p_target:g}"
        return f"{of_split}, labels {self.label_column} ({self.kind})"


@dataclass(frozen=True, kw_only=True)
class Scored:
    """The numbers of a student or of a stored teacher."""

    metrics: Metrics
    predictions: Path | None
    """One line a clip or a trial; None where none are kept."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """One report of a run."""

    name: str
    """Of its file."""
    protocol: Protocol
    store: str
    """Empty for a probe."""
    student: Scored
    teachers: Mapping[str, Scored] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class MeasuredRun:
    """A run with its evaluations."""

    path: str
    recipe: Recipe
    origin: Mapping[str, Any]
    evaluations: tuple[Evaluation, ...]

    @property
    def seed(self) -> int:
        """Of the recipe."""
        return self.recipe.seed


def read_measured(run: str) -> MeasuredRun:
    """Read a run with all of its reports.

    Raises:
        StoreNotFoundError: There is no run.
        InvalidValueError: It has no evaluation.
        CorruptStoreError: A report is damaged.
    """
    folder = RunDir(path=Path(run))
    recipe = folder.read_recipe()
    files = sorted(folder.path.glob(folder.evaluation_file("*").name))
    reports = [_read_report(file) for file in files]
    if not reports:
        raise InvalidValueError(
            f"{run} has no evaluation to compare; make one with avkd evaluate {run} STORE"
        )
    return MeasuredRun(
        path=run,
        recipe=recipe,
        origin=folder.read_origin(),
        evaluations=tuple(
            _read_rows(folder.path, each) if "kind" in each else _read_probe(each)
            for each in reports
        ),
    )


def _read_report(file: Path) -> dict[str, Any]:
    try:
        report: dict[str, Any] = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise CorruptStoreError(
            f"{file} cannot be read: {error}; evaluate the run again"
        ) from error
    return report


def _read_rows(run: Path, report: Mapping[str, Any]) -> Evaluation:
    student, *teachers = report["scores"]

    def scored(score: Mapping[str, Any], *teacher: str) -> Scored:
        # Of boxes and pixels there is no line a clip: they are compared over seeds alone.
        has_lines = report["kind"] not in ("boxes", "class_maps")
        kept = predictions_file(run, report["name"], *teacher) if has_lines else None
        return Scored(metrics=_read_metrics(score), predictions=kept)

    return Evaluation(
        name=report["name"],
        protocol=_read_protocol(report, student["details"]),
        store=report["store"],
        student=scored(student),
        teachers={each["name"]: scored(each, each["name"]) for each in teachers},
    )


def _read_protocol(report: Mapping[str, Any], details: Mapping[str, Any]) -> Protocol:
    if not report["trials"]:
        return Protocol(
            kind=report["kind"], data=report["split"], label_column=report["label_column"]
        )
    # The label column names speakers for the intervals only.
    return Protocol(
        kind=report["kind"],
        data=report["split"],
        trials=Path(report["trials"]).name,
        scoring=details["scoring"],
        p_target=details["p_target"],
    )


def _read_metrics(scores: Mapping[str, Any]) -> Metrics:
    return {name: nan if value is None else value for name, value in scores["metrics"].items()}


def _read_probe(report: Mapping[str, Any]) -> Evaluation:
    return Evaluation(
        name=report["dataset"],
        protocol=Protocol(kind=PROBE, data=report["dataset"]),
        store="",
        student=Scored(metrics=dict(_probe_metrics(report)), predictions=None),
    )


def _probe_metrics(report: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """The accuracies of the distilled features: with all labels first, then with fewer."""
    scores = [each for each in report["scores"] if each["features"] == DISTILLED]
    several = len({each["layer"] for each in scores}) > 1
    for each in sorted(scores, key=lambda one: one["labels_per_class"]):
        parts = ["accuracy", each["layer"] if several else ""]
        parts.append(f"{each['labels_per_class']}_labels" if each["labels_per_class"] else "")
        yield "_".join(part for part in parts if part), each["mean"]
