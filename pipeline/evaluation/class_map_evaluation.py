"""Measuring what a finished student says that pixels are, on the rows of a split of a store.

Held to stored class maps, mostly the truth. Stored teachers can be measured beside the student
without being run.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import torch

from avkd.pipeline.evaluate import EvaluationEvent, OnProgress
from avkd.pipeline.evaluation.box_request import read_groups
from avkd.pipeline.evaluation.class_map_rows import (
    TrueMaps,
    judge_student,
    judge_teacher,
    open_true_maps,
)
from avkd.pipeline.evaluation.class_map_scores import ClassMapsReport, MapScores, score_maps
from avkd.pipeline.evaluation.row_files import file_name
from avkd.pipeline.evaluation.row_predictions import WantedRows
from avkd.pipeline.run_dir import RunDir, write_text
from avkd.pipeline.training.overlap import refuse_overlap
from avkd.pipeline.training.students import LoadedDenseStudent, load_dense_student
from avkd.stages.types import IS_TRUTH
from avkd.storage import objects
from avkd.storage.store import Store

STUDENT = "student"


def evaluate_class_maps(
    run: str,
    store: str,
    *,
    class_maps: str,
    split: str = "test",
    by: Sequence[str] = (),
    teacher_targets: Sequence[str] = (),
    device: Literal["auto", "cpu"] = "auto",
    on_progress: OnProgress = lambda event: None,
) -> ClassMapsReport:
    """Score the class maps of a finished run's student against those that a producer stored.

    ``by`` are columns of the corpus whose values make groups, ``teacher_targets`` stored teachers
    to score beside the student. The report is also written into the run's folder.

    Raises:
        StoreNotFoundError: There is no finished run, or no store.
        InvalidValueError: The student says no class maps, the store lacks what it looks at, or
            classes are other ones.
        UnknownNameError: The store has no such class maps, or the corpus no such column.
        CorpusError: The split has no such rows, or shares a file with another.
    """
    loaded, opened = load_dense_student(run), Store.open(store)
    refuse_overlap(opened, split or None, loaded.recipe.data.group_column)
    truth, wanted = open_true_maps(opened, class_maps), WantedRows(split=split)
    for teacher in teacher_targets:  # what cannot be scored is told before anything is predicted
        said_by = open_true_maps(opened, teacher)
        truth.places_of(f"teacher {teacher!r}", said_by.class_names)
    groups = read_groups(opened, tuple(by))
    chosen = torch.device("cuda" if device == "auto" and torch.cuda.is_available() else "cpu")

    def tell(num_done: int, num_total: int) -> None:
        on_progress(EvaluationEvent(num_done=num_done, num_total=num_total, what="rows"))

    judged = {STUDENT: judge_student(loaded, truth, wanted, device=chosen, on_rows=tell)}
    judged |= {name: judge_teacher(name, truth, wanted, on_rows=tell) for name in teacher_targets}
    scores = tuple(
        score_maps(name, said, truth.class_names, groups, by) for name, said in judged.items()
    )
    parts = ["class_maps", split or "all", "" if class_maps == "truth" else f"against_{class_maps}"]
    report = ClassMapsReport(
        run=run,
        seed=loaded.recipe.seed,
        name=file_name(*(part for part in parts if part)),
        store=_absolute(opened.url),
        split=split,
        kind="class_maps",
        label_column=f"class maps {class_maps}",
        trials="",
        against=class_maps,
        is_truth=_is_truth(truth),
        taught_by=loaded.student.teacher,
        class_names=truth.class_names,
        scores=scores,
        notes=tuple(_find_notes(run, loaded, truth, split, scores)),
    )
    write_text(RunDir(path=Path(run)).evaluation_file(report.name), report.to_json())
    return report


def _find_notes(
    run: str,
    loaded: LoadedDenseStudent,
    truth: TrueMaps,
    split: str,
    scores: Sequence[MapScores],
) -> Iterator[str]:
    if not _is_truth(truth):
        yield (f"these numbers are agreement with {truth.name}, right or wrong, and not accuracy")
    if loaded.student.teacher == truth.name:
        yield f"the student learned from {truth.name} itself: an upper bound, not a comparison"
    unknown = [name for name in truth.class_names if name not in loaded.student.class_names]
    if unknown:
        yield f"the student knows no {', '.join(unknown)}, whose pixels it cannot get right"
    if loaded.student.map_size != (size := truth.output.shape[1:]):
        told = " and ".join(f"{w}x{h}" for h, w in (loaded.student.map_size, size))
        yield f"the student's maps and the true ones are {told}: scored at the size of the latter"
    for each in scores:
        if each.num_left_out:
            lacking = {
                truth.name: each.num_without_truth,
                "what it needs": each.num_left_out - each.num_without_truth,
            }
            told = " and ".join(f"{num} without {what}" for what, num in lacking.items() if num)
            num_rows = each.num_rows + each.num_left_out
            yield f"{each.name}: {each.num_left_out} of {num_rows} rows are left out: {told}"
    learned = loaded.recipe.data.split
    origin = RunDir(path=Path(run)).read_origin()
    is_same = _absolute(str(origin.get("store"))) == _absolute(truth.store.url)
    if is_same and (not learned or split in ("", learned)):
        yield f"the student learned from {f'split {learned!r}' if learned else 'all rows'}"


def _is_truth(maps: TrueMaps) -> bool:
    return bool(maps.output.attributes.get(IS_TRUTH))


def _absolute(url: str) -> str:
    local = objects.local_path(url)
    return url if local is None else str(local.resolve())
