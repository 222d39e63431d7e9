"""Which clips a probe is fitted on and which it is tested on: folds, splits, and few labels.

Conventions: clips are indices into the dataset.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avkd.errors import CorpusError, InvalidValueError
from avkd.pipeline.evaluation.datasets import TEST, TRAIN, VALIDATION, EvaluationDataset

Indices = npt.NDArray[np.int64]
ALL_LABELS = 0


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One fit and one test."""

    name: str
    """The fold that is left out, or ``test``."""
    train: Indices
    validation: Indices
    """For choosing constants; may be empty."""
    test: Indices


def make_trials(dataset: EvaluationDataset) -> tuple[Trial, ...]:
    """A trial for each fold at hand, or one for the splits.

    Raises:
        CorpusError: There is one fold only, or a split is missing.
    """
    folds = np.array([clip.fold for clip in dataset.clips])
    if (folds != "").all():
        return _leave_one_out(folds)
    splits = np.array([clip.split for clip in dataset.clips])
    train, validation, test = (np.flatnonzero(splits == s) for s in (TRAIN, VALIDATION, TEST))
    if not len(train) or not len(test):
        raise CorpusError(f"dataset {dataset.name} needs the splits {TRAIN} and {TEST}")
    return (Trial(name=TEST, train=train, validation=validation, test=test),)


def choose_labelled(
    trial: Trial, labels: npt.NDArray[np.int64], labels_per_class: int, seed: int
) -> Trial:
    """The trial with so many training clips of each class only; 0 keeps all.

    Raises:
        InvalidValueError: A class has fewer training clips.
    """
    if labels_per_class == ALL_LABELS:
        return trial
    generator = np.random.default_rng([seed, labels_per_class])
    chosen = []
    for label in np.unique(labels):
        of_class = trial.train[labels[trial.train] == label]
        if len(of_class) < labels_per_class:
            raise InvalidValueError(
                f"labels_per_class {labels_per_class} but class {label} has {len(of_class)} "
                f"training clips in trial {trial.name}; ask for fewer"
            )
        chosen.append(generator.choice(of_class, labels_per_class, replace=False))
    kept = np.sort(np.concatenate(chosen))
    return Trial(name=trial.name, train=kept, validation=trial.validation, test=trial.test)


def _leave_one_out(folds: npt.NDArray[np.str_]) -> tuple[Trial, ...]:
    names = sorted(set(folds.tolist()))
    if len(names) < 2:
        raise CorpusError(f"all clips are in fold {names[0]}; a probe needs two or more")
    return tuple(
        Trial(
            name=name,
            train=np.flatnonzero(folds != name),
            validation=np.empty(0, np.int64),
            test=np.flatnonzero(folds == name),
        )
        for name in names
    )
