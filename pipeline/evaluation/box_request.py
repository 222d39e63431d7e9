"""What an evaluation of boxes is asked for, settled before anything is predicted."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.pipeline.evaluation.box_predictions import read_teacher_boxes
from avkd.pipeline.evaluation.box_reference import (
    BoxReference,
    ClassRule,
    TruthReference,
    build_teacher_reference,
    settle_classes,
)
from avkd.pipeline.evaluation.box_said import require_policy
from avkd.pipeline.evaluation.box_scores import Measuring
from avkd.pipeline.evaluation.box_tracks import tracker_settings
from avkd.pipeline.evaluation.box_truth import TruthTable, read_truth
from avkd.pipeline.evaluation.row_files import file_name
from avkd.pipeline.evaluation.row_predictions import WantedRows
from avkd.pipeline.training.overlap import refuse_overlap
from avkd.pipeline.training.students import LoadedBoxStudent, load_box_student
from avkd.stages.metrics.boxes import MIN_SCORE
from avkd.stages.tracking.tracker import TrackerSettings
from avkd.storage.store import Store

MIN_VISIBLE = 0.25
"""The share of a vehicle that must be seen for it to count."""
TRACK_METRICS = "trackeval"

Groups = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, kw_only=True)
class BoxesRequest:
    """As ``evaluate_boxes`` is asked."""

    run: str
    store: str
    split: str = "test"
    """Empty: all rows."""
    truth: str | None = None
    """A table of true boxes."""
    against: str | None = None
    """A stored teacher, in its place."""
    by: tuple[str, ...] = ()
    """Columns of the corpus whose values make groups."""
    min_visible: float = MIN_VISIBLE
    min_score: float = MIN_SCORE
    """From which boxes count where boxes are counted, and continue tracks."""
    needs_tracks: bool = False
    """Whether to fail where tracks cannot be measured."""

    def __post_init__(self) -> None:
        if (self.truth is None) == (self.against is None):
            raise InvalidValueError(
                "boxes are held to the truth or to a stored teacher; give one of --truth TABLE and "
                "--against TEACHER"
            )
        if not 0 <= self.min_visible <= 1:
            raise InvalidValueError(f"min_visible {self.min_visible:g} must be from 0 to 1")


@dataclass(frozen=True, kw_only=True)
class SettledBoxes:
    """A finished student, the rows to measure it on, and by what."""

    loaded: LoadedBoxStudent
    store: Store
    name: str
    """Of the evaluation's files."""
    wanted: WantedRows
    table: TruthTable | None
    reference: BoxReference
    rule: ClassRule
    tracker: TrackerSettings
    measuring: Measuring
    groups: Groups
    notes: tuple[str, ...]


def settle_boxes(request: BoxesRequest) -> SettledBoxes:
    """Check run, store, split and reference against each other.

    Raises:
        StoreNotFoundError: There is no finished run, or no store.
        InvalidValueError: The student says no boxes, or tracks cannot be measured but must be.
        UnknownNameError: There is no such teacher or column.
        CorpusError: The truth is no table of boxes, or the split shares a file with another.
    """
    loaded, store = load_box_student(request.run), Store.open(request.store)
    policy = require_policy(store)
    refuse_overlap(store, request.split or None, loaded.recipe.data.group_column)
    table = None if request.truth is None else read_truth(request.truth)
    wanted = WantedRows(split=request.split)
    class_names = loaded.student.class_names
    rule = settle_classes(class_names, table)
    tracker = tracker_settings(request.min_score)
    reference: BoxReference
    if table is not None:
        table.require_dense(policy.step_seconds)
        reference = TruthReference(
            table=table,
            rule=rule,
            step_seconds=policy.step_seconds,
            min_visible=request.min_visible,
        )
    else:
        reference = build_teacher_reference(
            read_teacher_boxes(
                store, request.against or "", wanted, class_names, min_score=request.min_score
            ),
            tracker,
        )
    no_tracks = _explain_no_tracks(reference, request)
    return SettledBoxes(
        loaded=loaded,
        store=store,
        name=_name(request),
        wanted=wanted,
        table=table,
        reference=reference,
        rule=rule,
        tracker=tracker,
        measuring=Measuring(
            kind=reference.kind,
            teacher=request.against or "",
            min_score=request.min_score,
            has_tracks=not no_tracks,
        ),
        groups=read_groups(store, request.by),
        notes=(no_tracks,) if no_tracks else (),
    )


def read_groups(store: Store, columns: tuple[str, ...]) -> Groups:
    """The values of some columns of the corpus, by recording.

    Raises:
        UnknownNameError: No recording has such a column.
    """
    found: dict[str, dict[str, str]] = {}
    known: set[str] = set()
    for shard in store.shards() if columns else ():
        table = store.read_clip_columns(shard, "recording_id", "metadata")
        for name, text in zip(table["recording_id"], table["metadata"], strict=True):
            metadata = json.loads(text)
            known |= metadata.keys()
            values = {c: str(metadata[c]) for c in columns if metadata.get(c) not in (None, "")}
            found.setdefault(name, values)
    for column in columns:
        if column not in known:
            raise UnknownNameError("column of the corpus", column, known)
    return found


def _name(request: BoxesRequest) -> str:
    parts = ["boxes", request.split or "all"]
    if request.against:
        parts.append(f"against_{request.against}")
    elif request.min_visible != MIN_VISIBLE:
        parts.append(f"visible_{request.min_visible:g}")
    if request.min_score != MIN_SCORE:
        parts.append(f"score_{request.min_score:g}")
    return file_name(*parts)


def _explain_no_tracks(reference: BoxReference, request: BoxesRequest) -> str:
    """Why tracks are left out; empty where they are not."""
    why = ""
    if not reference.has_tracks:
        why = f"{request.truth} has no column track_id"
    elif find_spec(TRACK_METRICS) is None:
        why = "TrackEval is not installed (pip install 'avkd[tracking]')"
    if why and request.needs_tracks:
        raise InvalidValueError(f"tracks cannot be measured: {why}; leave --tracking out")
    return f"tracks are not measured: {why}" if why else ""
