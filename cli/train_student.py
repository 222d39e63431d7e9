"""`avkd train-student`: options to one training run, or to one for each seed."""

from typing import Annotated

import typer

from avkd.cli.training_options import (
    AsJson,
    Choices,
    Device,
    LabelColumn,
    Overrides,
    RecipeName,
    Seeds,
    Split,
    Variant,
    Where,
    WhichDevice,
    train_and_tell,
    train_rounds_and_tell,
)
from avkd.errors import InvalidValueError


def train_student(
    store: Annotated[str, typer.Argument(help="The store to learn from.")],
    run: Annotated[str, typer.Argument(help="The folder of the run, new or to go on with.")],
    recipe: RecipeName,
    variant: Variant = "",
    teacher: Annotated[
        list[str] | None, typer.Option(help="Learn from these only.", metavar="NAME")
    ] = None,
    split: Split = "",
    where: Where = None,
    label_column: LabelColumn = "",
    seed: Seeds = None,
    override: Overrides = None,
    init_from: Annotated[
        str,
        typer.Option(
            help="Start from the encoder of this finished run; of RUN/seed-N each seed's own.",
            metavar="RUN",
        ),
    ] = "",
    rounds: Annotated[
        int,
        typer.Option(
            min=0,
            help="Of recipe mutual: teacher and student in turn, by stored targets (0: jointly).",
        ),
    ] = 0,
    device: WhichDevice = Device.auto,
    as_json: AsJson = False,
) -> None:
    """Train a student from stored targets; goes on where it stopped."""
    choices = Choices(
        recipe=recipe,
        variant=variant,
        split=split,
        where=where or (),
        label_column=label_column,
        overrides=override or (),
    )
    if rounds:
        if teacher:
            raise InvalidValueError("rounds make their own teachers; leave --teacher out")
        if init_from:
            raise InvalidValueError("rounds train pairs from the start; leave --init-from out")
        train_rounds_and_tell(
            store, run, choices.resolve(), seed or (), rounds, device=device, as_json=as_json
        )
        return
    train_and_tell(
        store,
        run,
        choices.resolve(),
        seed or (),
        teachers=teacher or (),
        init_from=init_from,
        device=device,
        as_json=as_json,
    )
