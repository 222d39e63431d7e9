"""A recipe as options of a training command: the inverse of what the command line reads."""

import json
from typing import Any

from avkd.pipeline.recipe import Recipe, differing_fields, to_json
from avkd.pipeline.recipes.registry import get_recipe

WHOLE = ("method.options", "encoder.options")
"""Given as one: names of options may hold dots."""


def recipe_options(recipe: Recipe) -> tuple[str, ...]:
    """The options with which a command resolves to that very recipe.

    Raises:
        UnknownNameError: No recipe, or no variant of it, has its name.
    """
    base = get_recipe(recipe.name, recipe.variant)
    names = dict.fromkeys(map(_settable, differing_fields(base, recipe)))
    values = json.loads(to_json(recipe))
    return (
        f"--recipe={recipe.name}",
        f"--variant={recipe.variant}",
        *(f"--set={name}={_text(_look_up(values, name))}" for name in names),
    )


def _settable(field: str) -> str:
    return next((whole for whole in WHOLE if field.startswith(whole)), field)


def _look_up(values: Any, name: str) -> object:
    for part in name.split("."):
        values = values[part]
    return values


def _text(value: object) -> str:
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value)
