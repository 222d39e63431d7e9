"""`avkd demo`: the whole product on a made-up world."""

from typing import TYPE_CHECKING, Annotated

import typer

from avkd.cli.console import print_json, print_result, print_table, show_progress

if TYPE_CHECKING:
    from avkd.pipeline.demo import DemoReport


def demo(
    out: Annotated[str, typer.Option(help="Folder for everything the demo makes.")] = "avkd-demo",
    fast: Annotated[
        bool, typer.Option("--fast", help="A smaller world and one student: under a minute.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print results as JSON.")] = False,
) -> None:
    """Make videos, teach, train students, measure them, and write a report with pictures."""
    from avkd.pipeline.demo import run_demo

    with show_progress() as show:
        report = run_demo(
            out,
            fast=fast,
            on_progress=lambda event: show(event.stage, event.num_done, event.num_total, ""),
        )
    if as_json:
        print_json(report.to_json())
    else:
        _print_report(report)


def _print_report(report: "DemoReport") -> None:
    print_result("accuracy of a linear probe on simulated test recordings, mean (sd) over seeds")
    features = tuple(report.probe_accuracy)
    print_table(
        ("labels a class", *features),
        [
            (labels, *(f"{row[name].mean:.3f} ({row[name].sd:.3f})" for name in features))
            for labels, row in report.probe_accuracy_by_labels.items()
        ],
    )
    total = sum(report.seconds.values())
    stages = ", ".join(f"{name} {value:.0f} s" for name, value in report.seconds.items())
    print_result(f"{total:.0f} s: {stages}")
    print_result(f"report: {report.report}")
