"""Measuring where a finished student says that things are, on the rows of a split of a store.

Held to a table of truth, or to what a stored teacher found. Stored teachers can be measured beside
the student without being run.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import torch

from avkd.errors import CorpusError
from avkd.pipeline.evaluate import EvaluationEvent, OnProgress
from avkd.pipeline.evaluation.box_files import boxes_file, write_boxes
from avkd.pipeline.evaluation.box_predictions import (
    find_teacher_classes,
    predict_boxes,
    read_teacher_boxes,
)
from avkd.pipeline.evaluation.box_report import BoxesReport, BoxScores
from avkd.pipeline.evaluation.box_request import BoxesRequest, SettledBoxes, settle_boxes
from avkd.pipeline.evaluation.box_said import SaidBoxes, require_policy
from avkd.pipeline.evaluation.box_scores import JudgedBoxes, judge_boxes, measure_groups
from avkd.pipeline.evaluation.row_predictions import find_wanted
from avkd.pipeline.run_dir import RunDir, write_text
from avkd.stages.metrics.boxes import CLOCK_TOLERANCE_SECONDS
from avkd.stages.metrics.hidden_boxes import IGNORE_IOU
from avkd.storage import objects

Say: TypeAlias = Callable[[], SaidBoxes]
STUDENT = "student"


def evaluate_boxes(
    request: BoxesRequest,
    *,
    teacher_targets: Sequence[str] = (),
    device: Literal["auto", "cpu"] = "auto",
    on_progress: OnProgress = lambda event: None,
) -> BoxesReport:
    """Score the boxes and tracks of a finished run's student.

    ``teacher_targets`` are stored teachers to score beside the student. Report and boxes are also
    written into the run's folder.

    Raises:
        StoreNotFoundError: There is no finished run, or no store.
        InvalidValueError: The student says no boxes, the store lacks what it hears, or tracks
            cannot be measured but must be.
        UnknownNameError: The store has no such teacher, or the corpus no such column.
        CorpusError: The split has no rows, the truth is no table of its boxes, or the split shares
            a file with another.
    """
    asked = settle_boxes(request)
    chosen = torch.device("cuda" if device == "auto" and torch.cuda.is_available() else "cpu")

    def tell(num_done: int, num_total: int) -> None:
        on_progress(EvaluationEvent(num_done=num_done, num_total=num_total, what="rows"))

    store, names = asked.store, asked.loaded.student.class_names
    for teacher in teacher_targets:  # what cannot be scored is told before anything is predicted
        find_teacher_classes(store, teacher, names)
        find_wanted(store, (teacher,), asked.wanted)
    sources: dict[str, Say] = {
        STUDENT: partial(
            predict_boxes, asked.loaded, store, asked.wanted, device=chosen, on_rows=tell
        ),
        **{t: partial(read_teacher_boxes, store, t, asked.wanted, names) for t in teacher_targets},
    }
    scores, notes = [], [*asked.notes, *_find_notes(asked, request)]
    for name, say in sources.items():
        said = say()
        notes += _find_truth_notes(asked, said)
        judged = judge_boxes(said, asked.reference, asked.rule, asked.tracker, asked.groups)
        scores.append(_score(name, said, judged, asked, request.by))
        teacher = "" if name == STUDENT else name
        write_boxes(boxes_file(Path(request.run), asked.name, teacher), said, judged.track_ids)
    notes += _find_gaps(scores)
    report = _build_report(asked, request, scores, notes)
    write_text(RunDir(path=Path(request.run)).evaluation_file(asked.name), report.to_json())
    return report


def _score(
    name: str,
    said: SaidBoxes,
    judged: JudgedBoxes,
    asked: SettledBoxes,
    columns: Sequence[str],
) -> BoxScores:
    groups = measure_groups(judged, asked.measuring, columns)
    return BoxScores(
        name=name,
        num_rows=len(said),
        num_left_out=said.num_left_out,
        num_unjudged_frames=judged.num_unjudged_frames,
        metrics=groups[0].metrics,
        groups=groups,
        details={},
    )


def _build_report(
    asked: SettledBoxes, request: BoxesRequest, scores: Sequence[BoxScores], notes: Sequence[str]
) -> BoxesReport:
    is_truth = asked.table is not None
    against = str(request.truth if is_truth else request.against)
    return BoxesReport(
        run=request.run,
        seed=asked.loaded.recipe.seed,
        name=asked.name,
        store=_absolute(asked.store.url),
        split=request.split,
        kind="boxes",
        label_column=f"true boxes of {Path(against).name}" if is_truth else f"teacher {against}",
        trials="",
        reference=asked.reference.kind,
        against=against,
        min_visible=request.min_visible if asked.table and asked.table.has_visibility else None,
        min_score=request.min_score,
        classes=asked.rule.names,
        scores=tuple(scores),
        notes=tuple(dict.fromkeys(notes)),
    )


def _find_notes(asked: SettledBoxes, request: BoxesRequest) -> Iterator[str]:
    """What is known before anything is predicted."""
    if request.against:
        yield (
            f"these numbers are agreement with teacher {request.against}, right or wrong, and not "
            "accuracy; its tracks are the tracker's"
        )
    if asked.table is not None and asked.table.has_visibility:
        yield (
            f"vehicles that are seen to less than {request.min_visible:g} are neither hits nor "
            f"misses, nor are boxes that match only them at IoU {IGNORE_IOU:g}"
        )
    if asked.rule.is_merged:
        yield "classes are not told apart: the truth does not name things as the student does"
    learned, run = asked.loaded.recipe.data.split, RunDir(path=Path(request.run))
    is_same = _absolute(str(run.read_origin().get("store"))) == _absolute(asked.store.url)
    if is_same and (not learned or request.split in ("", learned)):
        yield f"the student learned from {f'split {learned!r}' if learned else 'all rows'}"


def _find_truth_notes(asked: SettledBoxes, said: SaidBoxes) -> Iterator[str]:
    """How well a table of truth fits what was said.

    Raises:
        CorpusError: It has none of the recordings.
    """
    table, step_seconds = asked.table, require_policy(asked.store).step_seconds
    if table is None:
        return
    recordings = said.by_recording()
    absent = [name for name in recordings if name not in table.recordings]
    if len(absent) == len(recordings):
        raise CorpusError(
            f"{table.source} has none of the {len(recordings)} recordings that are measured, such "
            f"as {absent[0]!r}; give the truth of this corpus"
        )
    if unknown := sorted(table.recordings.keys() - asked.store.recording_ids()):
        yield (
            f"{len(unknown)} of {len(table.recordings)} recordings of {Path(table.source).name} "
            f"are not in the store, the first {unknown[0]!r}"
        )
    if absent and not table.lists_pictures:
        yield (
            f"{len(absent)} of {len(recordings)} recordings are not in {Path(table.source).name}: "
            "they count as without vehicles"
        )
    offsets = [np.empty(0)]
    for name, frames in recordings.items():
        instants = [frame.time_seconds for frame in frames]
        rows = table.at(name, instants, step_seconds)
        offsets += [each.times_seconds - t for each, t in zip(rows, instants, strict=True) if each]
    largest = float(np.abs(np.concatenate(offsets)).max(initial=0.0))
    if largest > CLOCK_TOLERANCE_SECONDS:
        yield f"pictures of the truth are up to {largest:.3f} s from the middles of steps"


def _find_gaps(scores: Sequence[BoxScores]) -> Iterator[str]:
    for each in scores:
        if each.num_left_out:
            yield (
                f"{each.name}: {each.num_left_out} of {each.num_rows + each.num_left_out} rows "
                "lack what it needs and are left out"
            )
        if each.num_unjudged_frames:
            yield (
                f"{each.name}: {each.num_unjudged_frames} steps are left out, of which the "
                "reference says nothing"
            )


def _absolute(url: str) -> str:
    local = objects.local_path(url)
    return url if local is None else str(local.resolve())
