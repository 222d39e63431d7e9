"""The evaluations of several students as one table: mean and sd over seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

DISTILLED = "distilled"


@dataclass(frozen=True, kw_only=True)
class SeedMeans:
    """A number over seeds."""

    mean: float
    sd: float
    values: tuple[float, ...]


def gather_scores(evaluations: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, SeedMeans]]:
    """Return labels a class (``all`` for all) to features to accuracy.

    Every evaluation gives one value of ``distilled``: its mean over draws of the labels. The
    controls, measured over seeds of their own, come from the evaluations that hold them.
    """
    table: dict[str, dict[str, list[float]]] = {}
    for evaluation in evaluations:
        for score in evaluation["scores"]:
            labels = str(score["labels_per_class"] or "all")
            values = table.setdefault(labels, {}).setdefault(score["features"], [])
            is_student = score["features"] == DISTILLED
            values.extend([score["mean"]] if is_student else score["accuracies"])
    return {
        labels: {name: summarise(values) for name, values in row.items()}
        for labels, row in table.items()
    }


def summarise(values: Sequence[float]) -> SeedMeans:
    """Return mean and sample standard deviation; the sd of one value is 0."""
    sd = stdev(values) if len(values) > 1 else 0.0
    return SeedMeans(mean=fmean(values), sd=sd, values=tuple(values))
