"""`avkd train-teacher`: a teacher from labelled rows of a store, or from pictures of a corpus."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated

import typer

from avkd.cli.detector_training import train_detectors_and_tell
from avkd.cli.segmenter_training import train_segmenters_and_tell
from avkd.cli.training_options import (
    AsJson,
    Choices,
    Device,
    LabelColumn,
    Overrides,
    Seeds,
    Split,
    Variant,
    Where,
    WhichDevice,
    train_and_tell,
)
from avkd.errors import InvalidValueError


class Task(StrEnum):
    """What a teacher is for, where it is not for the labels of rows."""

    detection = "detection"
    segmentation = "segmentation"


def train_teacher(
    source: Annotated[
        str,
        typer.Argument(help="The store with inputs and labelled rows; with --task, the corpus."),
    ],
    run: Annotated[str, typer.Argument(help="The folder of the teacher, new or to go on with.")],
    task: Annotated[
        Task | None,
        typer.Option(
            help="From a corpus: detection, of boxes, or segmentation, of the class of each pixel."
        ),
    ] = None,
    recipe: Annotated[str, typer.Option(help="See `avkd list recipes`; not with --task.")] = "",
    variant: Variant = "",
    split: Split = "",
    where: Where = None,
    label_column: LabelColumn = "",
    group_column: Annotated[
        str, typer.Option(help="Refuse splits that share a value of this column, as a speaker.")
    ] = "",
    truth: Annotated[
        str,
        typer.Option(help="With --task: the table of boxes, or of class maps (docs: detectors)."),
    ] = "",
    stream: Annotated[
        str,
        typer.Option(
            help="With --task: whose pictures; :LOW:HIGH for 16-bit gray from LOW to HIGH.  [rgb]",
            metavar="STREAM",
        ),
    ] = "",
    picture_size: Annotated[
        str,
        typer.Option(
            help="With --task: pictures are stretched to that, multiples of 32.  [320x192]",
            metavar="WIDTHxHEIGHT",
        ),
    ] = "",
    classes: Annotated[
        list[str] | None,
        typer.Option(
            help="With --task: CLASS, or CLASS=KIND,KIND of the truth; for detection, one alone "
            "that is no kind stands for all.  [vehicle; segmentation: those of the truth]",
            metavar="CLASS",
        ),
    ] = None,
    min_visible: Annotated[
        float | None,
        typer.Option(help="Detection: boxes of which less is visible do not count.  [0.25]"),
    ] = None,
    seed: Seeds = None,
    override: Overrides = None,
    device: WhichDevice = Device.auto,
    as_json: AsJson = False,
) -> None:
    """Train a teacher on labels, from stored inputs and embeddings; goes on where it stopped.

    Its run folder is a teacher for `avkd extract-teacher CORPUS STORE --teacher NAME=RUN`. With
    `--task detection`: a detector, from the pictures and boxes of a corpus. With `--task
    segmentation`: a segmenter, from its pictures and class maps.
    """
    for_pictures = {
        "--truth": truth,
        "--stream": stream,
        "--picture-size": picture_size,
        "--classes": classes,
    }
    for_rows = {
        "--recipe": recipe,
        "--variant": variant,
        "--where": where,
        "--label-column": label_column,
        "--group-column": group_column,
    }
    if task is not None:
        _refuse_given(for_rows, f"is not for --task {task}, which has one recipe (--set)")
        options: dict[str, object] = {
            "stream": stream or None,
            "picture_size": picture_size or None,
            "classes": classes,
            "split": split or None,
        }
        train = train_segmenters_and_tell
        if task is Task.detection:
            train, options["min_visible"] = train_detectors_and_tell, min_visible
        else:
            _refuse_given({"--min-visible": min_visible}, "is for --task detection")
        train(
            source,
            run,
            truth,
            options,
            override or (),
            seed or (),
            device=device,
            as_json=as_json,
        )
        return
    _refuse_given(for_pictures, "is for --task detection or segmentation; give that too")
    _refuse_given({"--min-visible": min_visible}, "is for --task detection; give that too")
    if not recipe:
        raise InvalidValueError(
            "no recipe; give --recipe (see avkd list recipes), or --task detection"
        )
    groups = [f"data.group_column={group_column}"] if group_column else []
    choices = Choices(
        recipe=recipe,
        variant=variant,
        split=split,
        where=where or (),
        label_column=label_column,
        overrides=(*groups, *(override or ())),
    )
    resolved = choices.resolve()
    if resolved.data.label_column is None:
        raise InvalidValueError(
            f"recipe {recipe!r} reads no labels and trains no teacher; give --label-column, or "
            "train it as a student with avkd train-student"
        )
    train_and_tell(source, run, resolved, seed or (), teachers=(), device=device, as_json=as_json)


def _refuse_given(options: Mapping[str, object], why: str) -> None:
    for name, value in options.items():
        if value not in ("", None):
            raise InvalidValueError(f"{name} {why}, or leave it out")
