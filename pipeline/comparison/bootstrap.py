"""The paired bootstrap of metrics that are no mean over clips, such as mAP or EER.

Whole recordings of clips are drawn, or speakers of trials, the same for both sides; the metric is
computed anew for every draw.

Conventions: N clips or trials.
"""

from collections.abc import Callable, Sequence
from math import isfinite
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from avkd.errors import InvalidValueError
from avkd.pipeline.comparison.measures import Measure, Vector
from avkd.stages.metrics.comparison import ClipComparison
from avkd.stages.metrics.resampling import percentile_interval

Draw: TypeAlias = Callable[[np.random.Generator], Vector]
"""How often each clip or trial (N,) is drawn."""

NUM_DRAWS = 2000


def compare_measures(
    baseline: Sequence[Measure],
    candidate: Sequence[Measure],
    draw: Draw,
    num_units: int,
    num_clips: int,
    *,
    level: float = 0.95,
    num_draws: int = NUM_DRAWS,
    seed: int = 0,
) -> ClipComparison:
    """The paired bootstrap of a metric that is computed anew for every draw.

    The metric is averaged over the runs of a side. Draws for which it does not exist are left out.

    Raises:
        InvalidValueError: That is more than half of them.
    """
    generator = np.random.default_rng(seed)
    drawn = [_difference(baseline, candidate, draw(generator)) for _ in range(num_draws)]
    draws = np.array([value for value in drawn if isfinite(value)])
    if 2 * len(draws) < num_draws:
        raise InvalidValueError(
            f"the metric exists for {len(draws)} of {num_draws} draws only; compare more clips, "
            "or another metric"
        )
    below, above = int((draws <= 0).sum()), int((draws >= 0).sum())
    value = _difference(baseline, candidate, np.ones(num_clips))
    return ClipComparison(
        difference=percentile_interval(value, draws, level),
        p_value=min(1.0, 2 * (1 + min(below, above)) / (len(draws) + 1)),
        num_clips=num_clips,
        num_groups=num_units,
        num_seeds=min(len(baseline), len(candidate)),
        resampled_seeds=False,
    )


def _difference(baseline: Sequence[Measure], candidate: Sequence[Measure], counts: Vector) -> float:
    means = [np.mean([measure(counts) for measure in side]) for side in (candidate, baseline)]
    return float(means[0] - means[1])


def choose_draw(columns: dict[str, list[Any]]) -> tuple[Draw, int]:
    """Recordings of clips; speakers of trials, or the trials where speakers are not known."""
    if "recording_id" in columns:
        units = _number(columns["recording_id"])
        return _draw_units(units, units), int(units.max()) + 1
    speakers = [*columns["enrol_speaker"], *columns["test_speaker"]]
    if None in speakers:
        trials = np.arange(len(columns["score"]))
        return _draw_units(trials, trials), len(trials)
    units = _number(speakers)
    half = len(units) // 2
    return _draw_units(units[:half], units[half:]), int(units.max()) + 1


def _draw_units(first: npt.NDArray[np.int64], second: npt.NDArray[np.int64]) -> Draw:
    """A clip counts as often as its unit; a trial of two speakers as often as both of them."""
    num_units = int(max(first.max(), second.max())) + 1
    same = first == second

    def draw(generator: np.random.Generator) -> Vector:
        times = np.bincount(generator.integers(num_units, size=num_units), minlength=num_units)
        return np.where(same, times[first], times[first] * times[second]).astype(np.float64)

    return draw


def _number(names: Sequence[str]) -> npt.NDArray[np.int64]:
    return np.unique(np.asarray(names), return_inverse=True)[1].astype(np.int64)
