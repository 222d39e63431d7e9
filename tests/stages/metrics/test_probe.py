from functools import partial

import numpy as np
import numpy.typing as npt
import pytest

from avkd.errors import InvalidValueError
from avkd.stages.metrics.probe import (
    Scores,
    cut_windows,
    every_nth,
    pool_columns,
    pooled_probe,
    probe_folds,
    window_columns,
    window_probe,
)

Maps = npt.NDArray[np.float64]


def make_maps(
    num_clips: int, num_classes: int, seed: int = 0
) -> tuple[Maps, npt.NDArray[np.int64]]:
    """Non-negative maps (N, 6, 20): each class is louder in one channel, under noise."""
    generator = np.random.default_rng(seed)
    labels = np.arange(num_clips) % num_classes
    maps = generator.random((num_clips, 6, 20))
    maps[np.arange(num_clips), labels] += 0.7
    return maps, labels


@pytest.mark.parametrize(
    ("num_columns", "window_seconds", "clip_seconds", "width"),
    [(27, 1, 10, 3), (81, 5, 30, 14), (30, 1, 10, 3), (54, 1, 20, 3), (1, 1, 10, 1), (4, 9, 3, 4)],
)
def test_window_is_a_share_of_the_columns_rounded_up(
    num_columns: int, window_seconds: float, clip_seconds: float, width: int
) -> None:
    assert window_columns(num_columns, window_seconds, clip_seconds) == width


def test_ten_seconds_of_pool5_are_25_windows_of_768() -> None:
    assert cut_windows(np.zeros((256, 27)), 3).shape == (25, 768)
    assert cut_windows(np.zeros((256, 81)), 14).shape == (68, 3584)


def test_windows_are_flattened_channel_by_channel() -> None:
    windows = cut_windows(np.array([[1, 2, 3], [4, 5, 6]]), 2)
    assert windows.tolist() == [[1, 2, 4, 5], [2, 3, 5, 6]]


@pytest.mark.parametrize("num_classes", [2, 5])
def test_window_probe_tells_classes_apart_and_is_deterministic(num_classes: int) -> None:
    train, train_labels = make_maps(60, num_classes)
    test, test_labels = make_maps(30, num_classes, seed=1)
    scores = window_probe(train, train_labels, test)
    assert np.mean(scores.predictions == test_labels) > 0.9
    assert scores.values.shape == (30, num_classes)
    again = window_probe(list(train), train_labels, list(test))
    assert np.array_equal(again.values, scores.values)


def test_clip_score_is_the_mean_decision_of_a_liblinear_svm() -> None:
    from sklearn.svm import LinearSVC

    train, labels = make_maps(12, 3)
    test, _ = make_maps(2, 3, seed=1)
    windows = np.concatenate([cut_windows(each, 2) for each in train])
    svm = LinearSVC(C=0.01, loss="squared_hinge", penalty="l2", dual=True, tol=0.1, random_state=0)
    svm.fit(windows, np.repeat(labels, 19))
    expected = [svm.decision_function(cut_windows(each, 2)).mean(axis=0) for each in test]
    np.testing.assert_allclose(window_probe(train, labels, test).values, expected)


def test_maps_of_different_lengths_are_probed_together() -> None:
    train, labels = make_maps(30, 3)
    test, test_labels = make_maps(30, 3, seed=1)
    shorter = [each[:, : 20 - place % 3] for place, each in enumerate(test)]
    scores = window_probe(train, labels, shorter)
    assert np.mean(scores.predictions == test_labels) > 0.8


def test_predictions_are_labels_and_not_their_places() -> None:
    train, labels = make_maps(30, 3)
    names = np.array([7, 40, 11])
    scores = window_probe(train, names[labels], train)
    assert scores.classes.tolist() == [7, 11, 40]
    assert np.mean(scores.predictions == names[labels]) > 0.9


def test_pooling_is_mean_beside_maximum() -> None:
    assert pool_columns([np.array([[1.0, 3.0], [0.0, 4.0]])]).tolist() == [[2.0, 2.0, 3.0, 4.0]]


def test_pooled_probe_chooses_its_strength_on_held_out_training_clips() -> None:
    maps, labels = make_maps(100, 5)
    test, test_labels = make_maps(50, 5, seed=1)
    scores = pooled_probe(pool_columns(maps), labels, pool_columns(test))
    assert np.mean(scores.predictions == test_labels) > 0.9
    assert scores.strength in (1e-3, 1e-2, 1e-1, 1.0, 10.0)


def test_validation_clips_decide_the_strength() -> None:
    generator = np.random.default_rng(0)
    vectors = generator.standard_normal((80, 40))
    labels = (vectors[:, 0] > 0).astype(int)
    validation = np.arange(80) >= 40
    # With labels turned round on the validation clips, learning less is better.
    turned = np.where(validation, 1 - labels, labels)
    right = pooled_probe(vectors, labels, vectors, validation=validation)
    wrong = pooled_probe(vectors, turned, vectors, validation=validation)
    assert wrong.strength < right.strength


def test_one_strength_needs_no_validation() -> None:
    vectors = np.array([[0.0], [1.0]])
    scores = pooled_probe(vectors, np.array([3, 5]), vectors, strengths=[1.0])
    assert scores.predictions.tolist() == [3, 5]
    assert scores.values.shape == (2, 2)


def test_every_nth_clip_of_each_class_is_held_out() -> None:
    labels = np.array([0, 1, 0, 1, 0, 1, 0, 0])
    assert np.flatnonzero(every_nth(labels, 2)).tolist() == [2, 3, 6]


def test_each_fold_is_predicted_by_a_probe_that_did_not_see_it() -> None:
    maps, labels = make_maps(8, 2)
    folds = np.array([1, 1, 1, 1, 2, 2, 3, 3])
    seen: list[tuple[int, int]] = []

    def probe(train: Maps, train_labels: Maps, test: Maps) -> Scores:
        seen.append((len(train), len(test)))
        assert len(train_labels) == len(train)
        values = np.tile([1.0, 0.0], (len(test), 1))
        return Scores(values=values, classes=np.array([0, 1]), strength=1.0)

    result = probe_folds(probe, list(maps), labels, folds)  # type: ignore[arg-type]
    assert seen == [(4, 4), (6, 2), (6, 2)]
    assert result.fold_accuracies == {1: 0.5, 2: 0.5, 3: 0.5}
    assert result.predictions.tolist() == [0] * 8
    assert result.mean_accuracy == 0.5


def test_folds_work_with_both_probes() -> None:
    maps, labels = make_maps(60, 3)
    folds = np.arange(60) // 15
    windows = probe_folds(partial(window_probe, window_seconds=2.0), maps, labels, folds)
    pooled = probe_folds(pooled_probe, pool_columns(maps), labels, folds)
    assert windows.mean_accuracy > 0.9
    assert pooled.mean_accuracy > 0.9


def test_probes_without_enough_clips_are_refused() -> None:
    maps, labels = make_maps(4, 2)
    with pytest.raises(InvalidValueError, match="4 training clips but 3 labels"):
        window_probe(maps, labels[:3], maps)
    with pytest.raises(InvalidValueError, match="got 4 and 0"):
        window_probe(maps, labels, maps[:0])
    with pytest.raises(InvalidValueError, match="all of class 0"):
        window_probe(maps[:1], labels[:1], maps)
    with pytest.raises(InvalidValueError, match="too few to hold some out"):
        pooled_probe(pool_columns(maps), labels, pool_columns(maps))
    with pytest.raises(InvalidValueError, match="probes need two or more"):
        probe_folds(window_probe, maps, labels, np.zeros(4, dtype=int))
