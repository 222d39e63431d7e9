"""Counts of pixels to numbers, of all recordings and of groups of them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from avkd.pipeline.evaluation.box_request import Groups
from avkd.pipeline.evaluation.class_map_rows import MapConfusions, RowConfusion
from avkd.pipeline.report_json import report_to_json
from avkd.stages.metrics.classification import SeedSummary, summarise_seeds
from avkd.stages.metrics.segmentation import score_confusion

Metrics = Mapping[str, float | None]
ALL = "all"
MEAN_IOU = "mIoU"


@dataclass(frozen=True, kw_only=True)
class MapGroupScores:
    """The numbers of some rows: pixels of all of them are counted before a number is taken."""

    group: str
    """``all``, or a column and its value, such as ``light=night``."""
    num_recordings: int
    num_rows: int
    num_pixels: int
    metrics: Metrics
    """``mIoU`` first, then ``pixel_accuracy`` and ``IoU_<class>``, None of a class that neither is
    true nor said."""
    confusion: tuple[tuple[int, ...], ...]
    """Pixels of each true class by what was said of them."""


@dataclass(frozen=True, kw_only=True)
class MapScores:
    """How well a student, or a stored teacher, says what pixels are."""

    name: str
    """``student``, or the name of the teacher."""
    num_rows: int
    num_left_out: int
    """Rows of the split that lack what is needed to say anything, or the truth."""
    num_without_truth: int
    """Of these, those that lack the truth."""
    metrics: Metrics
    """Of all rows."""
    groups: tuple[MapGroupScores, ...]
    """All rows first."""
    details: Mapping[str, object]

    def find(self, group: str) -> MapGroupScores | None:
        """The numbers of a group; None where no row is of it."""
        return next((each for each in self.groups if each.group == group), None)


@dataclass(frozen=True, kw_only=True)
class ClassMapsReport:
    """What a student scored on the pixels of a split, and stored teachers beside it."""

    run: str
    seed: int
    name: str
    """Of the evaluation: its file is ``evaluation-<name>.json``."""
    store: str
    """As an absolute path, or its URL."""
    split: str
    """Empty: all rows."""
    kind: str
    """``class_maps``."""
    label_column: str
    """What the maps are held to, in words."""
    trials: str
    """Empty: these are no trials."""
    against: str
    """The producer of the maps that these are held to."""
    is_truth: bool
    """Whether these are true, and not another's word: agreement with that is no accuracy."""
    taught_by: str
    """Whose maps the student learned from."""
    class_names: tuple[str, ...]
    scores: tuple[MapScores, ...]
    """The student's, then those of the teachers that were asked for."""
    notes: tuple[str, ...]
    """What a reader should know of these numbers."""

    @property
    def student(self) -> MapScores:
        """The student's own scores."""
        return self.scores[0]

    def to_json(self) -> str:
        """Indented JSON; numbers that do not exist are null."""
        return report_to_json(asdict(self))


def score_maps(
    name: str,
    said: MapConfusions,
    class_names: Sequence[str],
    groups: Groups,
    columns: Sequence[str],
) -> MapScores:
    """Take the numbers of all rows, then of those of each value of a column."""
    scored = tuple(
        _score_group(group, rows, class_names)
        for group, rows in _group_rows(said.rows, groups, columns).items()
    )
    return MapScores(
        name=name,
        num_rows=len(said.rows),
        num_left_out=said.num_left_out,
        num_without_truth=said.num_without_truth,
        metrics=scored[0].metrics,
        groups=scored,
        details={},
    )


def summarise_maps(reports: Sequence[ClassMapsReport]) -> dict[str, dict[str, SeedSummary]]:
    """By group and metric: mean and sd over runs of what the student scored in all of them."""
    summary: dict[str, dict[str, SeedSummary]] = {}
    for group in (each.group for each in reports[0].student.groups):
        found = [report.student.find(group) for report in reports]
        metrics = [each.metrics if each else {} for each in found]
        values = {name: [one.get(name) for one in metrics] for name in metrics[0]}
        summary[group] = {
            name: summarise_seeds([value for value in each if value is not None])
            for name, each in values.items()
            if None not in each
        }
    return summary


def _group_rows(
    rows: Sequence[RowConfusion], groups: Groups, columns: Sequence[str]
) -> dict[str, Sequence[RowConfusion]]:
    """A row whose recording has no value is in none of the column's groups."""
    found: dict[str, Sequence[RowConfusion]] = {ALL: rows}
    for column in columns:
        values = {row.recording_id: groups.get(row.recording_id, {}).get(column) for row in rows}
        for value in sorted({each for each in values.values() if each is not None}):
            found[f"{column}={value}"] = [r for r in rows if values[r.recording_id] == value]
    return found


def _score_group(
    group: str, rows: Sequence[RowConfusion], class_names: Sequence[str]
) -> MapGroupScores:
    confusion = sum(row.confusion for row in rows[1:]) + rows[0].confusion
    scores = score_confusion(confusion)
    ious = zip(class_names, scores.class_ious, strict=True)
    return MapGroupScores(
        group=group,
        num_recordings=len({row.recording_id for row in rows}),
        num_rows=len(rows),
        num_pixels=scores.num_pixels,
        metrics={
            MEAN_IOU: scores.mean_iou,
            "pixel_accuracy": scores.pixel_accuracy,
            **{f"IoU_{name}": iou for name, iou in ious},
        },
        confusion=tuple(tuple(row) for row in confusion.tolist()),
    )
