import numpy as np
import pytest

from avkd.errors import InvalidValueError
from avkd.stages.metrics.resampling import percentile_interval


def test_an_interval_leaves_half_of_the_rest_on_each_side() -> None:
    draws = np.random.default_rng(0).permutation(np.arange(101.0))
    interval = percentile_interval(49.5, draws, level=0.9)
    assert (interval.value, interval.low, interval.high) == (
        49.5,
        pytest.approx(5),
        pytest.approx(95),
    )
    assert interval.level == 0.9


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0])
def test_a_level_that_is_no_share_is_refused(level: float) -> None:
    with pytest.raises(InvalidValueError, match="must be between 0 and 1"):
        percentile_interval(0.0, np.zeros(100), level)


def test_few_draws_give_no_interval() -> None:
    with pytest.raises(InvalidValueError, match="19 draws give no interval; take 20 or more"):
        percentile_interval(0.0, np.zeros(19))
