"""How evaluations of class maps are told: a table a group, one line a seed and a teacher."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from avkd.cli.console import print_json, print_result, print_table, show_progress

if TYPE_CHECKING:
    from avkd.pipeline.evaluation.class_map_scores import ClassMapsReport
    from avkd.stages.metrics.classification import SeedSummary

NONE = "-"


def evaluate_class_maps_of_runs(
    run: str,
    store: str,
    *,
    class_maps: str,
    split: str,
    by: Sequence[str],
    teacher_targets: Sequence[str],
    as_json: bool,
) -> None:
    """Evaluate every seed of a run, and tell of each and of all."""
    from avkd.pipeline.comparison.seeds import find_runs
    from avkd.pipeline.evaluation.class_map_evaluation import evaluate_class_maps
    from avkd.pipeline.evaluation.class_map_scores import summarise_maps

    with show_progress() as show:
        reports = [
            evaluate_class_maps(
                each,
                store,
                class_maps=class_maps,
                split=split,
                by=tuple(by),
                teacher_targets=teacher_targets,
                on_progress=lambda event: show("rows", event.num_done, event.num_total, event.what),
            )
            for each in find_runs(run)
        ]
    summary = summarise_maps(reports)
    if not as_json:
        print_class_maps(reports, summary)
        return
    values = [json.loads(report.to_json()) for report in reports]
    over_seeds = {
        group: {name: asdict(each) for name, each in metrics.items()}
        for group, metrics in summary.items()
    }
    print_json(values[0] if len(values) == 1 else {"runs": values, "summary": over_seeds})


def print_class_maps(
    reports: Sequence["ClassMapsReport"], summary: Mapping[str, Mapping[str, "SeedSummary"]]
) -> None:
    """Print the numbers of every group."""
    first = reports[0]
    of_split = f"split {first.split}" if first.split else "all rows"
    what = "against the truth" if first.is_truth else "agreement with"
    print_result(f"{first.store}: {of_split}, class maps {what} {first.against}")
    for group in first.student.groups:
        print_result("")
        print_result(f"{group.group}: {group.num_recordings} recordings, {group.num_rows} rows")
        _print_group(reports, summary[group.group], group.group)
    print_result("")
    for note in dict.fromkeys(note for each in reports for note in each.notes):
        print_result(f"note: {note}")


def _print_group(
    reports: Sequence["ClassMapsReport"], summary: Mapping[str, "SeedSummary"], group: str
) -> None:
    first = reports[0]
    found = first.student.find(group)
    names = tuple(found.metrics) if found else ()
    several = len(reports) > 1
    students = [
        (f"seed {report.seed}" if several else report.student.name, report.student.find(group))
        for report in reports
    ]
    # A teacher said what it said: its line is the same for every seed.
    teachers = [(scores.name, scores.find(group)) for scores in first.scores[1:]]
    lines = [
        (who, *(_told(scores.metrics.get(name) if scores else None) for name in names))
        for who, scores in (*students, *teachers)
    ]
    for which in ("mean", "sd") if several else ():
        told = [_told(getattr(summary[n], which) if n in summary else None) for n in names]
        lines.append((which, *told))
    print_table(("", *names), lines)


def _told(value: float | None) -> str:
    return NONE if value is None else f"{value:.3f}"
