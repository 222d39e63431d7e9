import pytest

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.pipeline.recipe import from_json, to_json
from avkd.pipeline.recipes.registry import (
    RECIPES,
    get_recipe,
    recipe_names,
    recipe_variants,
    register_recipe,
)
from avkd.stages.encoders.registry import build_encoder
from avkd.stages.methods.batch import LearningShape, TargetShape
from avkd.stages.methods.registry import build_method

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
    encoder = build_encoder(recipe.encoder.name, **recipe.encoder.options)
    method = build_method(recipe.method.name, **recipe.method.options)
    assert method.build_student(
        encoder, LearningShape(targets={"objects": TargetShape(num_steps=4, num_classes=10)})
    )
    assert recipe.evaluation.layer in (None, *encoder.layer_names)


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


def test_a_recipe_without_variants_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe_names()
    monkeypatch.setattr(RECIPES, "_builders", dict(RECIPES._builders))

    @register_recipe
    def barren() -> tuple[()]:
        return ()

    with pytest.raises(InvalidValueError, match="no variants"):
        get_recipe("barren")
