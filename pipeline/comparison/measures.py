"""Metrics of predictions in which every clip or trial counts as often as it was drawn.

With each counted once they are the metrics of an evaluation; a bootstrap draws the counts.

Conventions: N clips or trials; counts are float64 (N,), 0 where one was not drawn; logits (N, K).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from avkd.pipeline.training.labels import encode_class, encode_classes
from avkd.stages.metrics.tagging import d_prime
from avkd.stages.metrics.verification import (
    DetectionCost,
    ErrorRates,
    equal_error_rate,
    min_dcf,
)

Vector: TypeAlias = npt.NDArray[np.float64]
Columns: TypeAlias = Mapping[str, Any]
Measure: TypeAlias = Callable[[Vector], float]
"""Counts to the metric; NaN where it does not exist for them."""


def build_measure(
    kind: str, metric: str, columns: Columns, class_names: Sequence[str], p_target: float
) -> Measure | None:
    """The metric of a table of predictions (row_files.py); None of one that cannot be resampled."""
    if kind == "class":
        return _class_measure(metric, columns, class_names)
    if kind == "classes":
        return _tagging_measure(metric, columns, class_names)
    return _trial_measure(metric, columns, DetectionCost(p_target=p_target))


def _class_measure(metric: str, columns: Columns, class_names: Sequence[str]) -> Measure | None:
    correct = np.asarray(columns["correct"], np.float64)
    labels = encode_class(columns["label"], class_names)
    if metric == "accuracy":
        return lambda counts: float((counts @ correct) / counts.sum())
    if metric != "macro_accuracy":
        return None

    def measure(counts: Vector) -> float:
        hits = np.bincount(labels, weights=counts * correct)
        totals = np.bincount(labels, weights=counts)
        return float(np.mean(hits[totals > 0] / totals[totals > 0]))

    return measure


def _tagging_measure(metric: str, columns: Columns, class_names: Sequence[str]) -> Measure | None:
    truth = encode_classes(columns["label"], class_names) > 0
    logits = np.asarray(columns["logits"], np.float32)
    if metric in _MICRO:
        return _micro_measure(metric, logits > 0, truth)
    curves = [_Ranking(logits[:, k], truth[:, k]) for k in range(len(class_names))]
    if metric == "mAP":
        return lambda counts: _mean(curve.average_precision(counts) for curve in curves)
    if metric == "d_prime":
        return lambda counts: d_prime(_mean(curve.area(counts) for curve in curves))
    return None


_MICRO: Mapping[str, Callable[[float, float, float], float]] = {
    "micro_precision": lambda num_right, num_predicted, num_true: num_right / max(num_predicted, 1),
    "micro_recall": lambda num_right, num_predicted, num_true: num_right / max(num_true, 1),
    "micro_f1": lambda num_right, num_predicted, num_true: (
        2 * num_right / max(num_predicted + num_true, 1)
    ),
}


def _micro_measure(
    metric: str, predicted: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_]
) -> Measure:
    per_clip = [each.sum(axis=1) for each in (predicted & truth, predicted, truth)]
    combine = _MICRO[metric]
    return lambda counts: combine(*(float(counts @ each) for each in per_clip))


def _trial_measure(metric: str, columns: Columns, cost: DetectionCost) -> Measure | None:
    curve = _Ranking(np.asarray(columns["score"], np.float64), np.asarray(columns["is_target"]))
    if metric == "eer":
        return lambda counts: curve.rate(counts, equal_error_rate)
    if metric == "min_dcf":
        return lambda counts: curve.rate(counts, lambda rates: min_dcf(rates, cost))
    return None


class _Ranking:
    """Scores sorted once, the largest first; ties are one place."""

    def __init__(
        self, scores: npt.NDArray[np.floating], is_positive: npt.NDArray[np.bool_]
    ) -> None:
        self._order = np.argsort(-scores, kind="stable")
        self._is_positive = is_positive[self._order]
        ordered = scores[self._order]
        self._last_of_ties = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))

    def average_precision(self, counts: Vector) -> float:
        """The sum of precision times the step of recall, as scikit-learn has it."""
        found, accepted = self._sums(counts)
        if not found[-1]:
            return np.nan
        precision = found / np.maximum(found + accepted, 1)
        return float(np.diff(found, prepend=0.0) @ precision / found[-1])

    def area(self, counts: Vector) -> float:
        """Under the ROC, by trapezoids."""
        found, accepted = self._sums(counts)
        if not found[-1] or not accepted[-1]:
            return np.nan
        hits = np.concatenate([[0.0], found]) / found[-1]
        return float(np.diff(accepted, prepend=0.0) @ (hits[1:] + hits[:-1]) / 2 / accepted[-1])

    def rate(self, counts: Vector, summarise: Callable[[ErrorRates], float]) -> float:
        """An error rate of the ROC."""
        found, accepted = self._sums(counts)
        if not found[-1] or not accepted[-1]:
            return np.nan
        return summarise(
            ErrorRates(
                false_accepts=np.concatenate([[0.0], accepted / accepted[-1]]),
                misses=np.concatenate([[1.0], 1 - found / found[-1]]),
            )
        )

    def _sums(self, counts: Vector) -> tuple[Vector, Vector]:
        """Positives and negatives at least as high as each place."""
        ordered = counts[self._order]
        found = np.cumsum(np.where(self._is_positive, ordered, 0.0))[self._last_of_ties]
        accepted = np.cumsum(np.where(self._is_positive, 0.0, ordered))[self._last_of_ties]
        return found, accepted


def _mean(values: Any) -> float:
    """Over the classes for which there is a value; NaN without any."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")
