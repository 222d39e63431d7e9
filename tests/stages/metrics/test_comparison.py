from dataclasses import replace
from itertools import product

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avkd.errors import InvalidValueError
from avkd.stages.metrics import comparison
from avkd.stages.metrics.comparison import compare_clips, compare_seeds

Array = npt.NDArray[np.float64]

MOONS_STUDENT = [72.5, 72.5, 72.0, 72.5, 72.5, 72.0, 72.0, 73.5, 72.5, 72.0]
MOONS_BOTH = [77.0, 76.5, 78.5, 78.0, 77.0, 78.5, 78.5, 77.5, 78.0, 77.5]
"""TwoMoon of MKE, accuracy of ten seeds with one and with both modalities."""


def noisy_pair(num_clips: int, gain: float, seed: int) -> tuple[Array, Array]:
    """Values that share what is hard about a clip; the candidate is better by ``gain``."""
    generator = np.random.default_rng(seed)
    shared = 5 * generator.standard_normal(num_clips)
    first, second = generator.standard_normal((2, num_clips))
    return shared + first, shared + second + gain


def test_interval_over_clips_is_that_of_the_paired_mean() -> None:
    baseline, candidate = noisy_pair(400, 0.5, seed=0)
    found = compare_clips(baseline, candidate)
    paired = candidate - baseline
    half = 1.96 * paired.std() / 400**0.5
    assert found.difference.value == pytest.approx(paired.mean())
    assert found.difference.low == pytest.approx(paired.mean() - half, abs=0.1 * half)
    assert found.difference.high == pytest.approx(paired.mean() + half, abs=0.1 * half)
    assert (found.num_clips, found.num_groups, found.num_seeds) == (400, 400, 1)


def test_exchanging_the_systems_turns_the_difference_round() -> None:
    baseline, candidate = noisy_pair(50, 0.3, seed=1)
    found, turned = compare_clips(baseline, candidate), compare_clips(candidate, baseline)
    assert turned.p_value == found.p_value
    assert turned.difference.value == pytest.approx(-found.difference.value)
    assert turned.difference.low == pytest.approx(-found.difference.high)


def test_equal_systems_do_not_differ() -> None:
    values = np.random.default_rng(0).random(30)
    found = compare_clips(values, values)
    assert (found.difference.value, found.difference.low, found.difference.high) == (0, 0, 0)
    assert found.p_value == 1.0


def test_a_sure_difference_has_the_smallest_p_that_the_draws_allow() -> None:
    baseline, _ = noisy_pair(30, 0.0, seed=0)
    assert compare_clips(baseline, baseline + 1, num_draws=999).p_value == 2 / 1000


def test_p_of_hits_and_misses_is_near_that_of_the_exact_sign_test() -> None:
    from scipy.stats import binomtest

    # 200 clips; the systems disagree on 40, and the candidate is right on 27 of them.
    baseline = np.repeat([1.0, 0.0, 1.0, 0.0], [100, 60, 13, 27])
    candidate = np.repeat([1.0, 0.0, 0.0, 1.0], [100, 60, 13, 27])
    found = compare_clips(baseline, candidate)
    assert found.difference.value == pytest.approx(14 / 200)
    assert found.p_value == pytest.approx(binomtest(27, 40).pvalue, abs=0.02)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.floats(-0.6, 0.6))
def test_p_is_below_five_percent_where_the_interval_leaves_out_zero(seed: int, gain: float) -> None:
    baseline, candidate = noisy_pair(40, gain, seed)
    found = compare_clips(baseline, candidate, num_draws=500)
    if found.difference.low > 0 or found.difference.high < 0:
        assert found.p_value <= 0.05 + 6 / 501
    else:
        assert found.p_value >= 0.05 - 6 / 501


