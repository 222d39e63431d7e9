"""Linear probes: how much of the classes a frozen student's features already tell.

The window probe is SoundNet's (Aytar, Vondrick and Torralba, NIPS 2016): a linear SVM on every
window of a feature map, and a clip's score is the mean of its windows' decision values.

Conventions: N clips, C channels, T columns, W columns of a window, K classes; feature maps are
float (C, T), their T may differ between clips; labels are int arrays (N,).
"""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from avkd.errors import InvalidValueError
from avkd.stages.metrics.classification import accuracy

Array = npt.NDArray[np.floating]
Labels = npt.NDArray[np.integer]
Maps = Sequence[Array] | Array
"""Feature maps of clips: a list of (C, T), or one array (N, C, T)."""

SOUNDNET_C = 0.01
STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
MAX_ITERATIONS = 1000
TOLERANCE = 0.1
"""liblinear's own default for -s 1; scikit-learn's 1e-4 takes twice the time. On a fold of
ESC-10 it moved decisions by less than a hundredth of their mean size and not the accuracy."""


@dataclass(frozen=True, kw_only=True)
class Scores:
    """What a probe says of test clips."""

    values: Array
    """(N, K): larger is likelier; columns follow ``classes``."""
    classes: Labels
    """(K,): the labels seen in training, ascending."""
    strength: float
    """The C of the classifier."""

    @property
    def predictions(self) -> Labels:
        """(N,): the label of the largest score."""
        predicted: Labels = self.classes[self.values.argmax(axis=1)]
        return predicted


@dataclass(frozen=True, kw_only=True)
class FoldResult:
    """A probe trained and tested on each fold in turn."""

    predictions: Labels
    """(N,): of each clip, by the probe that was not trained on its fold."""
    fold_accuracies: Mapping[int, float]

    @property
    def mean_accuracy(self) -> float:
        """The mean over folds, as benchmarks with official folds are reported."""
        return float(np.mean(list(self.fold_accuracies.values())))


Probe = Callable[[Maps, Labels, Maps], Scores]
"""(training maps, training labels, test maps) to scores."""


def window_columns(num_columns: int, window_seconds: float, clip_seconds: float) -> int:
    """The width of a window: ``ceil(window / clip * T)``, at least 1 and at most T.

    1 s of 10 s is 3 of 27 columns, 5 s of 30 s is 14 of 81.
    """
    # Rounding first: 0.1 * 30 is a little above 3 in floating point.
    width = math.ceil(round(window_seconds / clip_seconds * num_columns, 9))
    return min(max(width, 1), num_columns)


def cut_windows(feature_map: Array, width: int) -> Array:
    """(T - width + 1, C * width): every window of (C, T), flattened channel by channel."""
    windows = np.lib.stride_tricks.sliding_window_view(feature_map, width, axis=1)
    return windows.transpose(1, 0, 2).reshape(windows.shape[1], -1)


def window_probe(
    train: Maps,
    train_labels: Labels,
    test: Maps,
    *,
    window_seconds: float = 1.0,
    clip_seconds: float = 10.0,
    strength: float = SOUNDNET_C,
) -> Scores:
    """SoundNet's probe: an SVM on windows, one class against the rest, C ``strength``.

    Deterministic. The defaults are those of ESC-50 and ESC-10; DCASE uses 5 s of 30 s.

    Raises:
        InvalidValueError: There are no clips to train or test on, or only one class.
    """
    _require_clips(train, train_labels, test)

    def windows_of(maps: Maps) -> list[Array]:
        return [
            cut_windows(each, window_columns(each.shape[1], window_seconds, clip_seconds))
            for each in maps
        ]

    examples = windows_of(train)
    labels = np.repeat(train_labels, [len(windows) for windows in examples])
    svm = _linear_svm(np.concatenate(examples), labels, strength)
    values = [_decisions(svm, windows).mean(axis=0) for windows in windows_of(test)]
    return Scores(values=np.stack(values), classes=svm.classes_, strength=strength)


def pool_columns(maps: Maps) -> Array:
    """(N, 2C): the mean over columns beside the maximum."""
    return np.stack([np.concatenate([each.mean(axis=1), each.max(axis=1)]) for each in maps])


