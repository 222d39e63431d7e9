"""Intervals from numbers that were measured again on resampled clips, trials or speakers."""

import numpy as np
import numpy.typing as npt

from avkd.errors import InvalidValueError
from avkd.stages.metrics.classification import Interval

MIN_DRAWS = 20


def percentile_interval(
    value: float, draws: npt.NDArray[np.floating], level: float = 0.95
) -> Interval:
    """The value between the quantiles that leave half of ``1 - level`` of the draws outside each.

    Raises:
        InvalidValueError: The level is not between 0 and 1, or there are fewer than 20 draws.
    """
    if not 0 < level < 1:
        raise InvalidValueError(f"level {level} must be between 0 and 1, such as 0.95")
    if len(draws) < MIN_DRAWS:
        raise InvalidValueError(
            f"{len(draws)} draws give no interval; take {MIN_DRAWS} or more, such as 1000"
        )
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value=value, low=float(low), high=float(high), level=level)