def test_intervals_cover_the_true_difference_as_often_as_they_say() -> None:
    covered, false_alarms = 0, 0
    for seed in range(300):
        found = compare_clips(*noisy_pair(60, 0.0, seed), num_draws=400, seed=seed)
        covered += found.difference.low <= 0 <= found.difference.high
        false_alarms += found.p_value < 0.05
    # 285 and 15 are expected; three binomial deviations are 11, percentile intervals lose a few.
    assert 270 <= covered <= 297
    assert 3 <= false_alarms <= 30


def test_seeds_are_averaged_first() -> None:
    generator = np.random.default_rng(0)
    baseline, candidate = generator.random((3, 40)), generator.random((5, 40))
    found = compare_clips(baseline, candidate)
    averaged = compare_clips(baseline.mean(axis=0), candidate.mean(axis=0))
    assert found == replace(averaged, num_seeds=3)


def test_drawing_seeds_adds_their_spread() -> None:
    generator = np.random.default_rng(0)
    by_seed = np.array([[-1.0], [0.0], [1.0], [2.0]])
    baseline = np.zeros((4, 200))
    candidate = by_seed + 0.1 * generator.standard_normal((4, 200))
    clips_only = compare_clips(baseline, candidate).difference
    both = compare_clips(baseline, candidate, resample_seeds=True)
    assert clips_only.high - clips_only.low < 0.05
    # The mean of four draws from -1, 0, 1, 2: deviation sqrt(1.25 / 4) about 0.5.
    assert both.difference.value == pytest.approx(clips_only.value)
    assert both.difference.low == pytest.approx(-0.5, abs=0.3)
    assert both.difference.high == pytest.approx(1.5, abs=0.3)
    assert both.p_value > 0.05 > compare_clips(baseline, candidate).p_value
    assert both.resampled_seeds


def test_drawing_recordings_widens_the_interval_by_what_their_clips_share() -> None:
    generator = np.random.default_rng(0)
    difference = np.repeat(generator.standard_normal(50), 8)
    names = [f"r{place // 8}" for place in range(400)]
    by_clip = compare_clips(np.zeros(400), difference).difference
    found = compare_clips(np.zeros(400), difference, recordings=names)
    by_recording = found.difference
    ratio = (by_recording.high - by_recording.low) / (by_clip.high - by_clip.low)
    assert ratio == pytest.approx(8**0.5, rel=0.1)
    assert (found.num_clips, found.num_groups) == (400, 50)
    alone = compare_clips(np.zeros(400), difference, recordings=[str(k) for k in range(400)])
    assert alone.difference.value == by_clip.value


def test_recordings_of_different_lengths_are_weighted_by_their_clips() -> None:
    difference = np.array([1.0, 1.0, 1.0, 0.0])
    found = compare_clips(np.zeros(4), difference, recordings=["a", "a", "a", "b"])
    assert (found.difference.value, found.difference.low, found.difference.high) == (0.75, 0, 1)


def test_draws_follow_their_seed() -> None:
    pair = noisy_pair(30, 0.2, seed=0)
    assert compare_clips(*pair) == compare_clips(*pair)
    assert compare_clips(*pair) != compare_clips(*pair, seed=1)


def test_draws_in_pieces_are_the_same_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = np.random.default_rng(0).random((2, 3, 7))
    whole = compare_clips(*pair, resample_seeds=True, num_draws=100)
    monkeypatch.setattr(comparison, "NUMBERS_AT_ONCE", 200)
    assert compare_clips(*pair, resample_seeds=True, num_draws=100) == whole


def test_clips_that_cannot_be_compared_are_refused() -> None:
    values = np.arange(4.0)
    with pytest.raises(InvalidValueError, match="values of 4 and 3 clips do not pair up"):
        compare_clips(values, values[:3])
    with pytest.raises(InvalidValueError, match="values of 1 and 1 clips do not pair up"):
        compare_clips(values[:1], values[:1])
    with pytest.raises(InvalidValueError, match="not finite"):
        compare_clips(values, np.where(values == 2, np.nan, values))
    with pytest.raises(InvalidValueError, match="2 and 1 seeds cannot be drawn in pairs"):
        compare_clips(np.stack([values, values]), values, resample_seeds=True)
    with pytest.raises(InvalidValueError, match="3 recordings for 4 clips"):
        compare_clips(values, values, recordings=["a", "b", "c"])
    with pytest.raises(InvalidValueError, match="all 4 clips are of recording 'a'"):
        compare_clips(values, values, recordings=["a"] * 4)


