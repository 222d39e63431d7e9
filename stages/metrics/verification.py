"""How well scores tell the same speaker from others: EER, minDCF and their intervals.

A threshold accepts the trials whose score reaches it. The ROC is the straight line between the
operating points of neighbouring thresholds, and the EER is where it crosses miss = false accept:
never the nearest threshold's rate.

Conventions: T trials, P operating points; scores are float (T,), larger is likelier the same
speaker. Rates are 0 to 1, not percent.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from avkd.errors import CorpusError, InvalidValueError
from avkd.stages.metrics.classification import Interval
from avkd.stages.metrics.resampling import percentile_interval
from avkd.stages.metrics.trials import Trials

Array = npt.NDArray[np.floating]
Vector = npt.NDArray[np.float64]
Labels = npt.NDArray[np.bool_]
Places = npt.NDArray[np.int64]
Draw = Callable[[np.random.Generator], Vector]
"""One resample: how often each trial (T,) counts."""


@dataclass(frozen=True, kw_only=True)
class DetectionCost:
    """What errors cost, and how often speakers are the same where the system is used.

    VoxCeleb papers print 0.01 or 0.05 for ``p_target`` (recalled): results name theirs.
    """

    p_target: float = 0.01
    c_miss: float = 1.0
    c_fa: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.p_target < 1:
            raise InvalidValueError(f"p_target {self.p_target} must be between 0 and 1")
        if not (self.c_miss > 0 and self.c_fa > 0):
            raise InvalidValueError(
                f"c_miss {self.c_miss} and c_fa {self.c_fa} must be above 0; use 1 for both"
            )


VOXCELEB_COST = DetectionCost()


@dataclass(frozen=True, kw_only=True)
class ErrorRates:
    """The operating points from accepting nothing to accepting all; ties of scores are one."""

    false_accepts: Vector
    """(P,): of the non-target trials, ascending from 0 to 1."""
    misses: Vector
    """(P,): of the target trials, descending from 1 to 0."""


@dataclass(frozen=True, kw_only=True)
class VerificationScores:
    """How well scores tell the same speaker from others; rates are 0 to 1, not percent."""

    eer: float
    min_dcf: float
    """Of the cost below, over that of the better of accepting nothing and accepting all."""
    p_target: float
    c_miss: float
    c_fa: float
    num_target: int
    num_nontarget: int
    eer_interval: Interval
    min_dcf_interval: Interval
    """Of the smallest cost within each draw, which tends to lie below that of a fixed threshold."""
    resampled: Literal["speakers", "trials"]
    """What the intervals let vary: they are too narrow where it is trials but speakers recur."""


def error_rates(scores: Array, is_target: Labels) -> ErrorRates:
    """The ROC's operating points, as scikit-learn's ``roc_curve`` gives them, none dropped.

    Raises:
        InvalidValueError: A score is not finite, or targets or non-targets are missing.
    """
    return _SortedScores(scores, is_target).error_rates(np.ones(len(scores)))


def equal_error_rate(rates: ErrorRates) -> float:
    """Where the ROC crosses miss = false accept: 0 for perfect, 0.5 for constant scores."""
    gap = rates.false_accepts - rates.misses
    # The first point accepts nothing: its gap is -1, so that there is always a point before.
    after = int(np.argmax(gap >= 0))
    share = -gap[after - 1] / (gap[after] - gap[after - 1])
    start, end = rates.false_accepts[after - 1 : after + 1]
    return float(start + share * (end - start))


def min_dcf(rates: ErrorRates, cost: DetectionCost = VOXCELEB_COST) -> float:
    """The smallest detection cost of any threshold; 1 is what accepting none, or all, costs."""
    weight_miss = cost.c_miss * cost.p_target
    weight_fa = cost.c_fa * (1 - cost.p_target)
    costs = weight_miss * rates.misses + weight_fa * rates.false_accepts
    return float(costs.min() / min(weight_miss, weight_fa))


def evaluate_trials(
    trials: Trials,
    scores: Array,
    *,
    cost: DetectionCost = VOXCELEB_COST,
    speakers: Mapping[str, str] | None = None,
    level: float = 0.95,
    num_draws: int = 1000,
    seed: int = 0,
) -> VerificationScores:
    """EER and minDCF with percentile intervals of resampled speakers, or trials without them.

    ``speakers`` gives the speaker of each utterance. A trial between speakers drawn a and b times
    counts a * b times, one within a speaker drawn a times counts a times: the pigeonhole bootstrap
    (Owen, Ann. Appl. Stat. 2007; its product weights are mildly conservative for means), here with
    one draw for both sides. Draws that hold one kind of trial only have no rates and are left out.

    Raises:
        CorpusError: ``speakers`` lacks an utterance or contradicts a label.
        InvalidValueError: Scores do not fit the trials, one kind of trial is missing, or most
            draws hold one kind only.
    """
    if len(scores) != len(trials):
        raise InvalidValueError(f"{len(scores)} scores for {len(trials)} trials; give one each")
    ordered = _SortedScores(scores, trials.is_target)
    weights = _drawn_weights(trials, speakers, num_draws, np.random.default_rng(seed))
    drawn = np.array([_summary(ordered.error_rates(each), cost) for each in weights])
    if 2 * len(drawn) < num_draws:
        raise InvalidValueError(
            f"only {len(drawn)} of {num_draws} draws from {trials.source} hold trials of both "
            "kinds; use more speakers, or resample trials by leaving out speakers"
        )
    eer, cheapest = _summary(ordered.error_rates(np.ones(len(trials))), cost)
    return VerificationScores(
        eer=eer,
        min_dcf=cheapest,
        p_target=cost.p_target,
        c_miss=cost.c_miss,
        c_fa=cost.c_fa,
        num_target=int(trials.is_target.sum()),
        num_nontarget=int((~trials.is_target).sum()),
        eer_interval=percentile_interval(eer, drawn[:, 0], level),
        min_dcf_interval=percentile_interval(cheapest, drawn[:, 1], level),
        resampled="trials" if speakers is None else "speakers",
    )


class _SortedScores:
    """Trials sorted once, so that a draw of the bootstrap only has to sum its weights."""

    def __init__(self, scores: Array, is_target: Labels) -> None:
        if len(scores) != len(is_target) or not np.isfinite(scores).all():
            raise InvalidValueError(
                f"{len(scores)} scores for {len(is_target)} labels must be as many, and finite"
            )
        if is_target.all() or not is_target.any():
            raise InvalidValueError(
                f"{is_target.sum()} of {len(is_target)} trials are targets; error rates need "
                "targets and non-targets"
            )
        self._order = np.argsort(-scores, kind="stable")
        self._is_target = is_target[self._order]
        ordered = scores[self._order]
        # Trials of equal scores are accepted together.
        self._last_of_ties = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))

    def error_rates(self, weights: Vector) -> ErrorRates:
        """The operating points where trial t counts ``weights[t]`` times."""
        ordered = weights[self._order]
        accepted = self._accepted(np.where(self._is_target, 0.0, ordered))
        found = self._accepted(np.where(self._is_target, ordered, 0.0))
        return ErrorRates(false_accepts=accepted, misses=1 - found)

    def _accepted(self, weights: Vector) -> Vector:
        sums = np.concatenate([[0.0], np.cumsum(weights)[self._last_of_ties]])
        shares: Vector = sums / sums[-1]
        return shares


def _summary(rates: ErrorRates, cost: DetectionCost) -> tuple[float, float]:
    return equal_error_rate(rates), min_dcf(rates, cost)


def _drawn_weights(
    trials: Trials,
    speakers: Mapping[str, str] | None,
    num_draws: int,
    generator: np.random.Generator,
) -> Iterator[Vector]:
    """How often each trial (T,) counts, for each draw that holds both kinds of trials."""
    draw = _trial_draw(len(trials)) if speakers is None else _speaker_draw(trials, speakers)
    for _ in range(num_draws):
        weights = draw(generator)
        if weights[trials.is_target].any() and weights[~trials.is_target].any():
            yield weights


def _trial_draw(num_trials: int) -> Draw:
    def draw(generator: np.random.Generator) -> Vector:
        chosen = generator.integers(num_trials, size=num_trials)
        return np.bincount(chosen, minlength=num_trials).astype(np.float64)

    return draw


def _speaker_draw(trials: Trials, speakers: Mapping[str, str]) -> Draw:
    enrol, test = _speaker_places(trials, speakers)
    num_speakers = int(max(enrol.max(), test.max())) + 1
    same = enrol == test

    def draw(generator: np.random.Generator) -> Vector:
        chosen = generator.integers(num_speakers, size=num_speakers)
        counts = np.bincount(chosen, minlength=num_speakers).astype(np.float64)
        weights: Vector = np.where(same, counts[enrol], counts[enrol] * counts[test])
        return weights

    return draw


def _speaker_places(trials: Trials, speakers: Mapping[str, str]) -> tuple[Places, Places]:
    """(T,) and (T,): the number of the speaker on each side, in order of appearance."""
    unknown = [name for name in trials.enrol_ids + trials.test_ids if name not in speakers]
    if unknown:
        raise CorpusError(
            f"{len(set(unknown))} utterances of {trials.source} have no speaker, such as "
            f"{unknown[0]!r}; name theirs, or resample trials by leaving out speakers"
        )
    names = [speakers[name] for name in trials.enrol_ids + trials.test_ids]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    enrol, test = np.array([numbers[name] for name in names], dtype=np.int64).reshape(2, -1)
    wrong = np.flatnonzero((enrol == test) != trials.is_target)
    if len(wrong):
        first = int(wrong[0])
        raise CorpusError(
            f"{len(wrong)} labels of {trials.source} contradict the speakers, such as that of "
            f"{trials.enrol_ids[first]!r} and {trials.test_ids[first]!r}; correct one of the two"
        )
    return enrol, test
