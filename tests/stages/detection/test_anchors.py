import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avkd.errors import InvalidValueError
from avkd.stages.detection.anchors import PAPER_3_ANCHORS, fit_anchors, mean_best_iou, sizes_iou

PLANTED = np.array([[1.0, 2.0], [4.0, 3.0], [9.0, 10.0]])


def around_planted(seed: int = 0, each: int = 40) -> npt.NDArray[np.float64]:
    noise = np.random.default_rng(seed).uniform(0.95, 1.05, (3, each, 2))
    return (PLANTED[:, None] * noise).reshape(-1, 2)


def test_iou_of_sizes_worked_out_by_hand() -> None:
    found = sizes_iou(np.array([[2.0, 2.0]]), np.array([[2.0, 2.0], [1.0, 4.0], [4.0, 4.0]]))
    np.testing.assert_allclose(found, [[1.0, 2 / 6, 4 / 16]])


def test_anchors_are_the_means_of_the_groups_that_sizes_form() -> None:
    sizes = around_planted()
    found = fit_anchors(sizes, 3)
    np.testing.assert_allclose(found, sizes.reshape(3, -1, 2).mean(axis=1))


def test_as_many_anchors_as_sizes_are_the_sizes() -> None:
    np.testing.assert_array_equal(fit_anchors(PLANTED[[2, 0, 1]], 3), PLANTED)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.integers(1, 6))
def test_order_does_not_matter_and_scale_only_scales(seed: int, num_anchors: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = rng.uniform(0.02, 0.6, (50, 2))
    found = fit_anchors(sizes, num_anchors)
    assert found.shape == (num_anchors, 2)
    assert np.array_equal(found, fit_anchors(rng.permutation(sizes), num_anchors))
    np.testing.assert_allclose(fit_anchors(8 * sizes, num_anchors), 8 * found)
    assert (np.diff(found.prod(axis=1)) >= 0).all()


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000))
def test_anchors_stand_for_sizes_no_worse_than_where_the_search_began(seed: int) -> None:
    sizes = np.random.default_rng(seed).uniform(0.02, 0.6, (60, 2))
    by_area = sizes[sizes.prod(axis=1).argsort()]
    start = by_area[(np.arange(4) + 0.5).astype(int) * 15 + 7]
    fitted = mean_best_iou(sizes, fit_anchors(sizes, 4))
    assert fitted >= mean_best_iou(sizes, start) - 0.05
    assert fitted > mean_best_iou(sizes, fit_anchors(sizes, 1))


def test_a_size_that_most_boxes_have_leaves_anchors_for_the_others() -> None:
    sizes = np.concatenate([np.tile([[2.0, 1.0]], (97, 1)), PLANTED])
    found = fit_anchors(sizes, 4)
    assert len(np.unique(found, axis=0)) == 4
    assert mean_best_iou(sizes, found) == pytest.approx(1.0)


def test_published_anchors_are_five() -> None:
    assert np.array(PAPER_3_ANCHORS).shape == (5, 2)


@pytest.mark.parametrize(
    ("sizes", "num_anchors", "message"),
    [
        (PLANTED, 4, "4 anchors need as many different sizes of box but there are 3"),
        (PLANTED, 0, "num_anchors 0 must be 1 or more"),
        (PLANTED[:, :1], 1, r"give \(M, 2\)"),
        (np.array([[1.0, 0.0]]), 1, "finite and above 0"),
        (np.array([[1.0, np.nan]]), 1, "finite and above 0"),
    ],
)
def test_sizes_that_cannot_be_fitted_are_refused(
    sizes: npt.NDArray[np.float64], num_anchors: int, message: str
) -> None:
    with pytest.raises(InvalidValueError, match=message):
        fit_anchors(sizes, num_anchors)
