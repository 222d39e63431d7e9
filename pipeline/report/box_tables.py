"""Scores of boxes as tables and curves: a line a student, over its seeds, and one a teacher."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from avkd.pipeline.report.box_runs import BoxRun, Report
from avkd.pipeline.report.content import BoxEvaluation, PrecisionRecall, Table
from avkd.pipeline.report.numbers import counted, mean_with_sd, name_group

Group: TypeAlias = Mapping[str, Any]
"""The fields of ``GroupScores``."""

COLUMNS = {
    "AP@0.5": "AP@0.5",
    "AP@0.75": "AP@0.75",
    "AP@0.5:0.95": "AP@0.5:0.95",
    "CDx_percent": "CDx, %",
    "CDy_percent": "CDy, %",
    "match_rate": "match rate",
    "MOTA": "MOTA",
    "IDF1": "IDF1",
    "HOTA": "HOTA",
    "id_switches": "ID switches",
}
"""What is shown of a report's metrics, and its head."""
DIGITS = {"CDx_percent": 2, "CDy_percent": 2}
COUNTS = ("id_switches",)
CURVE_IOU = 0.5
NONE = "\N{EN DASH}"


@dataclass(frozen=True, kw_only=True)
class _Line:
    """Somebody whose boxes were held to a reference."""

    name: str
    is_teacher: bool
    groups: tuple[Mapping[str, Group], ...]
    """By name, of each seed."""

    def find(self, group: str) -> list[Group]:
        """The numbers of a group, of each seed that has some."""
        return [groups[group] for groups in self.groups if group in groups]


def tell_evaluations(runs: Sequence[BoxRun]) -> tuple[BoxEvaluation, ...]:
    """What runs were held to, each with all that were; the truth before agreement."""
    keys = sorted({key for run in runs for key in run.reports})
    shared = len({report["store"] for report in _reports(runs, keys)}) == 1
    return tuple(_tell(key, runs, names_store=not shared) for key in keys)


def _tell(key: str, runs: Sequence[BoxRun], *, names_store: bool) -> BoxEvaluation:
    reports = list(_reports(runs, [key]))
    lines = tuple(_find_lines(key, runs))
    groups = dict.fromkeys(name for line in lines for own in line.groups for name in own)
    return BoxEvaluation(
        title=_title(reports[0], names_store=names_store),
        curves=tuple(curve for group in groups for curve in _curves(lines, group)),
        tables=tuple(_table(lines, group) for group in groups),
        notes=tuple(_notes(key, runs)),
    )


def _reports(runs: Sequence[BoxRun], keys: Iterable[str]) -> Iterator[Report]:
    return (report for key in keys for run in runs for report in run.reports.get(key, ()))


def _title(report: Report, *, names_store: bool) -> str:
    of_rows = f"split {report['split']}" if report["split"] else "all rows"
    where = f" of {report['store']}" if names_store else ""
    if report["reference"] == "truth":
        return f"Against the truth {Path(report['against']).name}, {of_rows}{where}"
    return f"Agreement with teacher {report['against']}, {of_rows}{where}"


def _notes(key: str, runs: Sequence[BoxRun]) -> Iterator[str]:
    """What is true of all once, and else of whom it is."""
    asked = [run for run in runs if key in run.reports]
    for note in dict.fromkeys(note for each in _reports(asked, [key]) for note in each["notes"]):
        whose = [run.name for run in asked if any(note in r["notes"] for r in run.reports[key])]
        yield note if len(whose) == len(asked) else f"of {', '.join(whose)}: {note}"


def _find_lines(key: str, runs: Sequence[BoxRun]) -> Iterator[_Line]:
    """Students in the order that was asked for, then teachers."""
    teachers: dict[str, Mapping[str, Group]] = {}
    for run in runs:
        reports = run.reports.get(key, ())
        if reports:
            own = tuple(_by_group(report["scores"][0]) for report in reports)
            yield _Line(name=run.name, is_teacher=False, groups=own)
        for scores in (each for report in reports for each in report["scores"][1:]):
            # A teacher said what it said; only the groups that were asked for may differ.
            teachers[scores["name"]] = {**_by_group(scores), **teachers.get(scores["name"], {})}
    for name, groups in teachers.items():
        yield _Line(name=f"teacher {name}", is_teacher=True, groups=(groups,))


def _by_group(scores: Mapping[str, Any]) -> dict[str, Group]:
    return {group["group"]: group for group in scores["groups"]}


def _curves(lines: Sequence[_Line], group: str) -> Iterator[PrecisionRecall]:
    for line in lines:
        for found in line.find(group):
            for curve in found["curves"]:
                if curve["iou_threshold"] == CURVE_IOU:
                    yield PrecisionRecall(
                        name=line.name,
                        group=group,
                        precisions=tuple(curve["precisions"]),
                        is_teacher=line.is_teacher,
                    )


def _table(lines: Sequence[_Line], group: str) -> Table:
    found = [(line, values) for line in lines if (values := line.find(group))]
    told = [(_name(line, len(each)), [_metrics(one) for one in each]) for line, each in found]
    known = {name for _, seeds in told for metrics in seeds for name in metrics}
    columns = [name for name in COLUMNS if name in known]
    size = found[0][1][0]
    return Table(
        title=name_group(group),
        header=("", *(COLUMNS[name] for name in columns)),
        rows=tuple((who, *(_tell_number(name, seeds) for name in columns)) for who, seeds in told),
        note=f"{counted(size['num_recordings'], 'recording')}, "
        f"{counted(size['num_frames'], 'picture')}, {counted(size['num_reference_boxes'], 'box')}",
    )


def _metrics(group: Group) -> dict[str, float | None]:
    """By plain name: the title says with whom this is agreement."""
    return {name.partition(" (")[0]: value for name, value in group["metrics"].items()}


def _name(line: _Line, num_seeds: int) -> str:
    return f"{line.name} ({num_seeds} seeds)" if num_seeds > 1 else line.name


def _tell_number(name: str, seeds: Sequence[Mapping[str, float | None]]) -> str:
    """A number that one seed lacks is not there: the mean of the others would be another one."""
    values = [seed.get(name) for seed in seeds]
    known = [float(value) for value in values if value is not None]
    if len(known) < len(values):
        return NONE
    if name in COUNTS:
        return mean_with_sd(known, 1 if len(known) > 1 else 0)
    return mean_with_sd(known, DIGITS.get(name, 3))
