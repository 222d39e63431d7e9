"""The evaluations of boxes of several students as one table: by group, mean and sd over seeds."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from avkd.pipeline.demos.probe_scores import SeedMeans, summarise
from avkd.pipeline.report.numbers import mean_with_sd

BoxMeans: TypeAlias = Mapping[str, Mapping[str, SeedMeans | None]]
"""By group (``all``, ``light=night``) and metric; None where a number does not exist."""

STUDENT = "student"
NONE = "-"
SHOWN = ("AP@0.5", "CDx_percent", "match_rate", "MOTA", "id_switches")
"""Metrics for a screen; distances mean little without the share of vehicles that were matched."""
GROUPS = ("all", "light=day", "light=night", "view_split=seen", "view_split=unseen")
COUNTS = ("id_switches",)
"""Of these, the whole numbers."""


def gather_box_scores(evaluations: Sequence[Mapping[str, Any]], name: str = STUDENT) -> BoxMeans:
    """Gather what the student, or a stored teacher, scored in what ``avkd evaluate`` printed.

    A number that any of them lacks does not exist.
    """
    found = [_find_groups(evaluation, name) for evaluation in evaluations]
    return {
        group: {
            metric: _summarise([each.get(group, {}).get(metric) for each in found])
            for metric in metrics
        }
        for group, metrics in found[0].items()
    }


def tabulate_box_scores(scores: Mapping[str, BoxMeans]) -> list[tuple[str, ...]]:
    """Give the lines of a table: the group, who, and each metric of ``SHOWN`` in words."""
    return [
        (group, who, *(write_mean(metric, means.get(group, {}).get(metric)) for metric in SHOWN))
        for group in GROUPS
        for who, means in scores.items()
    ]


def write_mean(metric: str, means: SeedMeans | None, *, digits: int = 3, scale: float = 1.0) -> str:
    """Write ``0.412 (0.013)``, the sd where there are several seeds; ``-`` for what is not."""
    if means is None:
        return NONE
    digits = int(len(means.values) > 1) if metric in COUNTS else digits
    return mean_with_sd([scale * value for value in means.values], digits)


def _find_groups(evaluation: Mapping[str, Any], name: str) -> dict[str, Mapping[str, Any]]:
    scores = next(each for each in evaluation["scores"] if each["name"] == name)
    return {group["group"]: group["metrics"] for group in scores["groups"]}


def _summarise(values: Sequence[float | None]) -> SeedMeans | None:
    known = [float(value) for value in values if value is not None]
    return summarise(known) if len(known) == len(values) else None
