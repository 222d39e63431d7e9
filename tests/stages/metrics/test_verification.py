from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avkd.errors import CorpusError, InvalidValueError
from avkd.stages.metrics.trials import Trials, cosine_scores
from avkd.stages.metrics.verification import (
    DetectionCost,
    ErrorRates,
    VerificationScores,
    equal_error_rate,
    error_rates,
    evaluate_trials,
    min_dcf,
)

Vector = npt.NDArray[np.float64]
Labels = npt.NDArray[np.bool_]

TARGETS = [0.9, 0.8, 0.4, 0.2]
NONTARGETS = [0.7, 0.6, 0.5, 0.3, 0.1]


def rates_of(targets: list[float], nontargets: list[float]) -> ErrorRates:
    is_target = np.repeat([True, False], [len(targets), len(nontargets)])
    return error_rates(np.array(targets + nontargets), is_target)


@st.composite
def scored_trials(draw: st.DrawFn) -> tuple[Vector, Labels]:
    """Scores from few values, so that ties within and between the kinds are common."""
    num_values = draw(st.integers(1, 12))
    value = st.integers(0, num_values - 1)
    targets = draw(st.lists(value, min_size=1, max_size=20))
    nontargets = draw(st.lists(value, min_size=1, max_size=20))
    is_target = np.repeat([True, False], [len(targets), len(nontargets)])
    return np.array(targets + nontargets, dtype=float) / 7 - 0.5, is_target


