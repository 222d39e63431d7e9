import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avkd.errors import InvalidValueError
from avkd.stages.metrics.tagging import TaggingScores, d_prime, evaluate_tagging, micro_counts

Array = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

NAMES = ("bell", "dog", "rain")
SCORES = np.array([[0.9, 0.2, 0.6], [0.8, 0.7, 0.1], [0.3, 0.6, 0.4], [0.1, 0.4, 0.2]])
LABELS = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 0]])


def sigmoid(logits: Array) -> Array:
    return 1 / (1 + np.exp(-logits))


@st.composite
def tagged_clips(draw: st.DrawFn) -> tuple[Array, Labels, tuple[str, ...]]:
    """Logits with ties, labels of which some classes may be absent or universal."""
    num_clips, num_classes = draw(st.integers(2, 20)), draw(st.integers(2, 6))
    generator = np.random.default_rng(draw(st.integers(0, 2**31)))
    shares = generator.choice([0.0, 0.2, 0.5, 1.0], num_classes)
    labels = (generator.random((num_clips, num_classes)) < shares).astype(np.int64)
    labels[0, 0] = 1
    logits = np.round(2 * generator.standard_normal(labels.shape), 1)
    return logits, labels, tuple(f"class {k}" for k in range(num_classes))


def test_measures_of_a_toy_table_are_known() -> None:
    found = evaluate_tagging(SCORES, LABELS, NAMES)
    # bell ranks 1, 0, 1, 0: (1/1 + 2/3) / 2. dog ranks 1, 1, 0, 0: 1. rain has no positive.
    assert found.average_precisions == {"bell": pytest.approx(5 / 6), "dog": 1.0}
    assert found.mean_average_precision == pytest.approx(11 / 12)
    assert found.mean_auc == pytest.approx((3 / 4 + 1) / 2)
    # Predicted are bell 1, bell 2, dog 2, dog 3 and rain 1; bell 1, dog 2 and dog 3 are right.
    assert found.micro_precision == pytest.approx(3 / 5)
    assert found.micro_recall == pytest.approx(3 / 4)
    assert found.micro_f1 == pytest.approx(2 / 3)
    assert (found.threshold, found.num_clips) == (0.5, 4)


def test_classes_without_a_measure_are_named() -> None:
    labels = LABELS.copy()
    labels[:, 1] = 1
    found = evaluate_tagging(SCORES, labels, NAMES, threshold=0.75)
    assert found.absent_classes == ("rain",)
    assert found.universal_classes == ("dog",)
    assert found.unpredicted_classes == ("dog", "rain")
    assert list(found.average_precisions) == ["bell", "dog"]
    assert found.mean_auc == pytest.approx(3 / 4)


@settings(deadline=None)
@given(tagged_clips(), st.sampled_from([0.2, 0.5, 0.9]))
def test_measures_are_those_of_scikit_learn(
    clips: tuple[Array, Labels, tuple[str, ...]], threshold: float
) -> None:
    from sklearn.metrics import (
        average_precision_score,
        precision_recall_fscore_support,
        roc_auc_score,
    )

    logits, labels, names = clips
    found = evaluate_tagging(logits, labels, names, scale="logits", threshold=threshold)
    probabilities = sigmoid(logits)
    present = labels.any(axis=0)
    expected = average_precision_score(labels[:, present], probabilities[:, present])
    assert found.mean_average_precision == pytest.approx(expected)
    both = present & ~labels.all(axis=0)
    if both.any():
        expected = roc_auc_score(labels[:, both], probabilities[:, both])
        assert found.mean_auc == pytest.approx(expected)
    else:
        assert math.isnan(found.mean_auc)
    precision, recall, f1, _ = precision_recall_fscore_support(
        labels, probabilities > threshold, average="micro", zero_division=0
    )
    micro = (found.micro_precision, found.micro_recall, found.micro_f1)
    assert micro == pytest.approx((precision, recall, f1))


@settings(deadline=None)
@given(tagged_clips())
def test_logits_and_their_probabilities_give_the_same_measures(
    clips: tuple[Array, Labels, tuple[str, ...]],
) -> None:
    logits, labels, names = clips
    one = evaluate_tagging(logits, labels, names, scale="logits")
    other = evaluate_tagging(sigmoid(logits), labels, names)
    assert repr(one) == repr(other)  # As NaN is not equal to itself.


