"""Medians, spreads and intervals of interleaved rounds: numbers in, numbers out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

NUM_DRAWS = 10_000
LEVEL = 0.95
FEWEST_ROUNDS = 6
"""Of fewer, lowest to highest is no 95 % interval of a median: 2 * 0.5**5 is above 5 %."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A median and the bootstrap interval around it."""

    median: float
    low: float
    high: float
    num_values: int

    @property
    def excludes_one(self) -> bool:
        """Whether a ratio is not 1, on one side or the other: nothing else is called a win."""
        return self.num_values >= FEWEST_ROUNDS and (self.low > 1 or self.high < 1)


def median(values: Sequence[float]) -> float:
    """The middle value, or the mean of the two in the middle."""
    return float(np.median(_checked(values)))


def median_deviation(values: Sequence[float]) -> float:
    """The median absolute deviation from the median (MAD), not scaled to a standard deviation."""
    checked = _checked(values)
    return float(np.median(np.abs(checked - np.median(checked))))


def pair_ratios(numerators: Sequence[float], denominators: Sequence[float]) -> Floats:
    """Ratios round by round: both of a pair ran within minutes of one another.

    Raises:
        ValueError: a round lacks one of the pair, or a value is not above zero.
    """
    above, below = _checked(numerators), _checked(denominators)
    if len(above) != len(below):
        raise ValueError(f"{len(above)} rounds of one and {len(below)} of the other are no pairs")
    if min(above.min(), below.min()) <= 0:
        raise ValueError("a ratio needs values above zero")
    return above / below


def bootstrap_median(
    values: Sequence[float] | Floats, *, seed: int = 0, level: float = LEVEL
) -> Interval:
    """The median with its percentile interval over rounds that are drawn with replacement.

    Args:
        values: one a round.
        seed: of the draws, so that a table can be made again.
        level: of the interval.
    """
    checked = _checked(values)
    draws = np.random.default_rng(seed).choice(checked, size=(NUM_DRAWS, len(checked)))
    medians = np.median(draws, axis=1)
    # An end is a value that some draw had, never one between two.
    low, high = np.quantile(medians, [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf")
    return Interval(
        median=float(np.median(checked)),
        low=float(low),
        high=float(high),
        num_values=len(checked),
    )


def _checked(values: Sequence[float] | Floats) -> Floats:
    array = np.asarray(values, np.float64)
    if array.ndim != 1 or not len(array) or not np.isfinite(array).all():
        raise ValueError(f"{array.size} values, not all finite, have no median")
    return array
