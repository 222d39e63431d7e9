"""Predictions of rows to numbers: by class, by several classes, or by trials.

Conventions: N rows, K classes.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from avkd.errors import CorpusError, InvalidValueError
from avkd.pipeline.evaluation.row_predictions import RowPredictions
from avkd.pipeline.training.labels import encode_class, encode_classes, split_label
from avkd.stages.metrics.classification import (
    Interval,
    bootstrap_accuracy,
    confusion_matrix,
)
from avkd.stages.metrics.tagging import evaluate_tagging
from avkd.stages.metrics.trials import Trials
from avkd.stages.metrics.verification import DetectionCost, evaluate_trials

ScoreKind: TypeAlias = Literal["class", "classes", "verification"]


@dataclass(frozen=True, kw_only=True)
class RowScores:
    """How well something predicts rows."""

    name: str
    """``student``, or the name of the stored teacher."""
    num_rows: int
    num_left_out: int
    """Rows with a label, or of a trial, that lack what is needed to predict them."""
    metrics: Mapping[str, float]
    """The one to compare by first."""
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    """Of some of the metrics, by resampling."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What else belongs to the kind of scores, such as the confusion matrix."""


def score_class(name: str, said: RowPredictions) -> RowScores:
    """Accuracy with its interval, its mean over classes, and the confusion matrix.

    Raises:
        CorpusError: A label is not a class of what predicts.
    """
    _require_known(name, said)
    labels, predictions = encode_class(said.labels, said.class_names), predict_class(said)
    confusion = confusion_matrix(predictions, labels, len(said.class_names))
    counts = confusion.sum(axis=1)
    present, absent = np.flatnonzero(counts), np.flatnonzero(counts == 0)
    by_class = np.diagonal(confusion)[present] / counts[present]
    interval = bootstrap_accuracy(predictions, labels)
    return RowScores(
        name=name,
        num_rows=len(said),
        num_left_out=said.num_left_out,
        metrics={"accuracy": interval.value, "macro_accuracy": float(by_class.mean())},
        intervals={"accuracy": interval},
        details={
            "class_names": said.class_names,
            "confusion": confusion.tolist(),
            "class_accuracies": dict(zip(_names_at(said, present), by_class.tolist(), strict=True)),
            "absent_classes": _names_at(said, absent),
            "unpredicted_classes": _names_at(said, np.flatnonzero(confusion.sum(axis=0) == 0)),
        },
    )


def score_classes(name: str, said: RowPredictions) -> RowScores:
    """mAP, micro-F1, precision, recall and d-prime.

    Raises:
        CorpusError: A label is not a class of what predicts.
    """
    _require_known(name, said)
    truth = encode_classes(said.labels, said.class_names)
    scores = evaluate_tagging(said.logits, truth, said.class_names, scale="logits")
    return RowScores(
        name=name,
        num_rows=len(said),
        num_left_out=said.num_left_out,
        metrics={
            "mAP": scores.mean_average_precision,
            "micro_f1": scores.micro_f1,
            "micro_precision": scores.micro_precision,
            "micro_recall": scores.micro_recall,
            "d_prime": scores.d_prime,
        },
        details={"class_names": said.class_names, **asdict(scores)},
    )


def score_trials(
    name: str,
    trials: Trials,
    scores: npt.NDArray[np.float64],
    said: RowPredictions,
    *,
    cost: DetectionCost,
    speakers: Mapping[str, str] | None,
    scoring: str,
) -> RowScores:
    """EER and minDCF of trials' scores (T,), with intervals of resampled speakers or trials.

    ``scoring`` names how the scores came about.
    """
    found = evaluate_trials(trials, scores, cost=cost, speakers=speakers)
    return RowScores(
        name=name,
        num_rows=len(said),
        num_left_out=said.num_left_out,
        metrics={"eer": found.eer, "min_dcf": found.min_dcf},
        intervals={"eer": found.eer_interval, "min_dcf": found.min_dcf_interval},
        details={
            "scoring": scoring,
            "p_target": found.p_target,
            "c_miss": found.c_miss,
            "c_fa": found.c_fa,
            "num_target": found.num_target,
            "num_nontarget": found.num_nontarget,
            "resampled": found.resampled,
        },
    )


def predict_class(said: RowPredictions) -> npt.NDArray[np.int64]:
    """(N,): the number of each row's likeliest class."""
    numbers: npt.NDArray[np.int64] = said.logits.argmax(axis=1)
    return numbers


def measure_agreement(one: RowPredictions, other: RowPredictions) -> float:
    """The share of the rows that both predict for which they say the same class; NaN without any.

    Not a score: labels do not come into it.
    """
    said = [
        dict(zip(each.clip_ids, _names_at(each, predict_class(each)), strict=True))
        for each in (one, other)
    ]
    both = said[0].keys() & said[1].keys()
    if not both:
        return float("nan")
    return sum(said[0][key] == said[1][key] for key in both) / len(both)


def _require_known(name: str, said: RowPredictions) -> None:
    if len(said.class_names) != said.logits.shape[1] or not said.class_names:
        raise InvalidValueError(
            f"{name} has {said.logits.shape[1]} logits for {len(said.class_names)} class names, "
            "so that labels cannot be met; evaluate its embedding by trials"
        )
    known = frozenset(said.class_names)
    found = dict.fromkeys(label for text in said.labels for label in split_label(text))
    if stray := [label for label in found if label not in known]:
        raise CorpusError(
            f"label {stray[0]!r} is not one of the {len(known)} classes that {name} knows "
            f"({len(stray)} such labels); mend the corpus, name another label column, or "
            "evaluate those whom it never met by trials"
        )


def _names_at(said: RowPredictions, places: npt.NDArray[np.int64]) -> tuple[str, ...]:
    return tuple(said.class_names[place] for place in places)
