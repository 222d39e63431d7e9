"""How well the classes of clips are found where a clip may have several.

Ranking measures (average precision, AUC) are means over classes; decisions at a threshold are
counted over all clips and classes together (micro). Classes for which a measure does not exist
are left out of its mean and named.

Conventions: N clips, K classes; scores are float (N, K), labels (N, K) of 0 and 1.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from avkd.errors import InvalidValueError

Array = npt.NDArray[np.floating]
Labels = npt.NDArray[np.integer] | npt.NDArray[np.floating] | npt.NDArray[np.bool_]
Hits = npt.NDArray[np.bool_]
Scale = Literal["probabilities", "logits"]


@dataclass(frozen=True, kw_only=True)
class TaggingScores:
    """How well a tagger does on clips; every number but d-prime is 0 to 1."""

    mean_average_precision: float
    """mAP: over the classes with a positive clip, as many counts as classes."""
    mean_auc: float
    """Of the ROC, over the classes with a positive and a negative clip; NaN where there is none."""
    d_prime: float
    """Of the mean AUC; infinite where that is 1."""
    micro_f1: float
    micro_precision: float
    """0 where nothing was predicted."""
    micro_recall: float
    threshold: float
    """Probabilities above it are predictions."""
    num_clips: int
    average_precisions: Mapping[str, float]
    """By class, those with a positive clip."""
    absent_classes: tuple[str, ...]
    """Of no clip: they count in the micro measures only."""
    universal_classes: tuple[str, ...]
    """Of every clip: they have no AUC."""
    unpredicted_classes: tuple[str, ...]
    """Never predicted at the threshold; present or not."""


@dataclass(frozen=True, kw_only=True)
class MicroCounts:
    """Decisions over all clips and classes, against the labels."""

    precision: float
    recall: float
    f1: float


def evaluate_tagging(
    scores: Array,
    labels: Labels,
    class_names: Sequence[str],
    *,
    scale: Scale = "probabilities",
    threshold: float = 0.5,
) -> TaggingScores:
    """Measure scores (N, K) against labels (N, K).

    ``threshold`` is a probability for logits as well. Ranks are taken from the scores as they are:
    a sigmoid that saturates would make ties.

    Raises:
        InvalidValueError: Shapes differ, labels are not 0 or 1, scores are not finite or not
            probabilities, the threshold is not between 0 and 1, or no class has a positive clip.
    """
    _require_tags(scores, labels, class_names, scale)
    truth = np.asarray(labels) == 1
    predicted: Hits = scores > _cut(scale, threshold)
    present, universal = truth.any(axis=0), truth.all(axis=0)
    average_precisions = _average_precisions(scores, truth, present)
    auc = _mean_auc(scores, truth, present & ~universal)
    counts = micro_counts(predicted, truth)

    def named(chosen: Hits) -> tuple[str, ...]:
        return tuple(class_names[place] for place in np.flatnonzero(chosen).tolist())

    return TaggingScores(
        mean_average_precision=float(np.mean(average_precisions)),
        mean_auc=auc,
        d_prime=d_prime(auc),
        micro_f1=counts.f1,
        micro_precision=counts.precision,
        micro_recall=counts.recall,
        threshold=threshold,
        num_clips=len(scores),
        average_precisions=dict(zip(named(present), average_precisions, strict=True)),
        absent_classes=named(~present),
        universal_classes=named(universal),
        unpredicted_classes=named(np.asarray(~predicted.any(axis=0))),
    )


def micro_counts(predicted: Hits, truth: Hits) -> MicroCounts:
    """Precision, recall and F1 of all decisions together; 0 where a denominator is."""
    num_right = int((predicted & truth).sum())
    num_predicted, num_true = int(predicted.sum()), int(truth.sum())
    return MicroCounts(
        precision=num_right / max(num_predicted, 1),
        recall=num_right / max(num_true, 1),
        f1=2 * num_right / max(num_predicted + num_true, 1),
    )


def d_prime(auc: float) -> float:
    """How far apart two unit Gaussians lie whose AUC that is: sqrt(2) times the normal quantile.

    Tables of AudioSet give that of the mean AUC, not the mean of each class's (derived: the
    printed pairs of both agree only so).
    """
    from scipy.special import ndtri

    return float(math.sqrt(2) * ndtri(auc))


def _average_precisions(scores: Array, truth: Hits, chosen: Hits) -> list[float]:
    from sklearn.metrics import average_precision_score

    places = np.flatnonzero(chosen)
    return [float(average_precision_score(truth[:, k], scores[:, k])) for k in places]


def _mean_auc(scores: Array, truth: Hits, chosen: Hits) -> float:
    from sklearn.metrics import roc_auc_score

    places = np.flatnonzero(chosen)
    if not len(places):
        return math.nan
    return float(np.mean([roc_auc_score(truth[:, k], scores[:, k]) for k in places]))


def _cut(scale: Scale, threshold: float) -> float:
    if not 0 < threshold < 1:
        raise InvalidValueError(f"threshold {threshold} must be between 0 and 1, such as 0.5")
    return threshold if scale == "probabilities" else math.log(threshold / (1 - threshold))


def _require_tags(scores: Array, labels: Labels, class_names: Sequence[str], scale: Scale) -> None:
    if scores.ndim != 2 or scores.shape != labels.shape or scores.shape[1] != len(class_names):
        raise InvalidValueError(
            f"scores {scores.shape}, labels {labels.shape} and {len(class_names)} class names do "
            "not fit; give (N, K), (N, K) and K"
        )
    strange = np.unique(labels[(labels != 0) & (labels != 1)])
    if len(strange):
        raise InvalidValueError(
            f"labels hold {strange[0]}, but must be 0 or 1; leave out clips without labels"
        )
    if not np.isfinite(scores).all():
        raise InvalidValueError("scores must be finite; look for the clips whose scores are not")
    if scale == "probabilities" and scores.size and (scores.min() < 0 or scores.max() > 1):
        raise InvalidValueError(
            f"scores from {scores.min():.3g} to {scores.max():.3g} are no probabilities; "
            "say that they are logits"
        )
    if not (labels == 1).any():
        raise InvalidValueError(
            f"none of {len(labels)} clips has a class; mAP needs at least one positive"
        )
