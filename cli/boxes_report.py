"""How evaluations of boxes are made and told: a table a group, one line a seed and a teacher."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from avkd.cli.console import print_json, print_result, print_table, show_progress

if TYPE_CHECKING:
    from avkd.pipeline.evaluation.box_report import BoxesReport
    from avkd.pipeline.evaluation.box_scores import GroupScores, Number
    from avkd.stages.metrics.classification import SeedSummary

RELEASED = ("as_released", "cd_released")
"""How names begin of what paper 3's code computes; told apart, because they are other numbers."""
NONE = "-"


def evaluate_boxes_of_runs(
    run: str,
    store: str,
    *,
    split: str,
    truth: str | None,
    against: str | None,
    by: Sequence[str],
    min_visible: float | None,
    min_score: float | None,
    needs_tracks: bool,
    teacher_targets: Sequence[str],
    as_json: bool,
) -> None:
    """Evaluate every seed of a run, and tell of each and of all."""
    from avkd.pipeline.comparison.seeds import find_runs
    from avkd.pipeline.evaluation.box_evaluation import evaluate_boxes
    from avkd.pipeline.evaluation.box_report import summarise_boxes
    from avkd.pipeline.evaluation.box_request import MIN_VISIBLE, BoxesRequest
    from avkd.stages.metrics.boxes import MIN_SCORE

    requests = [
        BoxesRequest(
            run=each,
            store=store,
            split=split,
            truth=truth,
            against=against,
            by=tuple(by),
            min_visible=MIN_VISIBLE if min_visible is None else min_visible,
            min_score=MIN_SCORE if min_score is None else min_score,
            needs_tracks=needs_tracks,
        )
        for each in find_runs(run)
    ]
    with show_progress() as show:
        reports = [
            evaluate_boxes(
                request,
                teacher_targets=teacher_targets,
                on_progress=lambda event: show("rows", event.num_done, event.num_total, event.what),
            )
            for request in requests
        ]
    summary = summarise_boxes(reports)
    if not as_json:
        print_boxes(reports, summary)
        return
    values = [json.loads(report.to_json()) for report in reports]
    over_seeds = {
        group: {name: asdict(each) for name, each in metrics.items()}
        for group, metrics in summary.items()
    }
    print_json(values[0] if len(values) == 1 else {"runs": values, "summary": over_seeds})


def print_boxes(
    reports: Sequence["BoxesReport"], summary: Mapping[str, Mapping[str, "SeedSummary"]]
) -> None:
    """Print the numbers of every group, and of all recordings those of paper 3's code."""
    first = reports[0]
    what = "against the truth" if first.reference == "truth" else "agreement with teacher"
    of_split = f"split {first.split}" if first.split else "all rows"
    print_result(f"{first.store}: {of_split}, boxes {what} {first.against}")
    for group in first.student.groups:
        print_result("")
        print_result(_describe(group))
        _print_group(reports, summary[group.group], group.group, released=False)
    print_result("")
    print_result("all, as paper 3's released code computes them")
    _print_group(reports, summary["all"], "all", released=True)
    print_result("")
    for note in dict.fromkeys(note for each in reports for note in each.notes):
        print_result(f"note: {note}")


def _describe(group: "GroupScores") -> str:
    return (
        f"{group.group}: {group.num_recordings} recordings, {group.num_frames} pictures, "
        f"{group.num_reference_boxes} boxes"
    )


def _print_group(
    reports: Sequence["BoxesReport"],
    summary: Mapping[str, "SeedSummary"],
    group: str,
    *,
    released: bool,
) -> None:
    first = reports[0]
    found = first.student.find(group)
    names = [n for n in (found.metrics if found else {}) if n.startswith(RELEASED) == released]
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
    # The title says whose agreement the numbers are.
    print_table(("", *(name.partition(" (")[0] for name in names)), lines)


def _told(value: "Number") -> str:
    if value is None:
        return NONE
    return str(value) if isinstance(value, int) else f"{value:.3f}"
