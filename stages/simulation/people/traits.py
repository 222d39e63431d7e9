"""Traits of people: standard normal numbers, and the values they stand for."""

import math
from collections.abc import Sequence
from typing import TypeVar

Value = TypeVar("Value")


def between(trait: float, low: float, high: float) -> float:
    """A value from low to high; equally likely everywhere over standard normal traits."""
    return low + (high - low) * _share_below(trait)


def around(trait: float, middle: float, spread: float) -> float:
    """A value of a middle and a spread, within two and a half spreads."""
    return middle + spread * max(-2.5, min(2.5, trait))


def choose(trait: float, choices: Sequence[tuple[Value, float]]) -> Value:
    """One of some values with weights; near traits choose the same or the next."""
    left = _share_below(trait) * sum(weight for _, weight in choices)
    for value, weight in choices:
        left -= weight
        if left < 0:
            return value
    return choices[-1][0]


def _share_below(trait: float) -> float:
    return 0.5 * (1 + math.erf(trait / math.sqrt(2)))
