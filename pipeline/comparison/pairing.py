"""Two groups of runs against each other: over the clips that both predicted, and over seeds.

Conventions: N clips or trials; differences are those of the candidate over the baseline.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np

from avkd.pipeline.comparison.bootstrap import choose_draw, compare_measures
from avkd.pipeline.comparison.measured import Protocol, Scored
from avkd.pipeline.comparison.measures import build_measure
from avkd.pipeline.evaluation.row_files import read_predictions
from avkd.stages.metrics.comparison import (
    ClipComparison,
    SeedComparison,
    compare_clips,
    compare_seeds,
)


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A group, or a stored teacher, as one side of a comparison."""

    name: str
    scored: tuple[Scored, ...]
    """By run."""
    seeds: tuple[int, ...]
    """Of the runs, in the same order."""


@dataclass(frozen=True, kw_only=True)
class PairedScores:
    """A candidate against the baseline in one metric."""

    candidate: str
    baseline: str
    metric: str
    over_clips: ClipComparison | None
    over_seeds: SeedComparison | None
    notes: tuple[str, ...]
    """Why one of them is missing, or what of the clips is left out."""


@dataclass(frozen=True, kw_only=True)
class _Table:
    """Predictions of a run by what identifies a line."""

    columns: dict[str, list[Any]]
    class_names: tuple[str, ...]
    places: dict[tuple[object, ...], int]


def compare_pair(
    baseline: Contender, candidate: Contender, protocol: Protocol, metric: str
) -> PairedScores:
    """Pair by clip and by seed; what cannot be paired is told in the notes.

    Raises:
        CorruptStoreError: Predictions are missing or damaged.
    """
    notes: list[str] = []
    over_clips = _compare_clips(baseline, candidate, protocol, metric, notes)
    return PairedScores(
        candidate=candidate.name,
        baseline=baseline.name,
        metric=metric,
        over_clips=over_clips,
        over_seeds=_compare_seeds(baseline, candidate, metric, notes),
        notes=tuple(notes),
    )


def _compare_seeds(
    baseline: Contender, candidate: Contender, metric: str, notes: list[str]
) -> SeedComparison | None:
    """Run by run of one seed; what is one run only is set against every seed of the other."""
    sides = [_by_seed(side, metric) for side in (baseline, candidate)]
    longest = max(sides, key=len)
    for number, who in enumerate(("the baseline", "it")):
        if len(sides[number]) == 1 and len(longest) > 1:
            notes.append(f"{who} is one run, which is set against every seed of the other")
            sides[number] = dict.fromkeys(longest, next(iter(sides[number].values())))
    common = sorted(sides[0].keys() & sides[1].keys())
    if len(common) < 2:
        notes.append(f"{len(common)} seeds in common: two are needed for a test over seeds")
        return None
    if len(common) < len(longest):
        notes.append(f"only seeds {', '.join(map(str, common))} are paired")
    return compare_seeds(*([side[seed] for seed in common] for side in sides))


def _by_seed(side: Contender, metric: str) -> dict[int, float]:
    values = zip(side.seeds, (each.metrics[metric] for each in side.scored), strict=True)
    return {seed: value for seed, value in values if isfinite(value)}


def _compare_clips(
    baseline: Contender,
    candidate: Contender,
    protocol: Protocol,
    metric: str,
    notes: list[str],
) -> ClipComparison | None:
    if any(each.predictions is None for each in (*baseline.scored, *candidate.scored)):
        notes.append("probes, boxes and class maps have no predictions by clip: no test over clips")
        return None
    sides = [[_read_table(each, protocol) for each in s.scored] for s in (baseline, candidate)]
    tables = [table for side in sides for table in side]
    common = [key for key in tables[0].places if all(key in each.places for each in tables)]
    most = max(len(each.places) for each in tables)
    if len(common) < most:
        notes.append(f"clips differ: {len(common)} of {most} are in all runs and are paired")
    if len(common) < 2:
        return None
    chosen = [[_take(table, common) for table in side] for side in sides]
    return _bootstrap(chosen[0], chosen[1], protocol, metric, notes)


def _bootstrap(
    baseline: Sequence[_Table],
    candidate: Sequence[_Table],
    protocol: Protocol,
    metric: str,
    notes: list[str],
) -> ClipComparison | None:
    columns = baseline[0].columns
    if metric == "accuracy":
        sides = [np.array([t.columns["correct"] for t in s], float) for s in (baseline, candidate)]
        recordings = columns["recording_id"]
        groups = recordings if len(set(recordings)) > 1 else None
        return compare_clips(sides[0], sides[1], recordings=groups)
    measures = [
        [
            build_measure(protocol.kind, metric, t.columns, t.class_names, protocol.p_target)
            for t in side
        ]
        for side in (baseline, candidate)
    ]
    known = [[each for each in side if each is not None] for side in measures]
    if any(len(side) < len(all_) for side, all_ in zip(known, measures, strict=True)):
        notes.append(f"{metric} cannot be resampled: no test over clips")
        return None
    draw, num_units = choose_draw(columns)
    return compare_measures(known[0], known[1], draw, num_units, len(next(iter(columns.values()))))


def _read_table(scored: Scored, protocol: Protocol) -> _Table:
    assert scored.predictions is not None
    columns, class_names = read_predictions(scored.predictions)
    keys: Iterable[tuple[object, ...]]
    if protocol.kind == "verification":
        # The list is the same; one pair may come up in it more than once.
        keys = zip(
            range(len(columns["score"])), columns["enrol_id"], columns["test_id"], strict=True
        )
    else:
        # With its label: a clip that was labelled anew is another question.
        keys = zip(columns["clip_id"], columns["label"], strict=True)
    places = {key: place for place, key in enumerate(keys)}
    return _Table(columns=columns, class_names=class_names, places=places)


def _take(table: _Table, keys: Sequence[tuple[object, ...]]) -> _Table:
    places = [table.places[key] for key in keys]
    columns = {name: [values[p] for p in places] for name, values in table.columns.items()}
    return _Table(columns=columns, class_names=table.class_names, places={})
