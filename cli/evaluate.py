"""`avkd evaluate`: options to one evaluation, of labelled sounds or of the rows of a store."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, cast

import typer

from avkd.cli.boxes_report import evaluate_boxes_of_runs
from avkd.cli.class_maps_report import evaluate_class_maps_of_runs
from avkd.cli.console import print_json, print_result, print_table, show_progress
from avkd.errors import InvalidValueError

if TYPE_CHECKING:
    from avkd.pipeline.evaluate import Control, EvaluationReport


def evaluate(
    run: Annotated[
        str, typer.Argument(help="The run whose student is measured, or a folder of its seeds.")
    ],
    dataset: Annotated[
        str,
        typer.Argument(
            help="A table of labelled sounds, a folder in the layout of ESC, or a store.",
        ),
    ],
    path: Annotated[str | None, typer.Option(help="Column of the file.")] = None,
    label: Annotated[str | None, typer.Option(help="Column of the label.")] = None,
    fold: Annotated[str | None, typer.Option(help="Column of the fold.")] = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="Of a table: column of train, validation and test. Of a store: the split that is "
            "measured, test by default; '' takes all rows."
        ),
    ] = None,
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
    label_column: Annotated[
        str | None,
        typer.Option(help="Of a store: the column of the labels; by default the run's own."),
    ] = None,
    trials: Annotated[
        str | None,
        typer.Option(help="Of a store: score this list of '1 ENROL TEST' lines by embeddings."),
    ] = None,
    p_target: Annotated[
        float | None, typer.Option(help="Prior of the same speaker in minDCF.  [0.01]")
    ] = None,
    as_norm: Annotated[
        bool, typer.Option("--as-norm", help="Normalise trials by the speakers learned from.")
    ] = False,
    teacher_targets: Annotated[
        list[str] | None,
        typer.Option(
            help="Of a store: score what this stored teacher said as well; may come again.",
            metavar="NAME",
        ),
    ] = None,
    truth: Annotated[
        str | None,
        typer.Option(help="Of a store: score the student's boxes against this table of true ones."),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            help="Of a store: tell how the student's boxes agree with this stored teacher's.",
            metavar="NAME",
        ),
    ] = None,
    class_maps: Annotated[
        str | None,
        typer.Option(
            help="Of a store: score what the student says that pixels are against these stored "
            "class maps.",
            metavar="NAME",
        ),
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(
            help="Of boxes and class maps: also by the values of this column of the corpus; may "
            "come again.",
            metavar="COLUMN",
        ),
    ] = None,
    min_visible: Annotated[
        float | None,
        typer.Option(help="Of boxes: the share of a vehicle to be seen for it to count.  [0.25]"),
    ] = None,
    min_score: Annotated[
        float | None,
        typer.Option(help="Of boxes: from which score they count in distances and tracks.  [0.3]"),
    ] = None,
    tracking: Annotated[
        bool, typer.Option("--tracking", help="Of boxes: fail where tracks cannot be measured.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print results as JSON.")] = False,
) -> None:
    """Measure a student: probe it on labelled sounds beside controls, or score its own predictions.

    Sounds come from a table or a folder; predictions are of the rows of a store: labels, trials, or
    with --truth or --against boxes, with --class-maps pixels.
    """
    from avkd.pipeline.evaluation.rows import is_store

    of_sounds = {
        "--path": path,
        "--label": label,
        "--fold": fold,
        "--layer": layer,
        "--control": control,
        "--labels-per-class": labels_per_class,
        "--seed": seed,
    }
    of_rows = {
        "--label-column": label_column,
        "--trials": trials,
        "--p-target": p_target,
        "--as-norm": as_norm or None,
        "--teacher-targets": teacher_targets,
    }
    of_boxes = {
        "--truth": truth,
        "--against": against,
        "--by": by,
        "--min-visible": min_visible,
        "--min-score": min_score,
        "--tracking": tracking or None,
    }
    if is_store(dataset):
        _refuse_stray(of_sounds, f"goes with a table of sounds, but {dataset} is a store")
        if class_maps is not None:
            of_others = {**of_rows, **of_boxes}
            for name in ("--teacher-targets", "--by"):
                of_others.pop(name)
            _refuse_stray(of_others, "scores labels, trials or boxes, which --class-maps does not")
            evaluate_class_maps_of_runs(
                run,
                dataset,
                class_maps=class_maps,
                split="test" if split is None else split,
                by=by or [],
                teacher_targets=teacher_targets or [],
                as_json=as_json,
            )
            return
        if any(value is not None for value in of_boxes.values()):
            of_rows.pop("--teacher-targets")
            _refuse_stray(of_rows, "scores labels or trials, which boxes do not have")
            evaluate_boxes_of_runs(
                run,
                dataset,
                split="test" if split is None else split,
                truth=truth,
                against=against,
                by=by or [],
                min_visible=min_visible,
                min_score=min_score,
                needs_tracks=tracking,
                teacher_targets=teacher_targets or [],
                as_json=as_json,
            )
            return
        _evaluate_rows(
            run,
            dataset,
            split="test" if split is None else split,
            label_column=label_column,
            trials=trials,
            p_target=0.01 if p_target is None else p_target,
            as_norm=as_norm,
            teacher_targets=teacher_targets or [],
            as_json=as_json,
        )
        return
    of_store = of_rows | of_boxes | {"--class-maps": class_maps}
    _refuse_stray(of_store, f"goes with a store, but there is none at {dataset}")
    _evaluate_sounds(
        run,
        dataset,
        columns={"path": path, "label": label, "fold": fold, "split": split},
        layers=layer or [],
        controls=control or [],
        labels_per_class=labels_per_class or [0],
        seeds=seed or [],
        as_json=as_json,
    )


def _refuse_stray(options: Mapping[str, object], why: str) -> None:
    for name, value in options.items():
        if value is not None:
            raise InvalidValueError(f"{name} {why}; leave it out")


def _evaluate_rows(
    run: str,
    store: str,
    *,
    split: str,
    label_column: str | None,
    trials: str | None,
    p_target: float,
    as_norm: bool,
    teacher_targets: list[str],
    as_json: bool,
) -> None:
    """Evaluate every seed, and tell of each and of all."""
    from avkd.cli.rows_report import print_rows
    from avkd.pipeline.comparison.seeds import find_runs
    from avkd.pipeline.evaluation.rows import evaluate_rows, summarise_reports

    with show_progress() as show:
        reports = [
            evaluate_rows(
                each,
                store,
                split=split,
                label_column=label_column,
                trials=trials,
                p_target=p_target,
                as_norm=as_norm,
                teacher_targets=teacher_targets,
                on_progress=lambda event: show("rows", event.num_done, event.num_total, event.what),
            )
            for each in find_runs(run)
        ]
    summary = summarise_reports(reports)
    if not as_json:
        print_rows(reports, summary)
        return
    values = [json.loads(report.to_json()) for report in reports]
    over_seeds = {name: asdict(each) for name, each in summary.items()}
    print_json(values[0] if len(values) == 1 else {"runs": values, "summary": over_seeds})


def _evaluate_sounds(
    run: str,
    dataset: str,
    *,
    columns: Mapping[str, str | None],
    layers: list[str],
    controls: list[str],
    labels_per_class: list[int],
    seeds: list[int],
    as_json: bool,
) -> None:
    from avkd.pipeline.evaluate import SEEDS, evaluate_run
    from avkd.pipeline.evaluation.datasets import read_dataset

    labelled = read_dataset(
        dataset, **{f"{name}_column": column for name, column in columns.items()}
    )
    with show_progress() as show:
        report = evaluate_run(
            run,
            labelled,
            layers=layers,
            controls=cast("list[Control]", controls),
            labels_per_class=labels_per_class,
            seeds=seeds or SEEDS,
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
