import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avkd.pipeline.recipe import Recipe, with_overrides
from avkd.pipeline.recipe_options import recipe_options
from avkd.pipeline.recipes.registry import get_recipe, recipe_names, recipe_variants

ALL = [(name, variant) for name in recipe_names() for variant in recipe_variants(name)]


def resolve(options: tuple[str, ...]) -> Recipe:
    """As a training command does."""
    name, variant, *sets = options
    assert all(each.startswith("--set=") for each in sets)
    recipe = get_recipe(name.removeprefix("--recipe="), variant.removeprefix("--variant="))
    return with_overrides(recipe, [each.removeprefix("--set=") for each in sets])


@pytest.mark.parametrize(("name", "variant"), ALL)
def test_a_recipe_as_it_comes_needs_no_more_than_its_name(name: str, variant: str) -> None:
    assert recipe_options(get_recipe(name, variant)) == (f"--recipe={name}", f"--variant={variant}")


@pytest.mark.parametrize(
    "overrides",
    [
        ["optimiser.max_grad_norm=0.5", "optimiser.learning_rate=1e-05"],
        ["schedule.num_epochs=none", "schedule.num_updates=7"],
        ["data.split=none", "data.label_column=kind", 'data.classes=["a", "b;c"]'],
        ["seed=12", "seeding=once", "precision=bfloat16"],
        ["method.options.visual=beta", "method.options.mutual=false"],
        ["method.name=soundnet", "method.options={}"],
        ['encoder.options={"body_options": {"widths": [4, 8]}, "a.b.c": 1.0, "none": null}'],
        ["evaluation.layer=stage1"],
        ["encoder.options.options.waveform.body_options.widths=[2, 4]"],
    ],
)
def test_a_changed_recipe_comes_back_from_its_options(overrides: list[str]) -> None:
    changed = with_overrides(get_recipe("mutual", "tiny"), overrides)
    options = recipe_options(changed)
    assert len(options) > 2
    assert resolve(options) == changed


VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()


@settings(deadline=None)
@given(
    options=st.dictionaries(
        st.text(), VALUES | st.dictionaries(st.text(), VALUES), min_size=1, max_size=4
    )
)
def test_options_of_any_names_and_values_come_back(options: dict[str, object]) -> None:
    changed = with_overrides(
        get_recipe("mutual", "tiny"), [f"method.options={json.dumps(options)}"]
    )
    assert resolve(recipe_options(changed)) == changed
