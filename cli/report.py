"""`avkd report`: a page with pictures about a store and the runs that learned from it."""

from typing import Annotated

import typer

from avkd.cli.console import print_json, print_result


def report(
    store: Annotated[str, typer.Argument(help="The store.")],
    run: Annotated[
        list[str] | None,
        typer.Option(help="A run with its evaluations, or a folder of its seeds; may come again."),
    ] = None,
    out: Annotated[str, typer.Option(help="The page to write.")] = "report.html",
    frames: Annotated[int, typer.Option(help="Frames to show beside the top classes.")] = 12,
    truth: Annotated[
        str | None,
        typer.Option(
            help="Of runs that say boxes: the table of true ones to draw; by default that of the "
            "first run's evaluation."
        ),
    ] = None,
    stills: Annotated[
        int, typer.Option(min=0, help="Of runs that say boxes: pictures to draw them on.")
    ] = 9,
    videos: Annotated[
        int, typer.Option(min=0, help="Of runs that say boxes: short videos to draw them on.")
    ] = 2,
    simulated: Annotated[
        bool, typer.Option("--simulated", help="Say that the recordings are made up.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print results as JSON.")] = False,
) -> None:
    """Write a page about a store: teacher top classes beside frames, losses, scores, boxes."""
    from avkd.pipeline.report.gathering import gather_report
    from avkd.pipeline.report.report import write_report

    content = gather_report(
        store,
        tuple(run or ()),
        num_frames=frames,
        simulated=simulated,
        truth=truth,
        num_stills=stills,
        num_videos=videos,
    )
    path = write_report(content, out)
    if as_json:
        print_json({"report": path})
    else:
        print_result(f"report: {path}")
