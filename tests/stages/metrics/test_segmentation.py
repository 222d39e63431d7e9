import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from avkd.errors import InvalidValueError
from avkd.stages.media.scaling import scale_picture
from avkd.stages.metrics.segmentation import count_confusion, resize_classes, score_confusion
from avkd.stages.types import IGNORED_CLASS, FrameFormat

TRUTH = np.array([[0, 0, 1, 1], [0, 2, 2, 1]], np.uint8)
SAID = np.array([[0, 1, 1, 1], [0, 2, 0, 1]], np.uint8)
maps = arrays(np.uint8, (5, 6), elements=st.integers(0, 3))


def test_iou_is_that_of_a_sum_by_hand():
    confusion = count_confusion(SAID, TRUTH, 3)
    assert confusion.tolist() == [[2, 1, 0], [0, 3, 0], [1, 0, 1]]
    scores = score_confusion(confusion)
    # Right over true or said: 2 of 4, 3 of 4, 1 of 2.
    assert scores.class_ious == (0.5, 0.75, 0.5)
    assert scores.mean_iou == pytest.approx(7 / 12)
    assert (scores.pixel_accuracy, scores.num_pixels) == (0.75, 8)


def test_a_class_that_neither_is_true_nor_said_does_not_count():
    scores = score_confusion(count_confusion(SAID, TRUTH, 5))
    assert scores.class_ious == (0.5, 0.75, 0.5, None, None)
    assert scores.mean_iou == pytest.approx(7 / 12)


def test_a_class_that_is_only_said_counts_as_wrong():
    said = np.where(SAID == 0, 3, SAID)
    scores = score_confusion(count_confusion(said, TRUTH, 4))
    assert scores.class_ious[3] == 0.0
    assert scores.mean_iou == pytest.approx((0 + 0.75 + 0.5 + 0) / 4)


def test_pixels_of_no_class_count_for_nothing():
    truth = TRUTH.copy()
    truth[0, 1] = truth[1, 2] = IGNORED_CLASS  # the two that are said wrongly
    scores = score_confusion(count_confusion(SAID, truth, 3))
    assert (scores.mean_iou, scores.pixel_accuracy, scores.num_pixels) == (1.0, 1.0, 6)
    nothing = score_confusion(count_confusion(SAID, np.full_like(SAID, IGNORED_CLASS), 3))
    assert (nothing.mean_iou, nothing.pixel_accuracy, nothing.num_pixels) == (None, None, 0)


def test_counts_of_pictures_add_up_and_are_no_mean_over_pictures():
    small, large = np.zeros((1, 4), np.uint8), np.zeros((4, 4), np.uint8)
    wrong = count_confusion(np.ones_like(small), small, 2)
    right = count_confusion(large, large, 2)
    scores = score_confusion(wrong + right)
    assert scores.class_ious == (16 / 20, 0.0)


@settings(deadline=None)  # the first call imports
@given(maps, maps)
def test_counts_and_ious_are_those_of_scikit_learn(said, truth):
    from sklearn.metrics import confusion_matrix, jaccard_score

    confusion = count_confusion(said, truth, 4)
    expected = confusion_matrix(truth.ravel(), said.ravel(), labels=range(4))
    assert (confusion == expected).all()
    scores = score_confusion(confusion)
    present = np.union1d(said, truth)
    ious = jaccard_score(truth.ravel(), said.ravel(), labels=present, average=None)
    np.testing.assert_allclose([scores.class_ious[k] for k in present], ious)
    assert scores.mean_iou == pytest.approx(ious.mean())


@settings(deadline=None)  # the first call imports
@given(maps)
def test_what_is_said_right_is_right_everywhere(truth):
    scores = score_confusion(count_confusion(truth, truth, 4))
    assert (scores.mean_iou, scores.pixel_accuracy) == (1.0, 1.0)


def test_classes_that_are_none_and_other_shapes_are_refused():
    with pytest.raises(InvalidValueError, match="class 2 does not fit 2 classes"):
        count_confusion(SAID, TRUTH, 2)
    with pytest.raises(InvalidValueError, match="bring them to one size"):
        count_confusion(SAID[:1], TRUTH, 3)


def test_maps_grow_and_shrink_to_the_nearest_pixel():
    picture = np.array([[1, 2], [3, 4]], np.uint8)
    grown = resize_classes(picture, (4, 6))
    assert (grown == np.kron(picture, np.ones((2, 3), np.uint8))).all()
    assert (resize_classes(grown, (2, 2)) == picture).all()
    assert resize_classes(np.stack([picture, picture]), (3, 5)).shape == (2, 3, 5)
    assert resize_classes(picture, (2, 2)) is picture


@pytest.mark.parametrize("size", [(7, 11), (24, 40), (5, 3), (30, 64)])
def test_maps_are_resized_as_the_decoder_resizes_true_ones(size):
    picture = np.random.default_rng(0).integers(0, 9, (24, 40)).astype(np.uint16)
    nearest = FrameFormat(
        height=size[0],
        width=size[1],
        crop_fraction=1.0,
        fit="stretch",
        pixels="gray16",
        resampling="nearest",
    )
    decoded = scale_picture(picture[..., None], nearest)[..., 0]
    assert (resize_classes(picture, size) == decoded).all()
