"""Measuring a finished student, or teacher, on the rows of a split of a store.

What a stored teacher said of the same rows can be scored beside it, without running the teacher.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch

from avkd.pipeline.evaluate import EvaluationEvent, OnProgress
from avkd.pipeline.evaluation.row_files import (
    label_table,
    predictions_file,
    trial_table,
    write_predictions,
)
from avkd.pipeline.evaluation.row_predictions import RowPredictions, predict_rows
from avkd.pipeline.evaluation.row_request import RowsRequest, SettledRows, settle_rows
from avkd.pipeline.evaluation.row_scores import (
    RowScores,
    ScoreKind,
    measure_agreement,
    score_class,
    score_classes,
    score_trials,
)
from avkd.pipeline.evaluation.row_targets import read_teacher_rows
from avkd.pipeline.evaluation.row_trials import Predict
from avkd.pipeline.report_json import report_to_json
from avkd.pipeline.run_dir import RunDir, write_text
from avkd.stages.metrics.classification import SeedSummary, summarise_seeds
from avkd.storage import layout, objects

if TYPE_CHECKING:
    import pyarrow

STUDENT = "student"
AGREEMENT = "agreement"
"""Of a teacher's row: how often the student says the same class, right or wrong."""


@dataclass(frozen=True, kw_only=True)
class RowsReport:
    """What a student scored on the rows of a split, and stored teachers on the same."""

    run: str
    seed: int
    name: str
    """Of the evaluation: its files are ``evaluation-<name>.json``, ``predictions-<name>...``."""
    store: str
    """As an absolute path, or its URL."""
    split: str
    """Empty: all rows."""
    label_column: str
    kind: ScoreKind
    trials: str
    """The trial list; empty without one."""
    scores: tuple[RowScores, ...]
    """The student's, then those of the teachers that were asked for."""
    notes: tuple[str, ...]
    """What a reader should know of these numbers."""

    @property
    def student(self) -> RowScores:
        """The student's own scores."""
        return self.scores[0]

    def to_json(self) -> str:
        """Indented JSON; numbers that do not exist are null."""
        return report_to_json(asdict(self))


@dataclass(frozen=True, kw_only=True)
class _Measured:
    """What one student or teacher said, and how well."""

    said: RowPredictions
    scores: RowScores
    table: "pyarrow.Table"


def is_store(url: str) -> bool:
    """Whether a store lies there."""
    return objects.exists(objects.join(url, layout.STORE_FILE))


def evaluate_rows(
    run: str,
    store: str,
    *,
    split: str = "test",
    label_column: str | None = None,
    trials: str | None = None,
    p_target: float = 0.01,
    as_norm: bool = False,
    teacher_targets: Sequence[str] = (),
    device: Literal["auto", "cpu"] = "auto",
    on_progress: OnProgress = lambda event: None,
) -> RowsReport:
    """Score a finished run on the labels of a split, or on trials between its recordings.

    The scores are those of the student's kind of labels. ``label_column`` is by default the one
    that the run learned from, or ``label``. ``trials`` is a list in VoxCeleb's format, ``as_norm``
    normalises its scores by the speakers of the split that was learned from. ``teacher_targets``
    are stored teachers to score beside the student. Report and predictions are also written into
    the run's folder.

    Raises:
        StoreNotFoundError: There is no finished run, or no store.
        InvalidValueError: The run's student speaks of steps, or the store lacks what it looks at.
        CorpusError: The split has no such rows, a label is none of the student's classes, a trial
            names an unknown recording, or the split shares a file with another.
        UnknownNameError: The store has no such teacher.
    """
    asked = settle_rows(
        RowsRequest(
            run=run,
            store=store,
            split=split,
            label_column=label_column,
            trials=trials,
            p_target=p_target,
            as_norm=as_norm,
        )
    )
    chosen = torch.device("cuda" if device == "auto" and torch.cuda.is_available() else "cpu")

    def tell(num_done: int, num_total: int) -> None:
        on_progress(EvaluationEvent(num_done=num_done, num_total=num_total, what="rows"))

    sources: dict[str, Predict] = {
        STUDENT: partial(predict_rows, asked.loaded, asked.store, device=chosen, on_rows=tell),
        **{name: partial(read_teacher_rows, asked.store, name) for name in teacher_targets},
    }
    measured = [_measure(asked, name, predict) for name, predict in sources.items()]
    scores = _with_agreement(measured)
    report = RowsReport(
        run=run,
        seed=asked.loaded.recipe.seed,
        name=asked.name,
        store=_absolute(asked.store.url),
        split=split,
        label_column=asked.label_column,
        kind=asked.kind,
        trials=trials or "",
        scores=scores,
        notes=_find_notes(asked, run, scores),
    )
    for each in measured:
        teacher = "" if each.scores.name == STUDENT else each.scores.name
        write_predictions(predictions_file(Path(run), asked.name, teacher), each.table)
    write_text(RunDir(path=Path(run)).evaluation_file(asked.name), report.to_json())
    return report


def summarise_reports(reports: Sequence[RowsReport]) -> dict[str, SeedSummary]:
    """Mean and sd over runs of each of the student's metrics."""
    return {
        name: summarise_seeds([report.student.metrics[name] for report in reports])
        for name in reports[0].student.metrics
    }


def _measure(asked: SettledRows, name: str, predict: Predict) -> _Measured:
    """Scores and predictions of the student, or of a stored teacher."""
    said = predict(asked.wanted)
    if (bench := asked.trials) is not None:
        values, speakers = bench.score(said, predict), bench.speakers
        scores = score_trials(
            name,
            bench.trials,
            values,
            said,
            cost=asked.cost,
            speakers=speakers,
            scoring=bench.scoring,
        )
        table = trial_table(bench.trials, values, speakers)
        return _Measured(said=said, scores=scores, table=table)
    has_one_class = asked.kind == "class"
    scores = (score_class if has_one_class else score_classes)(name, said)
    table = label_table(said, has_one_class=has_one_class)
    return _Measured(said=said, scores=scores, table=table)


def _with_agreement(measured: Sequence[_Measured]) -> tuple[RowScores, ...]:
    """The scores; a teacher's also say how often the student says the same class."""
    student, *teachers = measured
    if "accuracy" not in student.scores.metrics:
        return tuple(each.scores for each in measured)
    agreements = [measure_agreement(student.said, each.said) for each in teachers]
    beside = [
        replace(each.scores, metrics={**each.scores.metrics, AGREEMENT: agreement})
        for each, agreement in zip(teachers, agreements, strict=True)
    ]
    return student.scores, *beside


def _find_notes(asked: SettledRows, run: str, scores: Sequence[RowScores]) -> tuple[str, ...]:
    notes = []
    learned, origin = asked.loaded.recipe.data.split, RunDir(path=Path(run)).read_origin()
    is_same = _absolute(str(origin.get("store"))) == _absolute(asked.store.url)
    if is_same and (not learned or asked.split in ("", learned)):
        notes.append(f"the student learned from {f'split {learned!r}' if learned else 'all rows'}")
    for each in scores:
        if each.num_left_out:
            notes.append(
                f"{each.name}: {each.num_left_out} of {each.num_rows + each.num_left_out} rows "
                "lack what it needs and are left out"
            )
        if unpredicted := each.details.get("unpredicted_classes"):
            notes.append(f"{each.name} never predicts {', '.join(unpredicted)}")
        if absent := each.details.get("absent_classes"):
            notes.append(f"no row is labelled {', '.join(absent)}")
    return tuple(dict.fromkeys(notes))


def _absolute(url: str) -> str:
    local = objects.local_path(url)
    return url if local is None else str(local.resolve())