def make_people(num_speakers: int, seed: int = 0) -> tuple[Trials, Vector, dict[str, str]]:
    """Three utterances a speaker, all pairs, speakers of different clarity."""
    generator = np.random.default_rng(seed)
    voices = generator.standard_normal((num_speakers, 1, 8))
    noise = generator.uniform(0.3, 1.5, (num_speakers, 1, 1))
    utterances = (voices + noise * generator.standard_normal((num_speakers, 3, 8))).reshape(-1, 8)
    ids = [f"s{place // 3}/{place % 3}" for place in range(len(utterances))]
    pairs = [(a, b) for a in range(len(ids)) for b in range(a)]
    trials = Trials(
        enrol_ids=tuple(ids[a] for a, _ in pairs),
        test_ids=tuple(ids[b] for _, b in pairs),
        is_target=np.array([a // 3 == b // 3 for a, b in pairs]),
        source="people.txt",
    )
    scores = cosine_scores(trials, dict(zip(ids, utterances, strict=True)))
    return trials, scores, {name: name.split("/")[0] for name in ids}


def test_eer_of_a_toy_list_is_known() -> None:
    # (false accepts, misses) are (2/5, 2/4) at threshold 0.6 and (3/5, 2/4) at 0.5.
    assert equal_error_rate(rates_of(TARGETS, NONTARGETS)) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("targets", "nontargets", "eer"),
    [
        ([3, 4], [1, 2], 0.0),
        ([1, 2], [3, 4], 1.0),
        ([1, 1, 1], [1, 1], 0.5),
        # A tie of one target and one non-target: (0, 1/2) to (1/2, 0), crossing at 1/4.
        ([2, 1], [1, 0], 0.25),
        # A tie to (1/3, 1/2), then a target to (1/3, 0).
        ([5, 1], [5, 0, 0], 1 / 3),
        # (0, 1/3), then a tie of one target and two of four non-targets to (1/2, 0):
        # t / 2 = (1 - t) / 3 at t = 2/5, so that both are 1/5; no threshold has that rate.
        ([9, 8, 5], [5, 5, 1, 0], 0.2),
    ],
)
def test_eer_is_where_the_straight_roc_crosses(
    targets: list[float], nontargets: list[float], eer: float
) -> None:
    assert equal_error_rate(rates_of(targets, nontargets)) == pytest.approx(eer)


@settings(deadline=None)
@given(scored_trials())
def test_operating_points_are_those_of_scikit_learn(trials: tuple[Vector, Labels]) -> None:
    from sklearn.metrics import roc_curve

    scores, is_target = trials
    rates = error_rates(scores, is_target)
    false_accepts, hits, _ = roc_curve(is_target, scores, drop_intermediate=False)
    np.testing.assert_allclose(rates.false_accepts, false_accepts, atol=1e-12)
    np.testing.assert_allclose(rates.misses, 1 - hits, atol=1e-12)


@settings(deadline=None)
@given(scored_trials())
def test_eer_lies_between_neighbouring_points_of_scikit_learns_roc(
    trials: tuple[Vector, Labels],
) -> None:
    from sklearn.metrics import roc_curve

    scores, is_target = trials
    eer = equal_error_rate(error_rates(scores, is_target))
    false_accepts, hits, _ = roc_curve(is_target, scores, drop_intermediate=True)
    misses = 1 - hits
    after = int(np.argmax(false_accepts >= misses - 1e-12))
    assert false_accepts[after - 1] - 1e-9 <= eer <= false_accepts[after] + 1e-9
    assert misses[after] - 1e-9 <= eer <= misses[after - 1] + 1e-9
    # On the line between the two: equal shares of the way in both rates.
    way = (misses[after - 1] - eer) * (false_accepts[after] - false_accepts[after - 1])
    other = (eer - false_accepts[after - 1]) * (misses[after - 1] - misses[after])
    assert way == pytest.approx(other, abs=1e-9)


@settings(deadline=None)
@given(scored_trials())
def test_nothing_changes_when_scores_are_stretched_without_changing_their_order(
    trials: tuple[Vector, Labels],
) -> None:
    scores, is_target = trials
    rates = error_rates(scores, is_target)
    for stretched in (np.exp(3 * scores), 100 * scores - 7, scores**3):
        other = error_rates(stretched, is_target)
        assert equal_error_rate(other) == equal_error_rate(rates)
        assert min_dcf(other) == min_dcf(rates)


@settings(deadline=None)
@given(scored_trials())
def test_eer_is_the_same_when_the_two_kinds_change_roles(trials: tuple[Vector, Labels]) -> None:
    scores, is_target = trials
    eer = equal_error_rate(error_rates(scores, is_target))
    swapped = equal_error_rate(error_rates(-scores, ~is_target))
    assert swapped == pytest.approx(eer)
    assert equal_error_rate(error_rates(-scores, is_target)) == pytest.approx(1 - eer)


@settings(deadline=None)
@given(scored_trials(), st.floats(0.001, 0.999), st.floats(0.1, 10), st.floats(0.1, 10))
def test_min_dcf_is_the_cheapest_threshold_and_never_above_one(
    trials: tuple[Vector, Labels], p_target: float, c_miss: float, c_fa: float
) -> None:
    scores, is_target = trials
    found = min_dcf(
        error_rates(scores, is_target), DetectionCost(p_target=p_target, c_miss=c_miss, c_fa=c_fa)
    )
    costs = [
        c_miss * p_target * np.mean(scores[is_target] < threshold)
        + c_fa * (1 - p_target) * np.mean(scores[~is_target] >= threshold)
        for threshold in [*np.unique(scores), np.inf]
    ]
    assert found == pytest.approx(min(costs) / min(c_miss * p_target, c_fa * (1 - p_target)))
    assert 0 <= found <= 1


def test_min_dcf_is_that_of_scikit_learns_det_curve() -> None:
    from sklearn.metrics import det_curve

    trials, scores, _ = make_people(12)
    false_accepts, misses, _ = det_curve(trials.is_target, scores)
    expected = (0.05 * misses + 0.95 * false_accepts).min() / 0.05
    assert 0 < expected < 1
    found = min_dcf(error_rates(scores, trials.is_target), DetectionCost(p_target=0.05))
    assert found == pytest.approx(expected)


def test_min_dcf_of_a_toy_list_depends_on_the_prior() -> None:
    rates = rates_of(TARGETS, NONTARGETS)
    # Rare targets: accept from 0.8 on, missing 2 of 4. Cost 0.01 * 0.5 / 0.01.
    assert min_dcf(rates) == pytest.approx(0.5)
    assert min_dcf(rates) == min_dcf(rates, DetectionCost(p_target=0.01))
    # Common targets: accept from 0.2 on, taking 4 of 5 non-targets. Cost 0.1 * 0.8 / 0.1.
    assert min_dcf(rates, DetectionCost(p_target=0.9)) == pytest.approx(0.8)
    # Dear misses are as good as a large prior: 0.1 * 9 against 0.9 * 0.1.
    dear = DetectionCost(p_target=0.1, c_miss=81)
    assert min_dcf(rates, dear) == pytest.approx(min_dcf(rates, DetectionCost(p_target=0.9)))


def test_evaluation_tells_the_prior_the_counts_and_what_was_resampled() -> None:
    trials, scores, speakers = make_people(6)
    rates = error_rates(scores, trials.is_target)
    cost = DetectionCost(p_target=0.05)
    found = evaluate_trials(trials, scores, cost=cost, speakers=speakers, num_draws=200)
    assert found.eer == found.eer_interval.value == equal_error_rate(rates)
    assert found.min_dcf == found.min_dcf_interval.value == min_dcf(rates, cost)
    assert (found.p_target, found.c_miss, found.c_fa) == (0.05, 1.0, 1.0)
    assert (found.num_target, found.num_nontarget) == (18, 135)
    assert found.resampled == "speakers"
    assert evaluate_trials(trials, scores, num_draws=20).resampled == "trials"


def test_intervals_follow_the_seed_and_the_level() -> None:
    trials, scores, speakers = make_people(8)

    def evaluate(**options: float) -> VerificationScores:
        return evaluate_trials(trials, scores, speakers=speakers, num_draws=200, **options)

    assert evaluate() == evaluate()
    assert evaluate(seed=1).eer_interval != evaluate().eer_interval
    wide, narrow = evaluate().eer_interval, evaluate(level=0.5).eer_interval
    assert wide.low < narrow.low <= narrow.high < wide.high


def test_trial_interval_is_that_of_the_binomial() -> None:
    # Scores of two values that say nothing: near (1/2, 1/2) the crossing is the mean of both
    # rates, each of deviation sqrt(1/4 / n), so that its own is sqrt(1/8 / n).
    num_each = 1000
    scores = np.tile([0.0, 1.0], num_each)
    ids = tuple(str(place) for place in range(2 * num_each))
    is_target = np.repeat([True, False], [num_each, num_each])
    trials = Trials(enrol_ids=ids, test_ids=ids, is_target=is_target)
    interval = evaluate_trials(trials, scores, num_draws=2000).eer_interval
    half = 1.96 * (1 / 8 / num_each) ** 0.5
    assert interval.value == 0.5
    assert interval.low == pytest.approx(0.5 - half, abs=0.1 * half)
    assert interval.high == pytest.approx(0.5 + half, abs=0.1 * half)


def test_intervals_of_speakers_are_wider_where_speakers_recur() -> None:
    trials, scores, speakers = make_people(12)
    by_speaker = evaluate_trials(trials, scores, speakers=speakers, num_draws=300).eer_interval
    by_trial = evaluate_trials(trials, scores, num_draws=300).eer_interval
    assert by_speaker.high - by_speaker.low > by_trial.high - by_trial.low


def test_intervals_of_speakers_cover_the_rate_of_other_people() -> None:
    everyone, scores, _ = make_people(60, seed=99)
    truth = equal_error_rate(error_rates(scores, everyone.is_target))
    hits = 0
    for seed in range(40):
        trials, scores, speakers = make_people(15, seed=seed)
        found = evaluate_trials(trials, scores, speakers=speakers, num_draws=100).eer_interval
        hits += found.low <= truth <= found.high
    assert hits >= 32


def test_a_speaker_with_one_utterance_counts_in_nontargets_only() -> None:
    trials, scores, speakers = make_people(8)
    sides = zip(trials.enrol_ids, trials.test_ids, strict=True)
    kept = np.array([not {"s0/1", "s0/2"} & {*pair} for pair in sides])
    fewer = Trials(
        enrol_ids=tuple(np.array(trials.enrol_ids)[kept].tolist()),
        test_ids=tuple(np.array(trials.test_ids)[kept].tolist()),
        is_target=trials.is_target[kept],
    )
    found = evaluate_trials(fewer, scores[kept], speakers=speakers, num_draws=100)
    assert (found.num_target, found.num_nontarget) == (21, 210)
    assert found.eer_interval.low <= found.eer <= found.eer_interval.high


def test_too_few_speakers_to_resample_are_refused() -> None:
    trials = Trials(
        enrol_ids=("a1", "b1"), test_ids=("a2", "c1"), is_target=np.array([True, False])
    )
    speakers = {"a1": "a", "a2": "a", "b1": "b", "c1": "c"}
    # Only a draw of all three holds both trials: 6 of 27.
    with pytest.raises(InvalidValueError, match=r"only \d\d of 100 draws from the trials hold"):
        evaluate_trials(trials, np.array([1.0, 0.0]), speakers=speakers, num_draws=100)


def test_speakers_that_do_not_fit_the_trials_are_named() -> None:
    trials, scores, speakers = make_people(3)
    without = {name: who for name, who in speakers.items() if who != "s1"}
    with pytest.raises(CorpusError, match=r"3 utterances of people\.txt have no speaker.*'s1/0'"):
        evaluate_trials(trials, scores, speakers=without)
    wrong = replace(trials, is_target=~trials.is_target)
    with pytest.raises(CorpusError, match=r"36 labels of people\.txt contradict the speakers"):
        evaluate_trials(wrong, scores, speakers=speakers)


def test_scores_that_give_no_rates_are_refused() -> None:
    trials, scores, _ = make_people(3)
    with pytest.raises(InvalidValueError, match="35 scores for 36 trials"):
        evaluate_trials(trials, scores[1:])
    with pytest.raises(InvalidValueError, match="as many, and finite"):
        evaluate_trials(trials, np.where(scores == scores[0], np.nan, scores))
    for kind, count in ((True, 36), (False, 0)):
        same = replace(trials, is_target=np.full(36, kind))
        with pytest.raises(InvalidValueError, match=f"{count} of 36 trials are targets"):
            evaluate_trials(same, scores)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"p_target": 0.0}, r"p_target 0\.0 must be between 0 and 1"),
        ({"p_target": 1.0}, r"p_target 1\.0 must be between 0 and 1"),
        ({"c_miss": 0.0}, r"c_miss 0\.0 and c_fa 1\.0 must be above 0"),
        ({"c_fa": -1.0}, r"c_fa -1\.0 must be above 0"),
    ],
)
def test_costs_that_mean_nothing_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        DetectionCost(**options)
