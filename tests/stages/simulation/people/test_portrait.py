import dataclasses

import numpy as np
import pytest

from avkd.stages.simulation.people.face import FACE_TRAITS, Face, Look, draw_look, face_of
from avkd.stages.simulation.people.portrait import draw_portrait

PLAIN = dict.fromkeys(FACE_TRAITS, 0.0)
FACE = dataclasses.replace(face_of(-1, PLAIN), iris=(0, 0, 255), spectacles="none")
LOOK = Look(
    yaw=0.0,
    pitch=0.0,
    smile=0.0,
    mouth_open=0.0,
    eye_open=1.0,
    brow_raise=0.0,
    gaze=0.0,
    side_light=0.0,
    wears_spectacles=True,
    hat=None,
    cloth=(120, 120, 120),
)


def drawn(face: Face = FACE, **changes: object) -> np.ndarray:
    return np.asarray(draw_portrait(face, dataclasses.replace(LOOK, **changes)), dtype=int)


def iris_middle(pixels: np.ndarray) -> float:
    blue = (pixels[..., 2] - pixels[..., :2].max(axis=2)) > 80
    assert blue.sum() > 20
    return float(np.nonzero(blue)[1].mean())


def test_a_face_looked_at_from_the_front_is_symmetric() -> None:
    alpha = drawn()[..., 3]
    assert np.abs(alpha - alpha[:, ::-1]).mean() < 4
    assert iris_middle(drawn()) == pytest.approx(127.5, abs=1)


def test_a_turned_head_moves_its_eyes_to_that_side() -> None:
    assert iris_middle(drawn(yaw=0.4)) > 140
    assert iris_middle(drawn(yaw=-0.4)) < 116


@pytest.mark.parametrize(
    "change",
    [
        {"smile": 1.0},
        {"mouth_open": 1.0},
        {"eye_open": 0.3},
        {"brow_raise": 1.0},
        {"pitch": 0.3},
        {"gaze": 1.0},
        {"hat": (200, 0, 0)},
        {"cloth": (0, 200, 0)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_part_of_a_look_is_seen(change: dict[str, object]) -> None:
    assert np.abs(drawn(**change) - drawn()).max() > 60


def test_light_from_the_right_brightens_the_right() -> None:
    lit = drawn(side_light=0.5)[..., :3].mean(axis=2)
    assert lit[130, 170] > lit[130, 86] * 1.2


def test_spectacles_are_worn_by_those_who_have_some_when_they_do() -> None:
    with_some = dataclasses.replace(FACE, spectacles="round")
    assert (drawn(with_some) != drawn()).any()
    assert (drawn(with_some, wears_spectacles=False) == drawn()).all()


@pytest.mark.parametrize("style", ["bald", "crop", "parting", "curls", "bob", "long"])
def test_hair_styles_are_distinct_pictures(style: str) -> None:
    other = "bald" if style != "bald" else "crop"
    first, second = (
        drawn(dataclasses.replace(FACE, hair_style=name))  # type: ignore[arg-type]
        for name in (style, other)
    )
    assert (np.abs(first - second).max(axis=2) > 40).mean() > 0.01


@pytest.mark.parametrize("beard", ["moustache", "goatee", "full"])
def test_beards_cover_a_part_of_the_face(beard: str) -> None:
    bearded = drawn(dataclasses.replace(FACE, beard=beard))  # type: ignore[arg-type]
    assert 0.002 < (np.abs(bearded - drawn()).max(axis=2) > 25).mean() < 0.12


def test_anybody_can_be_drawn_and_twice_the_same() -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        traits = dict(zip(FACE_TRAITS, rng.normal(size=len(FACE_TRAITS)), strict=True))
        face, look = face_of(1 - 2 * (seed % 2), traits), draw_look(rng)
        pixels = np.asarray(draw_portrait(face, look))
        assert pixels.shape == (256, 256, 4)
        assert 0.25 < (pixels[..., 3] > 128).mean() < 0.8
        np.testing.assert_array_equal(pixels, np.asarray(draw_portrait(face, look)))
