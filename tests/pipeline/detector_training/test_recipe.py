from dataclasses import replace

import pytest

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.pipeline.detector_training.recipe import DetectorData, DetectorRecipe, read_recipe
from avkd.pipeline.picture_training.recipe_values import leaves, recipe_values, with_settings


def test_a_recipe_comes_back_from_its_values() -> None:
    data = DetectorData(stream="thermal", value_range=(1.0, 2.5), classes=("a", "b=c,d"))
    recipe = replace(DetectorRecipe(), data=data, seed=3)
    assert read_recipe(recipe_values(recipe)) == recipe
    assert leaves(recipe_values(recipe))["data.value_range"] == [1.0, 2.5]


def test_settings_replace_fields_by_dotted_name() -> None:
    recipe = with_settings(
        DetectorRecipe(),
        ["schedule.num_updates=7", "network.pyramid_width=32", "data.split=none", "data.flip=0.0"],
    )
    assert recipe.schedule.num_updates == 7
    assert recipe.network.pyramid_width == 32
    assert (recipe.data.split, recipe.data.flip) == (None, 0.0)
    assert with_settings(recipe, ["data.split=teacher"]).data.split == "teacher"


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("data.flipp=0.1", "unknown recipe field 'data.flipp'; did you mean data.flip"),
        ("data.flip", "not of the form field=value"),
        ("data.flip=often", "data.flip: input should be a valid number"),
        ("data.flip=2.0", "data.flip 2.0 must be from 0 to 1"),
        ("data.picture_size=[100,64]", "multiples of 32"),
        ("data.stream=sonar", "unknown stream of pictures 'sonar'"),
        ("data.value_range=[5.0,1.0]", "the lower value first"),
        ("data.classes=[]", "one name at least"),
        ("schedule.num_epochs=3", "set exactly one of them"),
    ],
)
def test_a_wrong_setting_is_refused_in_one_line(setting: str, words: str) -> None:
    with pytest.raises(InvalidValueError, match=words.replace("[", r"\[")) as caught:
        with_settings(DetectorRecipe(), [setting])
    assert "\n" not in str(caught.value)


def test_an_unknown_field_in_a_file_is_refused() -> None:
    with pytest.raises(InvalidValueError, match=r"network\.depth"):
        read_recipe({"network": {"depth": 3}})
    assert issubclass(UnknownNameError, InvalidValueError)
