import numpy as np
import pytest

from avkd.errors import InvalidValueError
from avkd.stages.metrics.classification import (
    accuracy,
    bootstrap_accuracy,
    confusion_matrix,
    summarise_seeds,
)

LABELS = np.array([0, 0, 1, 2])
PREDICTIONS = np.array([0, 1, 1, 1])


def test_accuracy_is_the_fraction_of_hits() -> None:
    assert accuracy(PREDICTIONS, LABELS) == 0.5


def test_confusion_counts_labels_in_rows() -> None:
    matrix = confusion_matrix(PREDICTIONS, LABELS, 3)
    assert matrix.tolist() == [[1, 1, 0], [0, 1, 0], [0, 1, 0]]
    assert matrix.trace() / matrix.sum() == accuracy(PREDICTIONS, LABELS)
    with pytest.raises(InvalidValueError, match="class 2 does not fit 2 classes"):
        confusion_matrix(PREDICTIONS, LABELS, 2)


def test_bootstrap_interval_is_that_of_the_binomial() -> None:
    labels = np.zeros(400, dtype=int)
    predictions = np.repeat([0, 1], [300, 100])
    interval = bootstrap_accuracy(predictions, labels)
    # 0.75 +- 1.96 * sqrt(0.75 * 0.25 / 400) = 0.75 +- 0.0424; 2000 draws know it to 0.003.
    assert interval.value == 0.75
    assert interval.low == pytest.approx(0.7076, abs=0.005)
    assert interval.high == pytest.approx(0.7924, abs=0.005)
    assert interval == bootstrap_accuracy(predictions, labels)
    assert interval != bootstrap_accuracy(predictions, labels, seed=1, num_draws=500)
    narrow = bootstrap_accuracy(predictions, labels, level=0.5)
    assert interval.low < narrow.low < 0.75 < narrow.high < interval.high


def test_seeds_have_a_mean_and_a_sample_deviation() -> None:
    summary = summarise_seeds([0.5, 0.7])
    assert summary.mean == pytest.approx(0.6)
    assert summary.sd == pytest.approx(0.1 * 2**0.5)
    assert summary.num_seeds == 2
    assert summarise_seeds([0.5]).sd == 0.0


def test_nothing_to_measure_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="0 predictions for 0 labels"):
        accuracy(np.array([], dtype=int), np.array([], dtype=int))
    with pytest.raises(InvalidValueError, match="1 predictions for 4 labels"):
        accuracy(np.array([1]), LABELS)
    with pytest.raises(InvalidValueError, match="no values"):
        summarise_seeds([])