def exact_sign_flip(differences: Array) -> float:
    """By trying every sign."""
    signs = np.array(list(product([-1, 1], repeat=len(differences))))
    means = np.abs((signs * differences).mean(axis=1))
    return float(np.mean(means >= abs(differences.mean()) - 1e-12))


@pytest.mark.parametrize("num_seeds", [2, 3, 5, 10])
def test_sign_flips_are_exact_for_few_seeds(num_seeds: int) -> None:
    generator = np.random.default_rng(num_seeds)
    baseline, candidate = generator.standard_normal((2, num_seeds))
    found = compare_seeds(baseline.tolist(), (candidate + 0.5).tolist())
    assert found.sign_flip_p_value == pytest.approx(exact_sign_flip(candidate + 0.5 - baseline))
    assert found == compare_seeds(baseline.tolist(), (candidate + 0.5).tolist(), seed=1)


def test_sign_flips_are_drawn_for_many_seeds() -> None:
    generator = np.random.default_rng(0)
    baseline, candidate = generator.standard_normal((2, 16))
    found = compare_seeds(baseline.tolist(), (candidate + 0.3).tolist())
    exact = exact_sign_flip(candidate + 0.3 - baseline)
    assert found.sign_flip_p_value == pytest.approx(exact, abs=0.02)
    assert found == compare_seeds(baseline.tolist(), (candidate + 0.3).tolist())


def test_five_seeds_cannot_reach_five_percent_by_sign_flips() -> None:
    found = compare_seeds([0.1, 0.2, 0.3, 0.4, 0.5], [0.3, 0.5, 0.4, 0.6, 0.8])
    assert found.sign_flip_p_value == pytest.approx(2 / 2**5)
    assert found.t_p_value is not None
    assert found.t_p_value < 0.01


def test_t_is_that_of_a_hand_computation() -> None:
    # Differences 1, 2, 3: mean 2, deviation 1, t = 2 sqrt(3) on 2 degrees of freedom, where
    # p = 1 - t / sqrt(t^2 + 2).
    found = compare_seeds([0, 0, 0], [1, 2, 3])
    assert found.t_p_value == pytest.approx(1 - (12 / 14) ** 0.5)
    assert (found.difference.mean, found.difference.sd) == (2, 1)


def test_the_students_of_two_moon_differ_beyond_their_seeds() -> None:
    found = compare_seeds(MOONS_STUDENT, MOONS_BOTH)
    assert found.difference.mean == pytest.approx(5.3)
    assert found.t_p_value is not None
    assert found.t_p_value < 1e-6
    assert found.sign_flip_p_value == pytest.approx(2 / 2**10)


def test_equal_differences_have_no_t_but_a_sign_flip_test() -> None:
    found = compare_seeds([0.1, 0.2, 0.3], [0.4, 0.5, 0.6])
    assert found.t_p_value is None
    assert found.sign_flip_p_value == pytest.approx(2 / 2**3)
    same = compare_seeds([0.1, 0.2, 0.3], [0.1, 0.2, 0.3])
    assert (same.t_p_value, same.sign_flip_p_value, same.difference.mean) == (None, 1.0, 0.0)


def test_runs_that_do_not_pair_up_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="2 and 3 runs do not pair up"):
        compare_seeds([1, 2], [1, 2, 3])
    with pytest.raises(InvalidValueError, match="1 and 1 runs do not pair up"):
        compare_seeds([1], [2])
    with pytest.raises(InvalidValueError, match="a run's number is not finite"):
        compare_seeds([1, 2], [1, float("nan")])
