import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avkd.errors import InvalidValueError
from avkd.stages.simulation.road.projection import (
    camera_axes,
    camera_point,
    project,
    project_cuboid,
    rays,
)
from avkd.stages.simulation.road.settings import VIEWS, Camera

LEVEL = Camera(
    view="level",
    height_m=2.0,
    pitch_degrees=0.0,
    distance_m=10.0,
    focal_widths=0.8,
    picture_size=(320, 160),
)


def test_a_level_camera_sees_by_the_rule_of_three() -> None:
    places, depths = project(LEVEL, np.array([[3.0, 0.5, 12.0]]))
    assert depths.tolist() == [12.0]
    assert places[0] == pytest.approx([0.5 + 0.8 * 3 / 12, 0.5 + 0.8 * 2 * 1.5 / 12])


@pytest.mark.parametrize("camera", VIEWS, ids=lambda camera: camera.view)
def test_the_optical_axis_is_the_middle_of_the_picture(camera: Camera) -> None:
    pitch = math.radians(camera.pitch_degrees)
    point = camera_point(camera) + 7 * np.array([0, -math.sin(pitch), math.cos(pitch)])
    places, depths = project(camera, point[None])
    assert places[0] == pytest.approx([0.5, 0.5])
    assert depths[0] == pytest.approx(7)
    assert camera_axes(camera) @ camera_axes(camera).T == pytest.approx(np.eye(3))


@given(
    pitch_degrees=st.floats(-10, 40),
    height_m=st.floats(1, 8),
    focal_widths=st.floats(0.4, 2),
    x=st.floats(0, 1),
    y=st.floats(0, 1),
    depth_m=st.floats(0.1, 500),
)
def test_a_point_lies_on_the_ray_of_its_place(
    pitch_degrees: float, height_m: float, focal_widths: float, x: float, y: float, depth_m: float
) -> None:
    camera = replace(
        LEVEL, pitch_degrees=pitch_degrees, height_m=height_m, focal_widths=focal_widths
    )
    point = camera_point(camera) + depth_m * rays(camera, np.array([x, y]))
    places, depth = project(camera, point)
    assert places == pytest.approx([x, y], abs=1e-9)
    assert depth == pytest.approx(depth_m)


@pytest.mark.parametrize("camera", VIEWS, ids=lambda camera: camera.view)
def test_level_ground_ends_at_the_horizon(camera: Camera) -> None:
    width, height = camera.picture_size
    tangent = math.tan(math.radians(camera.pitch_degrees))
    far, _ = project(camera, np.array([0.0, 0.0, 1e9]))
    assert far[1] == pytest.approx(0.5 - camera.focal_widths * width / height * tangent, abs=1e-6)


def test_a_cuboid_is_framed_by_its_near_side_and_its_far_top() -> None:
    # Below the camera: the near edge is lowest and widest, the far top edge highest.
    left, top, right, bottom = project_cuboid(LEVEL, np.array([1.0, 0, 10]), (4.0, 1.5, 2.0))
    assert left == pytest.approx(0.5 - 0.8 * 1 / 9)
    assert right == pytest.approx(0.5 + 0.8 * 3 / 9)
    assert bottom == pytest.approx(0.5 + 0.8 * 2 * 2 / 9)
    assert top == pytest.approx(0.5 + 0.8 * 2 * 0.5 / 11)


def test_what_stands_beside_the_camera_has_no_picture() -> None:
    with pytest.raises(InvalidValueError, match=r"view 'level'.*distance_m"):
        project_cuboid(LEVEL, np.array([0.0, 0, 0.5]), (4.0, 1.5, 2.0))
