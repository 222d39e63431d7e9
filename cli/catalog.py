"""`avkd list`: the names that other commands take."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated

import typer

from avkd.cli.console import print_facts, print_json


class Kind(StrEnum):
    """What can be listed."""

    teachers = "teachers"
    encoders = "encoders"
    methods = "methods"
    recipes = "recipes"


def list_names(
    kind: Annotated[Kind, typer.Argument(help="What to list.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print results as JSON.")] = False,
) -> None:
    """List teachers, encoders, methods or recipes."""
    found = {
        Kind.teachers: _list_teachers,
        Kind.encoders: _list_encoders,
        Kind.methods: _list_methods,
        Kind.recipes: _list_recipes,
    }[kind]()
    if as_json:
        print_json(found)
    else:
        print_facts(found)


def _list_teachers() -> Mapping[str, str]:
    from avkd.stages.teachers.registry import teacher_families

    return {name: family.summary for name, family in teacher_families().items()}


def _list_encoders() -> Mapping[str, str]:
    from avkd.stages.encoders.registry import ENCODERS

    return {name: _first_line(ENCODERS.get(name)) for name in ENCODERS.names()}


def _list_methods() -> Mapping[str, str]:
    from avkd.stages.methods.registry import METHODS

    return {name: _first_line(METHODS.get(name)) for name in METHODS.names()}


def _list_recipes() -> Mapping[str, str]:
    from avkd.pipeline.recipes.registry import RECIPES, recipe_variants

    return {
        name: f"{_first_line(RECIPES.get(name))} Variants: {', '.join(recipe_variants(name))}."
        for name in RECIPES.names()
    }


def _first_line(documented: object) -> str:
    return (documented.__doc__ or "").strip().partition("\n")[0]
