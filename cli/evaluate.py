"""`avkd evaluate`: options to one evaluation."""

import json
from typing import TYPE_CHECKING, Annotated, cast

import typer

from avkd.cli.console import print_json, print_result, print_table, show_progress

if TYPE_CHECKING:
    from avkd.pipeline.evaluate import Control, EvaluationReport


def evaluate(
    run: Annotated[str, typer.Argument(help="The run whose student is measured.")],
    dataset: Annotated[
        str, typer.Argument(help="A table of labelled sounds, or a folder in the layout of ESC.")
    ],
    path: Annotated[str | None, typer.Option(help="Column of the file.")] = None,
    label: Annotated[str | None, typer.Option(help="Column of the label.")] = None,
    fold: Annotated[str | None, typer.Option(help="Column of the fold.")] = None,
    split: Annotated[str | None, typer.Option(help="Column of train, validation and test.")] = None,
    layer: Annotated[
        list[str] | None, typer.Option(help="Probe this layer; may come again.")
    ] = None,
    control: Annotated[
        list[str] | None,
        typer.Option(
            help="random, scratch, mfcc, teacher or fine_tuned beside the student; may come again.",
            metavar="NAME",
        ),
    ] = None,
    labels_per_class: Annotated[
        list[int] | None,
        typer.Option(help="Training labels of a class; 0 is all; may come again."),
    ] = None,
    seed: Annotated[
        list[int] | None, typer.Option(help="Of controls and of chosen labels.  [0 1 2]")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print results as JSON.")] = False,
) -> None:
    """Probe a frozen student on labelled sounds, beside its controls."""
    from avkd.pipeline.evaluate import SEEDS, evaluate_run
    from avkd.pipeline.evaluation.datasets import read_dataset

    labelled = read_dataset(
        dataset, path_column=path, label_column=label, fold_column=fold, split_column=split
    )
    with show_progress() as show:
        report = evaluate_run(
            run,
            labelled,
            layers=tuple(layer or ()),
            controls=cast("list[Control]", control or []),
            labels_per_class=tuple(labels_per_class or (0,)),
            seeds=tuple(seed or SEEDS),
            on_progress=lambda event: show("evaluate", event.num_done, event.num_total, event.what),
        )
    if as_json:
        print_json(json.loads(report.to_json()))
    else:
        _print_report(report)


def _print_report(report: "EvaluationReport") -> None:
    print_result(
        f"{report.dataset}: {report.num_clips} clips, {len(report.class_names)} classes, "
        f"accuracy of a linear probe over {', '.join(report.trials)}"
    )
    print_table(
        ("features", "layer", "labels a class", "accuracy", "sd", "95 % interval"),
        [
            (
                score.features,
                score.layer,
                score.labels_per_class or "all",
                f"{score.mean:.3f}",
                f"{score.sd:.3f}" if len(score.accuracies) > 1 else "-",
                f"{score.low:.3f} to {score.high:.3f}",
            )
            for score in report.scores
        ],
    )
