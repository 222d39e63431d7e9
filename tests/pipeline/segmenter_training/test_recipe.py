from dataclasses import replace

import pytest

from avkd.errors import InvalidValueError
from avkd.pipeline.picture_training.recipe_values import (
    read_values,
    recipe_values,
    with_settings,
)
from avkd.pipeline.segmenter_training.recipe import SegmenterData, SegmenterRecipe


def test_a_recipe_comes_back_from_its_values() -> None:
    data = SegmenterData(stream="thermal", value_range=(1.0, 2.5), classes=("a", "b=c,d"))
    recipe = replace(SegmenterRecipe(), data=data, seed=3)
    assert read_values(SegmenterRecipe, recipe_values(recipe)) == recipe


def test_settings_replace_fields_by_dotted_name() -> None:
    recipe = with_settings(
        SegmenterRecipe(),
        ["data.frames_per_recording=2", "data.map_stride=4", "network.num_blocks=0"],
    )
    assert (recipe.data.frames_per_recording, recipe.data.map_stride) == (2, 4)
    assert recipe.network.num_blocks == 0
    every = with_settings(recipe, ["data.frames_per_recording=none"])
    assert every.data.frames_per_recording is None


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("data.map_stride=3", "data.map_stride 3 must be one of"),
        ("data.frames_per_recording=0", "1 or more, or none for all"),
        ("data.balance=2.0", "data.balance 2.0 must be from 0 to 1"),
        ('data.classes=["car"]', "two or more, or none for all"),
        ("data.picture_size=[100,64]", "multiples of 32"),
        ("data.frames=3", "unknown recipe field 'data.frames'"),
    ],
)
def test_a_wrong_setting_is_refused_in_one_line(setting: str, words: str) -> None:
    with pytest.raises(InvalidValueError, match=words) as caught:
        with_settings(SegmenterRecipe(), [setting])
    assert "\n" not in str(caught.value)
