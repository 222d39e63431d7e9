"""`avkd train-student`: options to one training run."""

import os
from dataclasses import asdict, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from avkd.cli.console import print_facts, print_json, print_result, show_progress

if TYPE_CHECKING:
    from avkd.pipeline.train import TrainEvent, TrainReport


class Device(StrEnum):
    """Where a student trains."""

    auto = "auto"
    cpu = "cpu"


def train_student(
    store: Annotated[str, typer.Argument(help="The store to learn from.")],
    run: Annotated[str, typer.Argument(help="The folder of the run, new or to go on with.")],
    recipe: Annotated[str, typer.Option(help="See `avkd list recipes`.")],
    variant: Annotated[str, typer.Option(help="Of the recipe; its first by default.")] = "",
    teacher: Annotated[
        list[str] | None, typer.Option(help="Learn from these only.", metavar="NAME")
    ] = None,
    split: Annotated[
        str, typer.Option(help="Learn from the rows of this split of the corpus only.")
    ] = "",
    seed: Annotated[int | None, typer.Option(help="Another seed than the recipe's.")] = None,
    override: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a field of the recipe.", metavar="FIELD=VALUE"),
    ] = None,
    device: Annotated[Device, typer.Option(help="Where the student trains.")] = Device.auto,
    as_json: Annotated[bool, typer.Option("--json", help="Print results as JSON.")] = False,
) -> None:
    """Train a student from stored targets; goes on where it stopped."""
    from avkd.pipeline.recipe import with_overrides
    from avkd.pipeline.recipes.registry import get_recipe
    from avkd.pipeline.train import train_student as train

    resolved = get_recipe(recipe, variant)
    if seed is not None:
        resolved = replace(resolved, seed=seed)
    if split:
        resolved = replace(resolved, data=replace(resolved.data, split=split))
    resolved = with_overrides(resolved, override or ())
    with show_progress() as show:

        def tell(event: "TrainEvent") -> None:
            remark = f"loss {event.loss:.4f}, {event.samples_per_second:.0f} clips/s"
            show("train", event.update, event.num_updates, remark)

        report = train(
            store,
            run,
            resolved,
            teachers=tuple(teacher or ()),
            device=device.value,
            on_progress=tell,
        )
    if os.environ.get("RANK", "0") != "0":  # of several processes under torchrun, one speaks
        return
    if as_json:
        print_json(asdict(report))
    else:
        _print_report(report)


def _print_report(report: "TrainReport") -> None:
    if report.was_finished:
        print_result("nothing to do: the run is finished")
    facts: dict[str, object] = {
        "run": report.run,
        "teachers": ", ".join(report.teachers),
        "updates": report.num_updates,
    }
    if report.first_update:
        facts["went on from update"] = report.first_update
    if not report.was_finished:
        facts["clips"] = f"{report.num_clips} seen, {report.num_validation_clips} held out"
    if report.loss is not None:
        facts["loss"] = f"{report.loss:.4f}"
    if report.validation_loss is not None:
        facts["validation loss"] = f"{report.validation_loss:.4f}"
    print_facts(facts)
