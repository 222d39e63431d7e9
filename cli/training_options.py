"""What the two training commands have in common: options, and how a run is told of."""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from avkd.cli.console import print_facts, print_json, print_note, print_result, show_progress
from avkd.errors import InvalidValueError

if TYPE_CHECKING:
    from avkd.pipeline.recipe import Recipe
    from avkd.pipeline.rounds import RoundEvent
    from avkd.pipeline.train import TrainEvent, TrainReport


class Device(StrEnum):
    """Where a network trains."""

    auto = "auto"
    cpu = "cpu"


RecipeName = Annotated[str, typer.Option("--recipe", help="See `avkd list recipes`.")]
Variant = Annotated[str, typer.Option(help="Of the recipe; its first by default.")]
Seeds = Annotated[
    list[int] | None,
    typer.Option("--seed", help="Another seed than the recipe's; several: RUN/seed-N for each."),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change a field of the recipe.", metavar="FIELD=VALUE"),
]
Split = Annotated[str, typer.Option(help="Learn from the rows of this split of the corpus only.")]
Where = Annotated[
    list[str] | None,
    typer.Option(
        help="Learn from the rows with one of these values only; may come again.",
        metavar="COLUMN=VALUE,...",
    ),
]
LabelColumn = Annotated[str, typer.Option(help="The corpus column of the labels.")]
WhichDevice = Annotated[Device, typer.Option(help="Where it trains.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print results as JSON.")]


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What changes a recipe, as options have it."""

    recipe: str
    variant: str
    split: str
    where: Sequence[str]
    label_column: str
    overrides: Sequence[str]

    def resolve(self) -> "Recipe":
        """The recipe as it is run."""
        from avkd.pipeline.recipe import with_overrides
        from avkd.pipeline.recipes.registry import get_recipe

        recipe = get_recipe(self.recipe, self.variant)
        data = recipe.data
        data = replace(data, split=self.split or data.split)
        data = replace(data, where=read_where(self.where) or data.where)
        data = replace(data, label_column=self.label_column or data.label_column)
        return with_overrides(replace(recipe, data=data), self.overrides)


def read_where(conditions: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Columns and their values, of ``light=day,dusk``; a column that comes again has both.

    Raises:
        InvalidValueError: One is not of that form.
    """
    found: dict[str, tuple[str, ...]] = {}
    for condition in conditions:
        column, _, listed = condition.partition("=")
        values = tuple(value for value in listed.split(",") if value)
        if not column or not values:
            raise InvalidValueError(f"where {condition!r} is not of the form COLUMN=VALUE,VALUE")
        found[column] = (*found.get(column, ()), *values)
    return found


def train_and_tell(
    store: str,
    run: str,
    recipe: "Recipe",
    seeds: Sequence[int],
    *,
    teachers: Sequence[str],
    init_from: str = "",
    device: Device,
    as_json: bool,
) -> None:
    """Train with each seed behind one bar, and print what came of it."""
    from avkd.pipeline.train import train_seeds

    told: set[str] = set()

    def warn(note: str) -> None:
        """Once for all seeds."""
        if note not in told:
            print_note(f"note: {note}")
        told.add(note)

    with show_progress() as show:

        def tell(seed: int, event: "TrainEvent") -> None:
            remark = f"loss {event.loss:.4f}, {event.samples_per_second:.0f} clips/s"
            what = f"train, seed {seed}" if len(seeds) > 1 else "train"
            show(what, event.update, event.num_updates, remark)

        reports = train_seeds(
            store,
            run,
            recipe,
            seeds,
            teachers=tuple(teachers),
            init_from=init_from,
            device=device.value,
            on_progress=tell,
            on_note=warn,
        )
    if os.environ.get("RANK", "0") != "0":  # of several processes under torchrun, one speaks
        return
    if as_json:
        values = [asdict(report) for report in reports]
        print_json(values[0] if len(seeds) < 2 else {"runs": values})
    else:
        for report in reports:
            _print_report(report)


def train_rounds_and_tell(
    store: str,
    run: str,
    recipe: "Recipe",
    seeds: Sequence[int],
    num_rounds: int,
    *,
    device: Device,
    as_json: bool,
) -> None:
    """Train teacher and student in turn with each seed, and print what came of it."""
    from avkd.pipeline.rounds import train_rounds

    chosen = tuple(dict.fromkeys(seeds)) or (recipe.seed,)
    reports = []
    with show_progress() as show:

        def tell(event: "RoundEvent") -> None:
            remark = f"round {event.round + 1} of {event.num_rounds}: {event.what}"
            show("rounds", event.num_done, event.num_stages, remark)

        for seed in chosen:
            place = run if len(chosen) == 1 else f"{run}/seed-{seed}"
            # The names of stored targets are the store's, so each seed has its own.
            name = "" if len(chosen) == 1 else f"{Path(run).absolute().name}-seed-{seed}"
            seeded = replace(recipe, seed=seed)
            reports.append(
                train_rounds(
                    store,
                    place,
                    seeded,
                    num_rounds,
                    name=name,
                    device=device.value,
                    on_progress=tell,
                )
            )
    if as_json:
        values = [asdict(report) for report in reports]
        print_json(values[0] if len(chosen) == 1 else {"runs": values})
        return
    for report in reports:
        print_facts(
            {
                "run": report.run,
                "rounds": len(report.rounds),
                "student": report.student,
                "trained": f"{report.num_trained} networks, the others were finished",
            }
        )


def _print_report(report: "TrainReport") -> None:
    if report.was_finished:
        print_result("nothing to do: the run is finished")
    facts: dict[str, object] = {
        "run": report.run,
        "learned from": ", ".join(report.teachers) or "labels",
        "updates": report.num_updates,
    }
    if report.first_update:
        facts["went on from update"] = report.first_update
    if not report.was_finished:
        facts["clips"] = (
            f"{report.num_clips} seen, {report.num_validation_clips} held out, "
            f"{report.num_left_out} left out"
        )
    if report.loss is not None:
        facts["loss"] = f"{report.loss:.4f}"
    if report.validation_loss is not None:
        facts["validation loss"] = f"{report.validation_loss:.4f}"
    print_facts(facts)
