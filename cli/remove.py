"""`avkd remove`: recordings taken down."""

from dataclasses import asdict
from typing import Annotated

import typer

from avkd.cli.console import print_json, print_note, print_result
from avkd.pipeline.report.numbers import counted


def remove(
    store: Annotated[str, typer.Argument(help="The store.")],
    recording: Annotated[
        list[str], typer.Argument(help="Ids of recordings, as the corpus gives them.")
    ],
    readmit: Annotated[
        bool,
        typer.Option(
            "--readmit",
            help="Let the next extraction plan them again; what was removed stays removed.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print results as JSON.")] = False,
) -> None:
    """Take recordings down: hidden from every reader, count and digest at once."""
    from avkd.pipeline.removal import readmit_recordings, remove_recordings
    from avkd.storage.store import Store

    opened = Store.open(store)
    act = readmit_recordings if readmit else remove_recordings
    report = act(opened, recording)
    digest = opened.content_digest()
    if as_json:
        print_json({**asdict(report), "content_digest": digest})
        return
    done = "let in again" if readmit else "removed"
    for name in report.changed:
        print_result(f"{name}: {done}")
    for name in report.unchanged:
        print_result(f"{name}: {'not removed' if readmit else 'removed before'}")
    print_result(f"content digest  {digest}")
    if report.num_clips:
        print_note(
            f"{counted(report.num_clips, 'clip')} hidden; `avkd gc {store} --rewrite` deletes "
            "the bytes"
        )
