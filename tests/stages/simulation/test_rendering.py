import dataclasses

import numpy as np
import pytest
from PIL import Image

from avkd.stages.simulation.rendering import (
    PAN_PIXELS,
    Actor,
    Light,
    Pose,
    pose_between,
    pose_box,
    render_frames,
)

SIZE = (160, 120)
POSE = Pose(x=0.4, y=0.5, height=0.5, turn_degrees=0)


def rendered(
    start: Pose,
    stop: Pose,
    *,
    num_frames: int = 1,
    light: Light | None = None,
    mirrored: bool = False,
) -> list[np.ndarray]:
    sprite = Image.new("RGBA", (256, 256), (255, 255, 255, 255))
    sprite.paste((200, 0, 0, 255), (0, 0, 128, 256))
    scenery = Image.new("RGB", (SIZE[0] + PAN_PIXELS, SIZE[1] + PAN_PIXELS), (0, 0, 0))
    actor = Actor(sprite=sprite, start=start, stop=stop, mirrored=mirrored)
    frames = render_frames(
        scenery,
        [actor],
        light or Light(),
        num_frames=num_frames,
        frame_size=SIZE,
        rng=np.random.default_rng(0),
    )
    return list(frames)


def drawn_box(frame: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.nonzero(frame.max(axis=2) > 40)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


@pytest.mark.parametrize("turn", [0.0, 20.0, -35.0])
def test_a_sprite_fills_the_planned_box(turn: float) -> None:
    pose = dataclasses.replace(POSE, turn_degrees=turn)
    planned = pose_box(pose, SIZE)
    np.testing.assert_allclose(drawn_box(rendered(pose, pose)[0]), planned, atol=2)


def test_an_upright_box_has_the_planned_centre_and_height() -> None:
    left, top, right, bottom = pose_box(POSE, SIZE)
    assert (left + right) / 2 == pytest.approx(64, abs=0.5)
    assert (top + bottom) / 2 == pytest.approx(60, abs=0.5)
    assert bottom - top == pytest.approx(60, abs=1)


def test_a_sprite_moves_from_start_to_stop() -> None:
    stop = Pose(x=0.7, y=0.4, height=0.6, turn_degrees=0)
    frames = rendered(POSE, stop, num_frames=5)
    for index, frame in enumerate(frames):
        planned = pose_box(pose_between(POSE, stop, index / 4), SIZE)
        np.testing.assert_allclose(drawn_box(frame), planned, atol=2)


def test_a_positive_turn_is_counter_clockwise() -> None:
    pose = dataclasses.replace(POSE, turn_degrees=90)
    frame = rendered(pose, pose)[0]
    # The red left half comes to lie below.
    assert frame[80, 64, 1] < 60 < 200 < frame[40, 64, 1]


def test_a_mirrored_sprite_has_its_sides_changed() -> None:
    plain, mirrored = rendered(POSE, POSE)[0], rendered(POSE, POSE, mirrored=True)[0]
    assert plain[60, 50, 1] < 60 < 200 < mirrored[60, 50, 1]


def test_a_sprite_outside_the_frame_leaves_it_empty() -> None:
    away = dataclasses.replace(POSE, x=3.0)
    assert rendered(away, away)[0].max() == 0


def test_light_scales_and_noise_spreads() -> None:
    dim = rendered(POSE, POSE, light=Light(gains=(0.5, 0.5, 0.5)))[0]
    assert dim[60, 80].max() == pytest.approx(127, abs=2)
    noisy = rendered(POSE, POSE, light=Light(gains=(0.5, 0.5, 0.5), noise_levels=8))[0]
    inside = noisy[45:75, 70:90].astype(float)
    assert inside.std(axis=(0, 1)).mean() == pytest.approx(8, rel=0.2)


def test_noise_differs_between_frames() -> None:
    first, second = rendered(POSE, POSE, num_frames=2, light=Light(noise_levels=5))
    assert (first != second).any()
