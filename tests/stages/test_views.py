from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avkd.errors import InvalidValueError
from avkd.stages.views import PARAMETERS, ViewSettings, draw_view, draw_views, replay_views

FOUR = ViewSettings(num_views=4, height=8, width=8)
AS_IT_IS = np.array([[[0, 0, 0, 1, 1, 0, 1, 1, 1]]], np.float32)
"""One step, one view: all of the picture, nothing changed."""


def with_values(**values: float) -> npt.NDArray[np.float32]:
    parameters = AS_IT_IS.copy()
    for name, value in values.items():
        parameters[..., PARAMETERS.index(name)] = value
    return parameters


@pytest.fixture
def picture() -> npt.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (1, 12, 16, 3), dtype=np.uint8)


def test_a_view_follows_from_seed_clip_step_and_number_alone() -> None:
    drawn = draw_views(FOUR, "clip", 2, 1.0)
    np.testing.assert_array_equal(drawn, draw_views(FOUR, "clip", 2, 1.0))
    # More views leave the first as they were.
    more = draw_views(replace(FOUR, num_views=6), "clip", 2, 1.0)
    np.testing.assert_array_equal(drawn, more[:4])
    others = [
        draw_views(FOUR, "another", 2, 1.0),
        draw_views(FOUR, "clip", 3, 1.0),
        draw_views(replace(FOUR, seed=1), "clip", 2, 1.0),
        np.roll(drawn, 1, axis=0),
    ]
    assert all((other[:, 0] != drawn[:, 0]).all() for other in others)


def test_the_stored_seed_draws_the_stored_numbers_again() -> None:
    drawn = draw_views(FOUR, "clip", 0, 4 / 3)
    again = [draw_view(FOUR, int(parameters[0]), 4 / 3) for parameters in drawn]
    np.testing.assert_array_equal(drawn, again)


@settings(max_examples=60)
@given(seed=st.integers(0, 2**24 - 1), aspect=st.floats(0.3, 3))
def test_a_part_lies_in_the_picture_and_in_the_ranges(seed: int, aspect: float) -> None:
    drawn_seed, left, top, width, height, is_mirrored, *colours = map(
        float, draw_view(FOUR, seed, aspect)
    )
    assert drawn_seed == seed
    assert left >= 0
    assert top >= 0
    assert left + width <= 1 + 1e-6
    assert top + height <= 1 + 1e-6
    assert 0.08 - 1e-6 <= width * height <= 1 + 1e-6
    is_all = width == height == 1
    assert is_all or 3 / 4 - 1e-5 <= width / height * aspect <= 4 / 3 + 1e-5
    assert is_mirrored in (0, 1)
    assert all(0.6 - 1e-6 <= factor <= 1.4 + 1e-6 for factor in colours)


def test_a_view_of_all_with_nothing_changed_is_the_picture(
    picture: npt.NDArray[np.uint8],
) -> None:
    np.testing.assert_array_equal(replay_views(picture, AS_IT_IS)[:, 0], picture)


def test_a_part_is_cut_where_its_fractions_say(picture: npt.NDArray[np.uint8]) -> None:
    quarter = with_values(left=0.25, top=0.5, width=0.5, height=0.5)
    shown = replay_views(picture, quarter, (6, 8))
    np.testing.assert_array_equal(shown[:, 0], picture[:, 6:, 4:12])


def test_a_mirrored_view_is_the_picture_from_right_to_left(
    picture: npt.NDArray[np.uint8],
) -> None:
    shown = replay_views(picture, with_values(is_mirrored=1))
    np.testing.assert_array_equal(shown[:, 0], picture[:, :, ::-1])


def test_colours_change_as_their_names_say(picture: npt.NDArray[np.uint8]) -> None:
    dark = replay_views(picture, with_values(brightness=0.5))
    np.testing.assert_array_equal(dark[:, 0], np.rint(picture * 0.5))
    grey = replay_views(picture, with_values(saturation=0))[0, 0].astype(int)
    luma = picture[0] @ np.array([0.299, 0.587, 0.114])
    assert np.abs(grey - luma[..., None]).max() <= 1
    flat = replay_views(picture, with_values(contrast=0))[0, 0]
    assert np.ptp(flat) == 0
    assert abs(int(flat.flat[0]) - luma.mean()) <= 1


def test_all_pictures_of_a_step_have_the_views_of_the_step(
    picture: npt.NDArray[np.uint8],
) -> None:
    steps = np.concatenate([AS_IT_IS, with_values(is_mirrored=1)])
    shown = replay_views(np.concatenate([picture] * 4), steps)[:, 0]
    mirrored = picture[0, :, ::-1]
    np.testing.assert_array_equal(shown, [picture[0], picture[0], mirrored, mirrored])


def test_a_step_without_views_is_black(picture: npt.NDArray[np.uint8]) -> None:
    assert not replay_views(picture, np.zeros((1, 2, 9), np.float32)).any()


def test_pictures_that_no_steps_fit_are_refused(picture: npt.NDArray[np.uint8]) -> None:
    with pytest.raises(InvalidValueError, match="1 pictures are not as many for each of 2 steps"):
        replay_views(picture, np.concatenate([AS_IT_IS, AS_IT_IS]))


def test_no_views_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="0 views of 8x8"):
        replace(FOUR, num_views=0)
