from collections.abc import Callable
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def intervals(bench: Callable[[str], ModuleType]) -> ModuleType:
    return bench("intervals")


def test_one_wild_round_moves_neither_the_median_nor_the_deviation(intervals: ModuleType) -> None:
    assert intervals.median([1, 2, 3, 4, 100]) == 3
    assert intervals.median_deviation([1, 2, 3, 4, 100]) == 1
    assert intervals.median([1, 2, 3, 4]) == 2.5


def test_ratios_are_of_the_pairs_of_a_round_not_of_the_medians(intervals: ModuleType) -> None:
    # The machine was slow in round 2 and 3 for both: the pairs do not see it.
    ratios = intervals.pair_ratios([2, 20, 8], [1, 10, 4])
    assert ratios.tolist() == [2, 2, 2]
    interval = intervals.bootstrap_median(ratios)
    assert (interval.median, interval.low, interval.high) == (2, 2, 2)


def test_a_few_rounds_claim_nothing_however_alike_they_are(intervals: ModuleType) -> None:
    assert not intervals.bootstrap_median([2.0] * 5).excludes_one
    assert intervals.bootstrap_median([2.0] * 6).excludes_one


def test_the_interval_of_seven_rounds_is_the_one_that_binomials_give(
    intervals: ModuleType,
) -> None:
    # The median of a draw is at most the k-th of n = 7 when 4 or more of 7 are: P(Bin(7, k/7) >= 4)
    # is 0.010 for k = 1, 0.108 for 2, 0.892 for 5 and 0.990 for 6. So 2.5 % and 97.5 % are the
    # second and the sixth.
    interval = intervals.bootstrap_median([5, 1, 7, 3, 2, 6, 4])
    assert (interval.low, interval.median, interval.high) == (2, 4, 6)


def test_an_interval_around_one_is_no_win_on_either_side(intervals: ModuleType) -> None:
    around = intervals.bootstrap_median([0.9, 0.95, 1.0, 1.05, 1.1, 1.2, 0.8])
    assert around.low < 1 < around.high
    assert not around.excludes_one
    assert intervals.bootstrap_median([0.5, 0.6, 0.55] * 2).excludes_one


def test_the_same_seed_draws_the_same_interval(intervals: ModuleType) -> None:
    values = [1.3, 1.1, 1.9, 1.2, 0.7, 1.4, 1.0, 1.6, 2.1, 0.9, 1.5]
    assert intervals.bootstrap_median(values, seed=3) == intervals.bootstrap_median(values, seed=3)


def test_rounds_that_are_no_pairs_are_refused(intervals: ModuleType) -> None:
    with pytest.raises(ValueError, match="no pairs"):
        intervals.pair_ratios([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="above zero"):
        intervals.pair_ratios([1, 2], [1, 0])
    with pytest.raises(ValueError, match="no median"):
        intervals.median([])
    with pytest.raises(ValueError, match="no median"):
        intervals.median([1.0, float("nan")])
