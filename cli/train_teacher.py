"""`avkd train-teacher`: a teacher from the labelled rows of a store."""

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
    WhichDevice,
    train_and_tell,
)
from avkd.errors import InvalidValueError


def train_teacher(
    store: Annotated[str, typer.Argument(help="The store with inputs and labelled rows.")],
    run: Annotated[str, typer.Argument(help="The folder of the teacher, new or to go on with.")],
    recipe: RecipeName,
    variant: Variant = "",
    split: Split = "",
    label_column: LabelColumn = "",
    group_column: Annotated[
        str, typer.Option(help="Refuse splits that share a value of this column, as a speaker.")
    ] = "",
    seed: Seeds = None,
    override: Overrides = None,
    device: WhichDevice = Device.auto,
    as_json: AsJson = False,
) -> None:
    """Train a teacher on labels, from stored inputs and embeddings; goes on where it stopped.

    Its run folder is a teacher for `avkd extract-teacher CORPUS STORE --teacher NAME=RUN`.
    """
    groups = [f"data.group_column={group_column}"] if group_column else []
    choices = Choices(
        recipe=recipe,
        variant=variant,
        split=split,
        label_column=label_column,
        overrides=(*groups, *(override or ())),
    )
    resolved = choices.resolve()
    if resolved.data.label_column is None:
        raise InvalidValueError(
            f"recipe {recipe!r} reads no labels and trains no teacher; give --label-column, or "
            "train it as a student with avkd train-student"
        )
    train_and_tell(store, run, resolved, seed or (), teachers=(), device=device, as_json=as_json)
