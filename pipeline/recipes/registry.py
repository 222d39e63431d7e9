"""The recipes there are: one file a family, one function a name, which returns all its variants."""

from collections.abc import Callable

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.pipeline.recipe import Recipe
from avkd.stages.registry import Registry

Variants = tuple[Recipe, ...]

RECIPES: Registry[Variants] = Registry(
    kind="recipe", package="avkd.pipeline.recipes", entry_point_group="avkd.recipes"
)


def register_recipe(builder: Callable[[], Variants]) -> Callable[[], Variants]:
    """Enter a function that returns its variants, the one to take by default first."""
    return RECIPES.register(builder)


def recipe_names() -> tuple[str, ...]:
    """Every recipe there is, sorted."""
    return RECIPES.names()


def recipe_variants(name: str) -> tuple[str, ...]:
    """The variants of a recipe, the default first.

    Raises:
        UnknownNameError: No recipe has that name.
    """
    return tuple(recipe.variant for recipe in RECIPES.build(spell_recipe(name)))


def spell_recipe(name: str) -> str:
    """The name as recipes have it, with underscores where papers write hyphens."""
    return name.replace("-", "_")


def get_recipe(name: str, variant: str = "") -> Recipe:
    """One variant of a recipe, the first unless told otherwise.

    Raises:
        UnknownNameError: No recipe, or no variant of it, has that name.
    """
    name = spell_recipe(name)
    variants = {recipe.variant: recipe for recipe in RECIPES.build(name)}
    if not variants:
        raise InvalidValueError(f"recipe {name!r} returns no variants")
    if variant and variant not in variants:
        raise UnknownNameError(f"variant of {name}", variant, variants)
    return variants[variant or next(iter(variants))]
