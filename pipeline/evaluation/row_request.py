"""What an evaluation of stored rows is asked for, settled before anything is predicted."""

from dataclasses import dataclass
from pathlib import Path

from avkd.errors import InvalidValueError
from avkd.pipeline.evaluation.row_files import file_name
from avkd.pipeline.evaluation.row_predictions import WantedRows
from avkd.pipeline.evaluation.row_scores import ScoreKind
from avkd.pipeline.evaluation.row_trials import TrialBench, read_trials, require_cohort_split
from avkd.pipeline.training.overlap import refuse_overlap
from avkd.pipeline.training.students import LoadedStudent, load_clip_student
from avkd.pipeline.training.targets import LOGITS
from avkd.stages.metrics.verification import DetectionCost
from avkd.storage.store import Store

DEFAULT_LABELS = "label"


@dataclass(frozen=True, kw_only=True)
class RowsRequest:
    """As ``evaluate_rows`` is asked."""

    run: str
    store: str
    split: str
    label_column: str | None
    trials: str | None
    p_target: float
    as_norm: bool


@dataclass(frozen=True, kw_only=True)
class SettledRows:
    """A finished student, the rows to measure it on, and by what."""

    loaded: LoadedStudent
    store: Store
    split: str
    label_column: str
    name: str
    """Of the evaluation's files."""
    kind: ScoreKind
    trials: TrialBench | None
    cost: DetectionCost

    @property
    def wanted(self) -> WantedRows:
        """The rows: those with a label, or those of the trials' recordings."""
        if self.trials is not None:
            return self.trials.wanted
        return WantedRows(split=self.split, label_column=self.label_column)


def settle_rows(request: RowsRequest) -> SettledRows:
    """Check run, store, split and trials against each other.

    Raises:
        StoreNotFoundError: There is no finished run, or no store.
        InvalidValueError: The student speaks of steps, or options do not go together.
        CorpusError: A trial names an unknown recording, or the split shares a file with another.
    """
    loaded, store = load_clip_student(request.run), Store.open(request.store)
    data, split = loaded.recipe.data, request.split
    refuse_overlap(store, split or None, data.group_column)
    usual = data.label_column or DEFAULT_LABELS
    column = request.label_column or usual
    bench = _open_trials(request, store, column, data.split)
    parts = ["rows", split or "all"]
    parts += [column] if column != usual else []
    parts += [Path(bench.trials.source).stem] if bench else []
    parts += ["as_norm"] if request.as_norm else []
    return SettledRows(
        loaded=loaded,
        store=store,
        split=split,
        label_column=column,
        name=file_name(*parts),
        kind="verification" if bench else _settle_kind(loaded, store),
        trials=bench,
        cost=DetectionCost(p_target=request.p_target),
    )


def _open_trials(
    request: RowsRequest, store: Store, column: str, learned_split: str | None
) -> TrialBench | None:
    if request.trials is None:
        if request.as_norm:
            raise InvalidValueError("as_norm normalises scores of trials; name a list of them")
        return None
    split = request.split
    cohort = require_cohort_split(split, learned_split) if request.as_norm else None
    bench = TrialBench(store, read_trials(request.trials), split, column, cohort)
    bench.require_known()
    return bench


def _settle_kind(loaded: LoadedStudent, store: Store) -> ScoreKind:
    """By the labels that were learned from, else by the logits of the teacher."""
    if loaded.label_kind != "none":
        return loaded.label_kind
    specs = store.producers()
    taught = [specs[name] for name in loaded.taught_by if name in specs]
    logits = [output for spec in taught for output in spec.outputs if output.name == LOGITS]
    excludes = all(output.attributes.get("activation") != "sigmoid" for output in logits)
    return "class" if excludes else "classes"
