import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avkd.stages.tracking.kalman import (
    BoxStates,
    Noise,
    correct_states,
    join_states,
    predict_states,
    start_states,
)

Array = npt.NDArray[np.float64]
BOX = np.array([[0.1, 0.4, 0.3, 0.5]])


def moved(box: Array, x: float) -> Array:
    shifted: Array = box + np.array([x, 0, x, 0])
    return shifted


def test_a_new_box_is_where_it_was_seen_and_at_rest() -> None:
    states = start_states(BOX, Noise(detection=0.1, velocity=3))
    assert states.boxes == pytest.approx(BOX)
    assert states.mean[0, :, 0] == pytest.approx([0.2, 0.45, 0.2, 0.1])
    assert (states.mean[..., 1] == 0).all()
    # A tenth of the width, of the height, and again.
    assert np.sqrt(states.covariance[0, :, 0, 0]) == pytest.approx([0.02, 0.01, 0.02, 0.01])
    assert np.sqrt(states.covariance[0, :, 1, 1]) == pytest.approx([0.6, 0.3, 0.6, 0.3])


def test_a_box_at_a_constant_velocity_is_soon_foreseen() -> None:
    noise = Noise()
    states = start_states(BOX, noise)
    for step in range(1, 9):
        states = correct_states(predict_states(states, 0.1, noise), moved(BOX, 0.04 * step), noise)
    assert states.mean[0, 0, 1] == pytest.approx(0.4, rel=0.02)
    later = predict_states(states, 0.3, noise)
    assert later.boxes == pytest.approx(moved(BOX, 0.44), abs=5e-3)


def test_what_is_not_seen_grows_uncertain_and_what_is_seen_more_certain() -> None:
    noise = Noise()
    start = start_states(BOX, noise)
    unseen = predict_states(start, 0.5, noise)
    seen = correct_states(unseen, BOX, noise)
    assert (unseen.covariance[..., 0, 0] > start.covariance[..., 0, 0]).all()
    assert (seen.covariance[..., 0, 0] < unseen.covariance[..., 0, 0]).all()
    # Never more certain than both what was foreseen and the detection, by Bayes' rule.
    detection = start.covariance[..., 0, 0]
    together = 1 / (1 / unseen.covariance[..., 0, 0] + 1 / detection)
    assert seen.covariance[..., 0, 0] == pytest.approx(together)


@settings(deadline=None, max_examples=30)
@given(st.floats(0.01, 1), st.floats(0, 5))
def test_two_steps_without_pushes_are_one(seconds: float, velocity: float) -> None:
    noise = Noise(velocity=velocity, acceleration=0)
    states = correct_states(predict_states(start_states(BOX, noise), 0.1, noise), BOX, noise)
    half = predict_states(predict_states(states, seconds / 2, noise), seconds / 2, noise)
    whole = predict_states(states, seconds, noise)
    assert half.mean == pytest.approx(whole.mean)
    assert half.covariance == pytest.approx(whole.covariance)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**31))
def test_many_boxes_are_filtered_as_each_alone(seed: int) -> None:
    generator, noise = np.random.default_rng(seed), Noise()
    low = generator.random((2, 3, 2)) * 0.5
    boxes = np.concatenate([low, low + 0.05 + 0.3 * generator.random(low.shape)], axis=-1)

    def filtered(first: Array, second: Array) -> BoxStates:
        return correct_states(predict_states(start_states(first, noise), 0.2, noise), second, noise)

    together = filtered(boxes[0], boxes[1])
    alone = filtered(boxes[0, :1], boxes[1, :1])
    for place in (1, 2):
        alone = join_states(alone, filtered(boxes[0, [place]], boxes[1, [place]]))
    np.testing.assert_array_equal(together.mean, alone.mean)
    np.testing.assert_allclose(together.covariance, alone.covariance, rtol=1e-12)
    eigenvalues = np.linalg.eigvalsh(together.covariance)
    assert (eigenvalues > 0).all()


def test_no_boxes_are_no_trouble() -> None:
    noise = Noise()
    nothing = start_states(np.empty((0, 4)), noise)
    assert len(correct_states(predict_states(nothing, 0.1, noise), np.empty((0, 4)), noise)) == 0
    assert nothing.boxes.shape == (0, 4)
