import re
from dataclasses import replace

import pytest

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.pipeline.recipe import Recipe, from_json, to_json
from avkd.pipeline.recipes.registry import (
    RECIPES,
    get_recipe,
    recipe_names,
    recipe_variants,
    register_recipe,
)
from avkd.pipeline.recipes.stereosoundnet import CAMERA
from avkd.pipeline.training.students import build_student
from avkd.stages.encoders.streams import InputShape
from avkd.stages.methods.batch import LearningShape, TargetShape
from avkd.stages.methods.student import Student

ALL = [(name, variant) for name in recipe_names() for variant in recipe_variants(name)]


def test_the_soundnet_family_is_there() -> None:
    assert {"soundnet", "soundnet5", "soundnet_logmel"} <= set(recipe_names())
    assert recipe_variants("soundnet") == ("as_paper", "as_released", "tiny")
    assert recipe_variants("soundnet_logmel") == ("default", "tiny")


@pytest.mark.parametrize(("name", "variant"), ALL)
def test_every_variant_goes_to_json_and_back_and_builds_a_student(name: str, variant: str) -> None:
    recipe = get_recipe(name, variant)
    assert (recipe.name, recipe.variant) == (name, variant)
    assert from_json(to_json(recipe)) == recipe
    method, student = build_student(recipe, learning_shape(recipe))
    needs = method.needs(student)
    assert needs.inputs
    taught_by = (*needs.logits_of, *needs.embeddings_of, *needs.boxes_of, *needs.class_maps_of)
    assert taught_by or recipe.data.label_column
    layers = student.encoder.layer_names if isinstance(student, Student) else ()
    assert recipe.evaluation.layer in (None, *layers)


def learning_shape(recipe: Recipe) -> LearningShape:
    """All that any recipe asks for: a teacher, labels, and every kind of input."""
    asked = re.findall(r"efficientnet_lite\d", to_json(recipe)) or ["objects"]
    trained = re.findall(r"\b(?:av|audio)_teacher\b", to_json(recipe))
    rate = 16_000 if "voice" in to_json(recipe) else 22_050
    class_maps = TargetShape(
        num_steps=4, num_classes=0, map_classes=("road", "car"), map_size=(16, 32)
    )
    return LearningShape(
        targets={
            "objects": TargetShape(num_steps=4, num_classes=10, embedding_size=64),
            **detectors(recipe),
            **{name: TargetShape(num_steps=0, num_classes=10) for name in trained},
            "pixels": class_maps,
            "truth": replace(class_maps, is_truth=True),
        },
        inputs={
            "waveform": InputShape(shape=(2, 5 * rate), sample_rate=rate, step_seconds=1.25),
            **{name: InputShape(shape=(1,)) for name in CAMERA},
            "frames": InputShape(shape=(4, 64, 128, 3)),
            "frames_rgb": InputShape(shape=(4, 16, 32, 3)),
            "frames_depth": InputShape(shape=(4, 16, 32, 1)),
            "frames_thermal": InputShape(shape=(4, 16, 32, 1)),
            "alpha": InputShape(shape=(1,)),
            "beta": InputShape(shape=(1,)),
            **{name: InputShape(shape=(4, 64)) for name in asked},
        },
        class_names=tuple(f"class{number}" for number in range(10)),
    )


def detectors(recipe: Recipe) -> dict[str, TargetShape]:
    """One, or the three of recipes that are taught by several."""
    maps = {"features_1": (32, 12, 20), "attention_1": (1, 12, 20), "attention_2": (1, 6, 10)}
    shape = TargetShape(num_steps=4, num_classes=0, box_classes=("vehicle",), map_shapes=maps)
    several = recipe.method.name in ("mm_distillnet", "counting")
    return dict.fromkeys(("rgb", "depth", "thermal") if several else ("cars",), shape)


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_has_a_tiny_variant(name: str) -> None:
    assert "tiny" in recipe_variants(name)


def test_the_first_variant_is_the_default() -> None:
    assert get_recipe("soundnet").variant == "as_paper"


def test_the_released_soundnet_differs_from_the_paper_in_weights_and_gain() -> None:
    paper, released = get_recipe("soundnet"), get_recipe("soundnet", "as_released")
    assert released.method.options == {"weighting": "torch7"}
    assert released.evaluation.gain == 2 * paper.evaluation.gain
    assert (released.encoder, released.data) == (paper.encoder, paper.data)


@pytest.mark.parametrize(
    ("name", "variant", "words"),
    [
        ("soundnett", "", "did you mean soundnet"),
        ("soundnet", "tinny", "unknown variant of soundnet 'tinny'; did you mean tiny"),
    ],
)
def test_an_unknown_recipe_or_variant_gets_close_matches(
    name: str, variant: str, words: str
) -> None:
    with pytest.raises(UnknownNameError, match=words):
        get_recipe(name, variant)


def test_a_name_may_be_spelt_as_papers_do() -> None:
    assert get_recipe("three-level") == get_recipe("three_level")
    assert recipe_variants("mm-distillnet") == recipe_variants("mm_distillnet")


def test_a_recipe_without_variants_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe_names()
    monkeypatch.setattr(RECIPES, "_builders", dict(RECIPES._builders))

    @register_recipe
    def barren() -> tuple[()]:
        return ()

    with pytest.raises(InvalidValueError, match="no variants"):
        get_recipe("barren")
