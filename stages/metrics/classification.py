"""Numbers about predicted classes, and how far to trust them.

Conventions: N clips; labels and predictions are int arrays (N,) of class numbers from 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avkd.errors import InvalidValueError

Labels = npt.NDArray[np.integer]


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A value with the interval that resampling the clips gives it."""

    value: float
    low: float
    high: float
    level: float


@dataclass(frozen=True, kw_only=True)
class SeedSummary:
    """One number measured once for each seed."""

    mean: float
    sd: float
    """Of the sample (n - 1); 0 for a single seed."""
    num_seeds: int


def accuracy(predictions: Labels, labels: Labels) -> float:
    """The fraction of clips whose class is right, 0 to 1.

    Raises:
        InvalidValueError: There are no clips, or the two differ in number.
    """
    _require_pairs(predictions, labels)
    return float(np.mean(predictions == labels))


def confusion_matrix(
    predictions: Labels, labels: Labels, num_classes: int
) -> npt.NDArray[np.int64]:
    """(label, prediction): how many clips of each label were taken for each class.

    Raises:
        InvalidValueError: A class number is not below ``num_classes``.
    """
    _require_pairs(predictions, labels)
    largest = int(max(predictions.max(), labels.max()))
    if largest >= num_classes:
        raise InvalidValueError(f"class {largest} does not fit {num_classes} classes; give more")
    matrix = np.zeros((num_classes, num_classes), dtype=np.int64)
    np.add.at(matrix, (labels, predictions), 1)
    return matrix


def bootstrap_accuracy(
    predictions: Labels,
    labels: Labels,
    *,
    level: float = 0.95,
    num_draws: int = 2000,
    seed: int = 0,
) -> Interval:
    """The accuracy with the percentile interval of resampled clips.

    It covers the choice of clips, not that of the seed or of the training data, and has no width
    where all clips are right or all are wrong.
    """
    value = accuracy(predictions, labels)
    # As only the number of hits matters, drawing clips is drawing from a binomial.
    hits = np.random.default_rng(seed).binomial(len(labels), value, num_draws) / len(labels)
    low, high = np.quantile(hits, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value=value, low=float(low), high=float(high), level=level)


def summarise_seeds(values: Sequence[float]) -> SeedSummary:
    """The mean over seeds and its spread.

    Raises:
        InvalidValueError: There are no values.
    """
    if not values:
        raise InvalidValueError("no values to summarise; run at least one seed")
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return SeedSummary(mean=float(np.mean(values)), sd=sd, num_seeds=len(values))


def _require_pairs(predictions: Labels, labels: Labels) -> None:
    if len(predictions) != len(labels) or len(labels) == 0:
        raise InvalidValueError(
            f"{len(predictions)} predictions for {len(labels)} labels; give as many, at least one"
        )
