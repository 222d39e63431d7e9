"""`avkd gc`: what of a store can go."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from avkd.cli.console import print_json, print_note, print_result, show_progress
from avkd.pipeline.report.numbers import counted, size

if TYPE_CHECKING:
    from avkd.pipeline.sweeping import SweepReport


def gc(
    store: Annotated[str, typer.Argument(help="The store.")],
    rewrite: Annotated[
        bool,
        typer.Option(
            "--rewrite", help="Write removed recordings out of their shards; not while extracting."
        ),
    ] = False,
    lease_minutes: Annotated[
        float,
        typer.Option(help="Younger files are left alone: their writer may be at work.", min=0),
    ] = 60.0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would go and delete nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print results as JSON.")] = False,
) -> None:
    """Delete what killed processes left and, if asked to, the bytes of removed recordings."""
    from avkd.pipeline.sweeping import sweep_store

    num_shards = 0
    with show_progress() as show:

        def tell(producer: str, shard: int) -> None:
            nonlocal num_shards
            num_shards += 1
            show("rewrite", num_shards, 0, f"{producer} {shard}")

        report = sweep_store(
            store,
            lease_seconds=60.0 * lease_minutes,
            rewrites=rewrite,
            dry_run=dry_run,
            on_shard=tell,
        )
    if as_json:
        print_json(asdict(report))
    else:
        _print_report(report, store)


def _print_report(report: "SweepReport", store: str) -> None:
    verb = "would go" if report.is_dry_run else "deleted"
    for path in report.leftovers:
        print_result(f"{path}: {verb}")
    for name, shard in report.rewritten:
        print_result(f"shard {shard} of {name}: {_say_rewritten(report)}")
    for shard in report.erased:
        print_result(f"clips of shard {shard}: {_say_rewritten(report)}")
    print_result(f"{counted(len(report.leftovers), 'leftover')}, {size(report.num_bytes)} {verb}")
    if report.num_shards_to_rewrite:
        print_note(
            f"{counted(report.num_shards_to_rewrite, 'shard')} still with bytes of removed "
            f"recordings: `avkd gc {store} --rewrite`"
        )


def _say_rewritten(report: "SweepReport") -> str:
    return "would be rewritten" if report.is_dry_run else "rewritten without removed recordings"