def test_saturated_sigmoids_make_no_ties_of_logits() -> None:
    logits = np.array([[60.0], [50.0], [40.0]], dtype=np.float32)
    labels = np.array([[1], [0], [0]])
    assert evaluate_tagging(logits, labels, ("bell",), scale="logits").mean_auc == 1.0


def test_nothing_predicted_is_zero_and_every_class_is_named() -> None:
    found = evaluate_tagging(0.1 * SCORES, LABELS, NAMES)
    assert (found.micro_precision, found.micro_recall, found.micro_f1) == (0.0, 0.0, 0.0)
    assert found.unpredicted_classes == NAMES
    assert found.mean_average_precision == pytest.approx(11 / 12)


def test_a_probability_at_the_threshold_is_no_prediction() -> None:
    zeros = np.zeros((2, 1))
    found = evaluate_tagging(zeros, np.array([[1], [0]]), ("bell",), scale="logits")
    assert found.unpredicted_classes == ("bell",)
    assert (found.mean_auc, found.d_prime) == (0.5, 0.0)


@pytest.mark.parametrize("dtype", [bool, np.float32, np.int64])
def test_labels_may_be_of_any_dtype(dtype: type) -> None:
    assert evaluate_tagging(SCORES, LABELS.astype(dtype), NAMES).micro_f1 == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("auc", "printed"),
    [(0.959, 2.452), (0.964, 2.536), (0.960, 2.471), (0.968, 2.612), (0.968, 2.621)],
)
def test_d_prime_is_that_of_the_mean_auc_as_tables_of_audioset_print_it(
    auc: float, printed: float
) -> None:
    # Kong et al., "Audio Set classification with attention model" (README of its code): mean AUC
    # to three digits beside d-prime.
    assert d_prime(auc - 0.00051) < printed < d_prime(auc + 0.00051)


def test_d_prime_is_the_distance_of_two_gaussians() -> None:
    assert d_prime(0.5) == 0
    assert d_prime(0.25) == pytest.approx(-d_prime(0.75))
    assert d_prime(1.0) == math.inf
    noise = np.random.default_rng(0).standard_normal((40_000, 1))
    labels = np.arange(40_000).reshape(-1, 1) % 2
    found = evaluate_tagging(noise + 1.5 * labels, labels, ("bell",), scale="logits")
    assert found.d_prime == pytest.approx(1.5, abs=0.03)


def test_f1_is_the_harmonic_mean() -> None:
    generator = np.random.default_rng(0)
    predicted, truth = generator.random((2, 50, 4)) < 0.3
    counts = micro_counts(predicted, truth)
    expected = 2 / (1 / counts.precision + 1 / counts.recall)
    assert counts.f1 == pytest.approx(expected)


def evaluate(scores: Array = SCORES, labels: Labels = LABELS, **options: float) -> TaggingScores:
    return evaluate_tagging(scores, labels, NAMES, **options)


def test_tables_that_cannot_be_measured_are_refused() -> None:
    with pytest.raises(InvalidValueError, match=r"scores \(4, 2\), labels \(4, 3\) and 3 class"):
        evaluate(SCORES[:, :2])
    with pytest.raises(InvalidValueError, match="labels hold -1, but must be 0 or 1; leave out"):
        evaluate(labels=LABELS - 1)
    with pytest.raises(InvalidValueError, match="must be finite"):
        evaluate(np.where(SCORES > 0.8, np.nan, SCORES))
    with pytest.raises(InvalidValueError, match=r"from 0\.3 to 2\.7 are no probabilities"):
        evaluate(3 * SCORES)
    with pytest.raises(InvalidValueError, match="none of 4 clips has a class"):
        evaluate(labels=0 * LABELS)
    with pytest.raises(InvalidValueError, match="none of 0 clips has a class"):
        evaluate(SCORES[:0], LABELS[:0])
    with pytest.raises(InvalidValueError, match=r"threshold 1\.0 must be between 0 and 1"):
        evaluate(threshold=1.0)
