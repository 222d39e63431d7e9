"""Runs in groups: those that differ by nothing but the seed."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from avkd.errors import InvalidValueError
from avkd.pipeline.comparison.measured import MeasuredRun, read_measured
from avkd.pipeline.comparison.seeds import find_runs, is_run, is_seed_folder
from avkd.pipeline.recipe import Recipe, differing_fields, flatten, to_json

MAX_FIELDS = 3
"""That a name tells; more are in the runs' recipes."""


@dataclass(frozen=True, kw_only=True)
class RunGroup:
    """Runs of one recipe with several seeds."""

    name: str
    runs: tuple[MeasuredRun, ...]
    """By seed."""

    @property
    def recipe(self) -> Recipe:
        """Of its first seed."""
        return self.runs[0].recipe

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of the runs, ascending."""
        return tuple(run.seed for run in self.runs)


def group_runs(folders: Sequence[str]) -> tuple[RunGroup, ...]:
    """Read runs and folders of seeds; in order of appearance, the first is the baseline.

    A folder of seeds is a group. Runs that are given one by one are a group where they have one
    recipe, but for the seed, and learned from the same.

    Raises:
        StoreNotFoundError: There is no run somewhere.
        InvalidValueError: A run comes twice, has no evaluation, or is the only one; the seeds of a
            folder have several recipes.
    """
    _refuse_twice(folders)
    found: dict[str, list[tuple[str, list[MeasuredRun]]]] = {}
    for folder in folders:
        runs = [read_measured(run) for run in find_runs(folder)]
        _refuse_several_recipes(folder, runs)
        key = _identity(runs[0]) if is_run(folder) else folder
        found.setdefault(key, []).append((folder, runs))
    groups = [_build_group(given) for given in found.values()]
    if len(groups) == 1 and len(groups[0].runs) == 1:
        raise InvalidValueError(
            f"{folders[0]} is one run only; give others, or a folder of seeds, to compare"
        )
    return _with_distinct_names(groups)


def _build_group(given: Sequence[tuple[str, Sequence[MeasuredRun]]]) -> RunGroup:
    """A group of what was given for it, folder by folder."""
    runs = sorted((run for _, some in given for run in some), key=lambda run: run.seed)
    again = [run for run, later in pairwise(runs) if run.seed == later.seed]
    if again:
        raise InvalidValueError(
            f"{again[0].path} and another are the same run, with seed {again[0].seed}; give one"
        )
    recipe = runs[0].recipe
    name = _name_folder(given[0][0]) if len(given) == 1 else f"{recipe.name}/{recipe.variant}"
    return RunGroup(name=name, runs=tuple(runs))


def _name_folder(folder: str) -> str:
    """Its last part; of one seed with the folder that tells which runs these are."""
    path = Path(folder).resolve()
    return f"{path.parent.name}/{path.name}" if is_seed_folder(path.name) else path.name


def _with_distinct_names(groups: Sequence[RunGroup]) -> tuple[RunGroup, ...]:
    """Groups of one name are told apart by recipe and the fields in which they differ, or place."""
    shared = {name for name, n in Counter(group.name for group in groups).items() if n > 1}
    named = [
        replace(group, name=_describe(group, groups)) if group.name in shared else group
        for group in groups
    ]
    left = {name for name, n in Counter(group.name for group in named).items() if n > 1}
    return tuple(
        replace(group, name=str(Path(group.runs[0].path))) if group.name in left else group
        for group in named
    )


def _describe(group: RunGroup, groups: Sequence[RunGroup]) -> str:
    others = [other for other in groups if other.name == group.name and other is not group]
    fields = {name for other in others for name in differing_fields(group.recipe, other.recipe)}
    values = flatten(group.recipe)
    told = [
        f"{name.rsplit('.', 1)[-1]}={values.get(name)}"
        for name in sorted(fields - {"seed", "name", "variant"})
    ]
    recipe = f"{group.recipe.name}/{group.recipe.variant}"
    return " ".join([recipe, *told[:MAX_FIELDS]])


def _identity(run: MeasuredRun) -> str:
    """What the seeds of one group share: the recipe, what was learned from, what was started from.

    Each seed may have started from the weights of its own seed of another recipe.
    """
    learned = {name: value for name, value in run.origin.items() if name != "store"}
    if first := learned.get("initialised_from"):
        learned["initialised_from"] = {n: v for n, v in first.items() if n != "weights_sha256"}
    return to_json(replace(run.recipe, seed=0)) + json.dumps(learned, sort_keys=True)


def _refuse_twice(folders: Sequence[str]) -> None:
    places = [Path(run).resolve() for folder in folders for run in find_runs(folder)]
    for place, number in Counter(places).items():
        if number > 1:
            raise InvalidValueError(f"{place} comes {number} times; give every run once")


def _refuse_several_recipes(folder: str, runs: Sequence[MeasuredRun]) -> None:
    for run in runs[1:]:
        names = [n for n in differing_fields(runs[0].recipe, run.recipe) if n != "seed"]
        if names:
            raise InvalidValueError(
                f"{folder} holds runs of different recipes ({', '.join(names[:MAX_FIELDS])} of "
                f"{run.path} differ); give those runs one by one"
            )
