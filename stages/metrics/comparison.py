"""Is one system better than another: over the same clips, and over the same seeds.

The bootstrap over clips asks whether the difference would hold on other clips of the same kind;
the tests over seeds ask whether it would hold for other runs of training. Neither answers for the
other. Differences are those of the candidate over the baseline.

Conventions: S seeds, N clips, G groups of clips; values are float (N,) or (S, N), one number a
clip such as 1 for a hit.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avkd.errors import InvalidValueError
from avkd.stages.metrics.classification import Interval, SeedSummary, summarise_seeds
from avkd.stages.metrics.resampling import percentile_interval

Array = npt.NDArray[np.floating]
Vector = npt.NDArray[np.float64]

NUMBERS_AT_ONCE = 2**22
"""Bounds the memory of the draws; no result depends on it."""
NUM_SIGN_FLIPS = 9999
"""Sign flips are all tried up to this many: exact up to 13 seeds, drawn at random above."""
ROUNDING = 1e-9
"""Differences whose spread is below this share of the values differ by rounding only."""


@dataclass(frozen=True, kw_only=True)
class ClipComparison:
    """The difference of two systems on the same clips."""

    difference: Interval
    """Of the means over clips and seeds, candidate less baseline."""
    p_value: float
    """Two-sided, at least 2 / (draws + 1); it is below ``1 - level`` where the interval leaves
    out 0, but for rounding of draws."""
    num_clips: int
    num_groups: int
    """What was drawn: clips, or recordings of clips."""
    num_seeds: int
    """Of the system with fewer."""
    resampled_seeds: bool


@dataclass(frozen=True, kw_only=True)
class SeedComparison:
    """The difference of two systems over runs that are paired by seed."""

    difference: SeedSummary
    """Candidate less baseline, seed by seed."""
    t_p_value: float | None
    """Of the paired t-test, two-sided; None where all differences are equal, as t has none."""
    sign_flip_p_value: float
    """Of the sign-flip permutation test, two-sided: never below 2 / 2^n for n seeds, so that five
    seeds cannot reach 0.05."""


def compare_clips(
    baseline: Array,
    candidate: Array,
    *,
    recordings: Sequence[str] | None = None,
    resample_seeds: bool = False,
    level: float = 0.95,
    num_draws: int = 10_000,
    seed: int = 0,
) -> ClipComparison:
    """The paired bootstrap of two systems over per-clip values (N,) or (S, N).

    Clips are drawn with replacement, the same for both systems, or whole ``recordings`` where
    their names (N,) are given: clips of one recording are not independent. Values are averaged
    over seeds, unless ``resample_seeds`` draws those as well, in pairs.

    Raises:
        InvalidValueError: Values differ in clips, are not finite, or are of less than two clips
            or recordings; seeds to be drawn do not pair up, or are less than two.
    """
    rows = _seed_rows(baseline, candidate, resample_seeds)
    groups = _group_numbers(rows.shape[1], recordings)
    sums = np.stack([np.bincount(groups, weights=row) for row in rows]).astype(np.float64)
    sizes = np.bincount(groups).astype(np.float64)
    draws = _draw_means(sums, sizes, num_draws, np.random.default_rng(seed))
    below, above = int((draws <= 0).sum()), int((draws >= 0).sum())
    return ClipComparison(
        difference=percentile_interval(float(rows.mean()), draws, level),
        p_value=min(1.0, 2 * (1 + min(below, above)) / (num_draws + 1)),
        num_clips=rows.shape[1],
        num_groups=len(sizes),
        num_seeds=min(np.atleast_2d(values).shape[0] for values in (baseline, candidate)),
        resampled_seeds=resample_seeds,
    )


def compare_seeds(
    baseline: Sequence[float], candidate: Sequence[float], *, seed: int = 0
) -> SeedComparison:
    """Paired tests of one number a run, where run i of both systems has the same seed.

    The t-test takes differences for Gaussian, the sign-flip test for symmetric only. ``seed``
    matters above 13 runs, where flips are drawn.

    Raises:
        InvalidValueError: The numbers of runs differ, are less than two, or one is not finite.
    """
    first, second = np.asarray(baseline, np.float64), np.asarray(candidate, np.float64)
    if first.shape != second.shape or first.ndim != 1 or len(first) < 2:
        raise InvalidValueError(
            f"{len(first)} and {len(second)} runs do not pair up; give two or more of each"
        )
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise InvalidValueError("a run's number is not finite; leave its seed out of both systems")
    return SeedComparison(
        difference=summarise_seeds((second - first).tolist()),
        t_p_value=_t_test(first, second),
        sign_flip_p_value=_sign_flip_test(first, second, seed),
    )


def _t_test(first: Vector, second: Vector) -> float | None:
    from scipy.stats import ttest_rel

    scale = max(np.abs(first).max(), np.abs(second).max())
    if np.ptp(second - first) <= ROUNDING * scale:
        return None
    return float(ttest_rel(second, first).pvalue)


def _sign_flip_test(first: Vector, second: Vector, seed: int) -> float:
    from scipy.stats import permutation_test

    def mean_difference(one: Vector, other: Vector, axis: int) -> Vector:
        means: Vector = np.mean(one - other, axis=axis)
        return means

    # Exchanging the runs of a pair flips the sign of its difference.
    test = permutation_test(
        (second, first),
        mean_difference,
        permutation_type="samples",
        vectorized=True,
        n_resamples=NUM_SIGN_FLIPS,
        batch=1000,
        rng=np.random.default_rng(seed),
    )
    return float(test.pvalue)


def _seed_rows(baseline: Array, candidate: Array, resample_seeds: bool) -> Vector:
    """(S, N): the differences of each pair of seeds to be drawn, or (1, N) of their means."""
    first, second = (np.atleast_2d(values).astype(np.float64) for values in (baseline, candidate))
    if first.shape[1] != second.shape[1] or first.shape[1] < 2:
        raise InvalidValueError(
            f"values of {first.shape[1]} and {second.shape[1]} clips do not pair up; "
            "give both systems the same clips, two or more"
        )
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise InvalidValueError("a clip's value is not finite; leave it out of both systems")
    if not resample_seeds:
        return np.atleast_2d(second.mean(axis=0) - first.mean(axis=0))
    if len(first) != len(second) or len(first) < 2:
        raise InvalidValueError(
            f"{len(first)} and {len(second)} seeds cannot be drawn in pairs; give two or more "
            "of each, or average over seeds"
        )
    return np.subtract(second, first)


def _group_numbers(num_clips: int, recordings: Sequence[str] | None) -> npt.NDArray[np.int64]:
    if recordings is None:
        return np.arange(num_clips)
    if len(recordings) != num_clips:
        raise InvalidValueError(f"{len(recordings)} recordings for {num_clips} clips; name each")
    names, groups = np.unique(np.asarray(recordings), return_inverse=True)
    if len(names) < 2:
        raise InvalidValueError(
            f"all {num_clips} clips are of recording {str(names[0])!r}; draw from two or more"
        )
    return groups.astype(np.int64)


def _draw_means(
    sums: Vector, sizes: Vector, num_draws: int, generator: np.random.Generator
) -> Vector:
    """(num_draws,): the mean difference of each draw of groups, and of seeds if there are several.

    ``sums`` (S, G) and ``sizes`` (G,) are of the groups.
    """
    num_seeds, num_groups = sums.shape
    for_groups, for_seeds = generator.spawn(2)
    means: list[Vector] = []
    at_once = max(NUMBERS_AT_ONCE // sums.size, 1)
    for start in range(0, num_draws, at_once):
        size = min(at_once, num_draws - start)
        chosen = for_groups.integers(num_groups, size=(size, num_groups))
        per_seed = sums[:, chosen].sum(axis=2) / sizes[chosen].sum(axis=1)
        seeds = for_seeds.integers(num_seeds, size=(size, num_seeds))
        means.append(np.take_along_axis(per_seed.T, seeds, axis=1).mean(axis=1))
    return np.concatenate(means)
