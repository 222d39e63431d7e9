import numpy as np
import pytest

from avkd.errors import UnknownNameError
from avkd.stages.simulation.road.microphones import (
    ARRAYS,
    array_at,
    centre_m,
    pickup,
    ring_of_eight,
    stereo_pair,
)
from avkd.stages.simulation.road.settings import VIEWS

CAMERA = VIEWS[3]


@pytest.mark.parametrize("name", sorted(ARRAYS))
def test_arrays_hang_around_the_camera_and_face_outward(name: str) -> None:
    microphones = array_at(name, CAMERA)
    assert microphones.array == name
    assert centre_m(microphones) == pytest.approx([0, CAMERA.height_m, 0], abs=1e-12)
    assert np.linalg.norm(microphones.facing, axis=1) == pytest.approx(1)


def test_a_pair_is_left_and_right_at_its_spacing() -> None:
    left, right = stereo_pair(CAMERA, 0.3).positions_m
    assert np.subtract(right, left) == pytest.approx([0.3, 0, 0])


def test_a_ring_has_eight_places_on_a_circle() -> None:
    places = np.asarray(ring_of_eight(CAMERA, 0.25).positions_m) - [0, CAMERA.height_m, 0]
    assert np.linalg.norm(places, axis=1) == pytest.approx(0.25)
    neighbours = np.linalg.norm(places - np.roll(places, 1, axis=0), axis=1)
    assert neighbours == pytest.approx(0.5 * np.sin(np.pi / 8))
    assert places[0] == pytest.approx([0, 0, 0.25])


def test_a_cardioid_is_deaf_behind_and_other_patterns_are_known() -> None:
    cosines = np.array([1.0, 0.0, -1.0])
    assert pickup(0.0, cosines).tolist() == [1, 1, 1]
    assert pickup(0.5, cosines).tolist() == [1, 0.5, 0]
    assert pickup(1.0, cosines).tolist() == [1, 0, -1]


def test_an_unknown_array_offers_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match="did you mean stereo"):
        array_at("sterio", CAMERA)
