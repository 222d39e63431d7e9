"""`avkd demo`: the whole product on a made-up world, or on a paper's own made data."""

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from avkd.cli.console import print_json, print_result, print_table, show_progress
from avkd.errors import InvalidValueError

if TYPE_CHECKING:
    from avkd.pipeline.demos.road import RoadDemoReport
    from avkd.pipeline.demos.things import DemoReport
    from avkd.pipeline.demos.two_moon import RunAccuracies, TwoMoonReport


class World(StrEnum):
    """What a demo learns from."""

    things = "things"
    road = "road"
    two_moon = "two-moon"


class MoonVersion(StrEnum):
    """What was published of TwoMoon."""

    logits = "logits"
    double_softmax = "double_softmax"


def demo(
    out: Annotated[str, typer.Option(help="Folder for everything the demo makes.")] = "avkd-demo",
    world: Annotated[
        World,
        typer.Option(help="Made-up videos or drives, or the points of MKE's first experiment."),
    ] = World.things,
    fast: Annotated[
        bool, typer.Option("--fast", help="Of things and road: a smaller world, fewer students.")
    ] = False,
    recipe: Annotated[
        str,
        typer.Option(
            help="Of road: stereosoundnet, or mm-distillnet with eight microphones and three "
            "teachers.  [stereosoundnet]"
        ),
    ] = "",
    version: Annotated[
        MoonVersion | None,
        typer.Option(help="Of two-moon: the published code as it is, or its first.  [logits]"),
    ] = None,
    ablations: Annotated[
        bool, typer.Option("--ablations", help="Of two-moon: what disturbs the student, and how.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print results as JSON.")] = False,
) -> None:
    """Make a world, teach, train students and measure them: videos, drives, points of a paper."""
    if world is not World.two_moon and (version is not None or ablations):
        raise InvalidValueError(
            "--version and --ablations go with --world two-moon; leave them out"
        )
    if world is not World.road and recipe:
        raise InvalidValueError("--recipe goes with --world road; leave it out")
    if world is World.two_moon and fast:
        raise InvalidValueError(
            "--fast goes with --world things and road; two-moon takes minutes as it is"
        )
    if world is World.things:
        _show_things(out, fast=fast, as_json=as_json)
    elif world is World.road:
        _show_road(out, recipe, fast=fast, as_json=as_json)
    else:
        _show_two_moon(out, version or MoonVersion.logits, ablations=ablations, as_json=as_json)


def _show_things(out: str, *, fast: bool, as_json: bool) -> None:
    from avkd.pipeline.demos.things import run_demo

    with show_progress() as show:
        report = run_demo(
            out,
            fast=fast,
            on_progress=lambda event: show(event.stage, event.num_done, event.num_total, ""),
        )
    if as_json:
        print_json(report.to_json())
    else:
        _print_things(report)


def _show_road(out: str, recipe: str, *, fast: bool, as_json: bool) -> None:
    from avkd.pipeline.demos.road import run_road_demo
    from avkd.pipeline.demos.road_presets import STEREO

    with show_progress() as show:
        report = run_road_demo(
            out,
            recipe=recipe or STEREO,
            fast=fast,
            on_progress=lambda event: show(event.stage, event.num_done, event.num_total, ""),
        )
    if as_json:
        print_json(report.to_json())
    else:
        _print_road(report)


def _show_two_moon(out: str, version: MoonVersion, *, ablations: bool, as_json: bool) -> None:
    from avkd.pipeline.demos.two_moon import run_two_moon

    with show_progress() as show:
        report = run_two_moon(
            out,
            version=version.value,
            ablations=ablations,
            on_progress=lambda event: show(event.stage, event.num_done, event.num_total, ""),
        )
    if as_json:
        print_json(report.to_json())
    else:
        _print_two_moon(report)


def _print_things(report: "DemoReport") -> None:
    print_result("accuracy of a linear probe on simulated test recordings, mean (sd) over seeds")
    features = tuple(report.probe_accuracy)
    print_table(
        ("labels a class", *features),
        [
            (labels, *(f"{row[name].mean:.3f} ({row[name].sd:.3f})" for name in features))
            for labels, row in report.probe_accuracy_by_labels.items()
        ],
    )
    _print_seconds(report.seconds)
    print_result(f"report: {report.report}")


def _print_road(report: "RoadDemoReport") -> None:
    from avkd.pipeline.demos.box_scores import SHOWN, tabulate_box_scores
    from avkd.pipeline.demos.road_report import name_everyone

    print_result("boxes held to the truth of simulated test drives, mean (sd) over seeds")
    everyone = name_everyone(report.scores, report.teachers)
    print_table(("drives", "who", *SHOWN), tabulate_box_scores(everyone))
    _print_seconds(report.seconds)
    print_result(f"report: {report.report}")


def _print_two_moon(report: "TwoMoonReport") -> None:
    from avkd.pipeline.demos.two_moon import NOTEBOOK

    published = NOTEBOOK[report.version]
    print_result("percent right of 200 test points, the paper's own made data; mean, sd over seeds")
    print_table(
        ("network", "mean", "sd", "notebook", "runs"),
        [
            (name, *_means(row), f"{published[name]:.1f}" if name in published else "-", _runs(row))
            for name, row in report.rows.items()
        ],
    )
    if report.ablations:
        print_table(
            ("mm_student with", "mean", "sd", "runs"),
            [(name, *_means(row), _runs(row)) for name, row in report.ablations.items()],
        )
    print_result(
        f"the teacher is right on {report.pseudo_label_accuracy:.1f} % of the 270 points that the "
        "students learn from"
    )
    _print_seconds(report.seconds)


def _means(row: "RunAccuracies") -> tuple[str, str]:
    return f"{row.mean:.1f}", f"{row.sd:.1f}" if len(row.runs) > 1 else "-"


def _runs(row: "RunAccuracies") -> str:
    return " ".join(f"{value:.1f}" for value in row.runs)


def _print_seconds(seconds: Mapping[str, float]) -> None:
    stages = ", ".join(f"{name} {value:.0f} s" for name, value in seconds.items())
    print_result(f"{sum(seconds.values()):.0f} s: {stages}")
