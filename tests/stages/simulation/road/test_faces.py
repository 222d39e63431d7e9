import numpy as np
import pytest

from avkd.stages.simulation.road.faces import (
    build_mesh,
    circle,
    depths_of,
    draw_faces,
    joined,
    level,
    moved,
    new_canvas,
    prism,
    upright,
)
from avkd.stages.simulation.road.projection import rays
from avkd.stages.simulation.road.settings import Camera

LEVEL = Camera(
    view="level", height_m=2.0, pitch_degrees=0.0, distance_m=10.0, picture_size=(160, 120)
)
SQUARE = [(-1.0, 0.0), (-1.0, 2.0), (1.0, 2.0), (1.0, 0.0)]


def test_the_faces_of_a_prism_look_outward() -> None:
    mesh = build_mesh(prism(SQUARE, (9.0, 11.0), "wall"))
    middle = np.array([0.0, 1.0, 10.0])
    assert (np.einsum("fc,fc->f", mesh.normals, mesh.centres - middle) > 0).all()
    assert np.linalg.norm(mesh.normals, axis=1) == pytest.approx(1)


def test_a_face_across_the_view_has_one_depth_and_the_ground_has_its_own() -> None:
    mesh = build_mesh([upright(SQUARE, 10.0, "wall"), level((-9, 9), (2, 90), "ground")])
    ray = rays(LEVEL, np.array([[0.5, 0.5], [0.6, 0.6], [0.5, 0.9]]))
    assert depths_of(np.zeros(3, int), mesh, LEVEL, ray) == pytest.approx([10, 10, 10])
    # The ground two metres below: depth is the height over the ray's fall.
    fall = -ray[1:, 1]
    assert depths_of(np.ones(2, int), mesh, LEVEL, ray[1:]) == pytest.approx(2 / fall)


def test_near_faces_are_painted_over_far_ones() -> None:
    far = upright(SQUARE, 20.0, "far", group=20.0)
    near = upright(SQUARE, 10.0, "near", group=10.0)
    for faces in ([far, near], [near, far]):
        canvas = new_canvas(LEVEL)
        mesh = build_mesh(faces)
        draw_faces(canvas, mesh, LEVEL, 1)
        middle = np.asarray(canvas)[canvas.height // 2 + 4, canvas.width // 2]
        assert mesh.materials[middle - 1] == "near"


def test_faces_turned_away_are_not_painted() -> None:
    canvas = new_canvas(LEVEL)
    draw_faces(canvas, build_mesh(prism(SQUARE, (10.0, 12.0), "wall")), LEVEL, 1)
    # Straight before the camera, lower than the top: the near side alone is seen.
    assert set(np.unique(canvas).tolist()) == {0, 5}


def test_meshes_side_by_side_keep_their_depths() -> None:
    first = build_mesh([upright(SQUARE, 10.0, "wall")])
    second = moved(first, np.array([0.0, 0.0, 5.0]))
    both = joined([first, second])
    ray = rays(LEVEL, np.array([[0.5, 0.5], [0.5, 0.5]]))
    assert depths_of(np.array([0, 1]), both, LEVEL, ray) == pytest.approx([10, 15])
    assert both.starts.tolist() == [0, 4, 8]


def test_a_wheel_stands_on_the_ground() -> None:
    heights = [y for _, y in circle(1.0, 0.3, 0.3)]
    assert min(heights) == pytest.approx(0)
    assert max(heights) == pytest.approx(0.6)