def pooled_probe(
    train: Array,
    train_labels: Labels,
    test: Array,
    *,
    strengths: Sequence[float] = STRENGTHS,
    validation: npt.NDArray[np.bool_] | None = None,
) -> Scores:
    """Logistic regression on one standardised vector a clip, (N, D).

    C is the strength that does best on the training clips where ``validation`` is True (the
    smallest of equals), or every fifth clip of each class without it; then all training clips are
    used. The test clips are never looked at for it.

    Raises:
        InvalidValueError: There are no clips to train or test on, or only one class.
    """
    _require_clips(train, train_labels, test)
    held_out = every_nth(train_labels, 5) if validation is None else validation
    strength = strengths[0]
    if len(strengths) > 1:
        strength = _choose_strength(train, train_labels, held_out, strengths)
    model = _logistic(train, train_labels, strength)
    return Scores(values=_decisions(model, test), classes=model.classes_, strength=strength)


def every_nth(labels: Labels, n: int) -> npt.NDArray[np.bool_]:
    """(N,): True for the n-th, 2n-th ... clip of each class."""
    chosen = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        chosen[np.flatnonzero(labels == label)[n - 1 :: n]] = True
    return chosen


def probe_folds(probe: Probe, maps: Maps, labels: Labels, folds: Labels) -> FoldResult:
    """Test the probe on each fold after training it on the others.

    Raises:
        InvalidValueError: There is only one fold.
    """
    names = np.unique(folds)
    if len(names) < 2:
        raise InvalidValueError(f"folds are all {names.tolist()}; probes need two or more")
    predictions = np.empty_like(labels)
    accuracies: dict[int, float] = {}
    for fold in names.tolist():
        inside = folds == fold
        scores = probe(_select(maps, ~inside), labels[~inside], _select(maps, inside))
        predictions[inside] = scores.predictions
        accuracies[fold] = accuracy(scores.predictions, labels[inside])
    return FoldResult(predictions=predictions, fold_accuracies=accuracies)


def _choose_strength(
    train: Array, labels: Labels, held_out: npt.NDArray[np.bool_], strengths: Sequence[float]
) -> float:
    if not held_out.any() or len(np.unique(labels[~held_out])) < 2:
        raise InvalidValueError(
            f"{len(labels)} training clips are too few to hold some out; give one strength"
        )
    scores: dict[float, float] = {}
    for strength in sorted(strengths):
        model = _logistic(train[~held_out], labels[~held_out], strength)
        scores[strength] = accuracy(model.predict(train[held_out]), labels[held_out])
    return max(scores, key=lambda strength: scores[strength])


def _linear_svm(examples: Array, labels: Labels, strength: float) -> Any:
    from sklearn.svm import LinearSVC

    # liblinear's -s 1 with its bias of 1: L2-regularised squared hinge, in the dual.
    svm = LinearSVC(C=strength, dual=True, tol=TOLERANCE, max_iter=MAX_ITERATIONS, random_state=0)
    return _fit(svm, examples, labels)


def _logistic(examples: Array, labels: Labels, strength: float) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    regression = LogisticRegression(C=strength, max_iter=MAX_ITERATIONS)
    return _fit(make_pipeline(StandardScaler(), regression), examples, labels)


def _fit(model: Any, examples: Array, labels: Labels) -> Any:
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        # liblinear stops after its iterations as well, and says nothing.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(examples, labels)


def _decisions(model: Any, examples: Array) -> Array:
    """(N, K), also for two classes, where scikit-learn gives the second's values only."""
    values: Array = np.asarray(model.decision_function(examples))
    return np.stack([-values, values], axis=1) if values.ndim == 1 else values


def _select(maps: Maps, chosen: npt.NDArray[np.bool_]) -> Maps:
    if isinstance(maps, np.ndarray):
        return maps[chosen]
    return [each for each, wanted in zip(maps, chosen, strict=True) if wanted]


def _require_clips(train: Maps, train_labels: Labels, test: Maps) -> None:
    if len(train) != len(train_labels):
        raise InvalidValueError(f"{len(train)} training clips but {len(train_labels)} labels")
    if len(train) == 0 or len(test) == 0:
        raise InvalidValueError(
            f"a probe needs clips to train and test on, got {len(train)} and {len(test)}"
        )
    if len(np.unique(train_labels)) < 2:
        raise InvalidValueError(
            f"training clips are all of class {train_labels[0]}; give two classes or more"
        )
