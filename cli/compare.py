"""`avkd compare`: runs side by side, with tests and what the papers print."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from avkd.cli.console import print_json, print_result, print_table

if TYPE_CHECKING:
    from avkd.pipeline.compare import Comparison
    from avkd.pipeline.comparison.tables import TextTable


def compare(
    run: Annotated[
        list[str],
        typer.Argument(help="Evaluated runs, or folders of seeds; the first is the baseline."),
    ],
    metric: Annotated[
        str, typer.Option(help="That is tested and drawn; the evaluation's first by default.")
    ] = "",
    split: Annotated[
        str | None,
        typer.Option(help="Which evaluation: a split, a probe's dataset, or a report's name."),
    ] = None,
    paper: Annotated[
        str, typer.Option(help="Lay this recipe's paper beside, not the runs' own.")
    ] = "",
    out: Annotated[
        str, typer.Option(help="Write a table, a plot and all numbers into this folder.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print results as JSON.")] = False,
) -> None:
    """Compare runs: mean and sd over seeds, paired tests over clips and seeds, the paper beside."""
    from avkd.pipeline.compare import compare_runs, write_comparison

    comparison = compare_runs(run, metric=metric, split=split, paper=paper)
    written = write_comparison(comparison, out) if out else ()
    if as_json:
        print_json(json.loads(comparison.to_json()))
        return
    _print_comparison(comparison)
    for path in written:
        print_result(f"written: {path}")


def _print_comparison(comparison: "Comparison") -> None:
    from avkd.pipeline.comparison.tables import list_notes, pairs_table, paper_table, scores_table

    print_result(f"{comparison.protocol}; mean (sd) over seeds")
    _print_table(scores_table(comparison))
    if comparison.pairs:
        print_result("")
        _print_table(pairs_table(comparison))
    for note in list_notes(comparison):
        print_result(f"note: {note}")
    for table in comparison.papers:
        print_result(f"\nprinted: {table.title} [{table.mark}]")
        _print_table(paper_table(table))


def _print_table(table: "TextTable") -> None:
    print_table(table.header, table.rows)
