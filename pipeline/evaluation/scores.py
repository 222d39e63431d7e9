"""A linear probe over the trials of a dataset, and what it scored.

Conventions: N clips; features are (N, D), or maps (N, C, T) for the probe over windows.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import log

import numpy as np
import numpy.typing as npt

from avkd.pipeline.evaluation.features import Features
from avkd.pipeline.evaluation.trials import Trial
from avkd.stages.metrics.classification import (
    accuracy,
    bootstrap_accuracy,
    confusion_matrix,
    summarise_seeds,
)
from avkd.stages.metrics.probe import Labels, Probe, Scores, pooled_probe, window_probe

ProbeAt = Callable[[float], Probe]
"""C to a probe with that C."""

POOLED_STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
WINDOW_STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0)
POOLED_STRENGTH = 0.1
"""Of the probe over pooled, standardised features where no clips are set aside to choose it."""


@dataclass(frozen=True, kw_only=True)
class ProbeKind:
    """How features are probed."""

    at: ProbeAt
    strengths: tuple[float, ...]
    """Tried on validation clips."""
    default: float
    """Without any."""


@dataclass(frozen=True, kw_only=True)
class TrialResult:
    """Predictions for the test clips of one trial."""

    trial: Trial
    predictions: Labels
    strength: float | None = None


@dataclass(frozen=True, kw_only=True)
class ProbeScore:
    """How well some features tell the classes, over seeds and trials."""

    features: str
    """``distilled``, ``random``, ``scratch``, ``mfcc``, or with ``_softmax``: a trained head."""
    layer: str
    labels_per_class: int
    """Training labels of each class; 0 is all."""
    mean: float
    """Accuracy, 0 to 1: mean over seeds of the mean over trials."""
    sd: float
    """Over seeds; 0 for a single one."""
    accuracies: tuple[float, ...]
    """By seed."""
    trial_accuracies: Mapping[str, float]
    """By fold left out, or ``test``: mean over seeds."""
    trial_sd: float
    """Over trials; 0 for a single one."""
    low: float
    high: float
    """The 95 % interval that resampling the test clips gives the first seed."""
    confusion: tuple[tuple[int, ...], ...]
    """(label, prediction): counts over all seeds."""
    class_accuracies: tuple[float, ...]
    """By class, over all seeds; nan for a class without test clips."""


def pooled_kind() -> ProbeKind:
    """Logistic regression on one vector a clip."""

    def at(strength: float) -> Probe:
        return lambda train, labels, test: pooled_probe(
            np.asarray(train), labels, np.asarray(test), strengths=(strength,)
        )

    return ProbeKind(at=at, strengths=POOLED_STRENGTHS, default=POOLED_STRENGTH)


def window_kind(window_seconds: float, clip_seconds: float, cost: float) -> ProbeKind:
    """SoundNet's linear SVM over windows of columns."""

    def at(strength: float) -> Probe:
        return partial(
            window_probe,
            window_seconds=window_seconds,
            clip_seconds=clip_seconds,
            strength=strength,
        )

    return ProbeKind(at=at, strengths=WINDOW_STRENGTHS, default=cost)


def run_probe(kind: ProbeKind, features: Features, labels: Labels, trial: Trial) -> TrialResult:
    """Fit on the trial's training clips, with the C that does best on its validation clips."""
    strength = _choose_strength(kind, features, labels, trial)
    scores = _fit(kind, strength, features, labels, trial.train, trial.test)
    return TrialResult(trial=trial, predictions=scores.predictions, strength=strength)


def summarise(
    features: str,
    layer: str,
    labels_per_class: int,
    results: Sequence[Sequence[TrialResult]],
    labels: Labels,
    num_classes: int,
) -> ProbeScore:
    """Combine the results of trials, a sequence for each seed."""
    by_seed = [[accuracy(r.predictions, labels[r.trial.test]) for r in seed] for seed in results]
    by_trial = np.mean(by_seed, axis=0)
    seeds = summarise_seeds([float(np.mean(accuracies)) for accuracies in by_seed])
    interval = bootstrap_accuracy(*_all_pairs([results[0]], labels))
    confusion = confusion_matrix(*_all_pairs(results, labels), num_classes)
    counts = confusion.sum(axis=1)
    hits = np.diagonal(confusion)
    return ProbeScore(
        features=features,
        layer=layer,
        labels_per_class=labels_per_class,
        mean=seeds.mean,
        sd=seeds.sd,
        accuracies=tuple(float(np.mean(accuracies)) for accuracies in by_seed),
        trial_accuracies={
            r.trial.name: float(value) for r, value in zip(results[0], by_trial, strict=True)
        },
        trial_sd=summarise_seeds(by_trial.tolist()).sd,
        low=interval.low,
        high=interval.high,
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        class_accuracies=tuple(
            float(hit / count) if count else float("nan")
            for hit, count in zip(hits, counts, strict=True)
        ),
    )


def _choose_strength(kind: ProbeKind, features: Features, labels: Labels, trial: Trial) -> float:
    if not len(trial.validation):
        return kind.default
    scores = {}
    for strength in kind.strengths:
        fitted = _fit(kind, strength, features, labels, trial.train, trial.validation)
        scores[strength] = accuracy(fitted.predictions, labels[trial.validation])
    # Few validation clips often tie: then the one nearest to the default.
    return max(scores, key=lambda c: (scores[c], -abs(log(c / kind.default))))


def _fit(
    kind: ProbeKind,
    strength: float,
    features: Features,
    labels: Labels,
    train: npt.NDArray[np.int64],
    test: npt.NDArray[np.int64],
) -> Scores:
    return kind.at(strength)(features[train], labels[train], features[test])


def _all_pairs(results: Sequence[Sequence[TrialResult]], labels: Labels) -> tuple[Labels, Labels]:
    """Predictions and labels of all test clips."""
    flat = [result for seed in results for result in seed]
    predictions = np.concatenate([result.predictions for result in flat])
    return predictions, np.concatenate([labels[result.trial.test] for result in flat])
