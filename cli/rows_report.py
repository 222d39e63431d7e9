"""How evaluations of stored rows are told: one line a seed and a teacher, then what to know."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from avkd.cli.console import print_result, print_table

if TYPE_CHECKING:
    from avkd.pipeline.evaluation.row_scores import RowScores
    from avkd.pipeline.evaluation.rows import RowsReport
    from avkd.stages.metrics.classification import SeedSummary

LARGEST_CONFUSION = 12
"""Classes of a confusion matrix that is printed; larger ones are in the report."""


def print_rows(reports: Sequence["RowsReport"], summary: Mapping[str, "SeedSummary"]) -> None:
    """Print the scores of every seed, of the stored teachers, and over seeds."""
    first = reports[0]
    of_split = f"split {first.split}" if first.split else "all rows"
    asked = f"trials {first.trials}" if first.trials else f"labels {first.label_column}"
    print_result(f"{first.store}: {of_split}, {asked}")
    names = tuple(dict.fromkeys(name for each in first.scores for name in each.metrics))
    # A teacher said what it said: its line is the same for every seed.
    lines = [
        _line(f"seed {each.seed}" if len(reports) > 1 else each.student.name, each.student, names)
        for each in reports
    ]
    lines += [_line(scores.name, scores, names) for scores in first.scores[1:]]
    if len(reports) > 1:
        for what in ("mean", "sd"):
            told = [f"{getattr(summary[n], what):.3f}" if n in summary else "-" for n in names]
            lines.append((what, "-", *told, "-"))
    print_table(("", "rows", *names, f"95 % of {names[0]}"), lines)
    _print_cost(first.student)
    if len(reports) == 1:
        _print_confusion(first.student)
    for note in dict.fromkeys(note for each in reports for note in each.notes):
        print_result(f"note: {note}")


def _line(name: str, scores: "RowScores", names: Sequence[str]) -> tuple[object, ...]:
    told = [f"{scores.metrics[n]:.3f}" if n in scores.metrics else "-" for n in names]
    interval = scores.intervals.get(names[0])
    between = f"{interval.low:.3f} to {interval.high:.3f}" if interval else "-"
    return (name, scores.num_rows, *told, between)


def _print_confusion(scores: "RowScores") -> None:
    counts = scores.details.get("confusion")
    if counts is None or len(counts) > LARGEST_CONFUSION:
        return
    classes = scores.details["class_names"]
    print_result("")
    header = ("labelled", *(f"as {name}" for name in classes))
    print_table(header, [(name, *row) for name, row in zip(classes, counts, strict=True)])


def _print_cost(scores: "RowScores") -> None:
    details = scores.details
    if "p_target" not in details:
        return
    costs = "C_miss {c_miss:g}, C_fa {c_fa:g}".format_map(details)
    print_result(
        f"scores: {details['scoring']}; minDCF: P_target {details['p_target']:g}, {costs}; "
        f"{details['num_target']} target and {details['num_nontarget']} non-target trials, "
        f"intervals by resampled {details['resampled']}"
    )
