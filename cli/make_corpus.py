"""`avkd make-corpus`: a table of a data set whose file names say what is in the files."""

from typing import Annotated

import typer

from avkd.cli.console import print_json, print_note, print_result, print_table
from avkd.pipeline.report.numbers import counted


def make_corpus(
    layout: Annotated[
        str, typer.Argument(help="How files are named: ravdess, crema-d, voxceleb or folders.")
    ],
    folder: Annotated[str, typer.Argument(help="The data set's folder.")],
    out: Annotated[str, typer.Argument(help="The table to write, a .csv.")],
    labelled_share: Annotated[
        float | None,
        typer.Option(
            help="Of the speakers that are not for validation or test: their split is labelled, "
            "the others' unlabelled. Without it all of them are split train."
        ),
    ] = None,
    test_share: Annotated[float, typer.Option(help="Of the speakers.")] = 0.2,
    validation_share: Annotated[float, typer.Option(help="Of the speakers.")] = 0.1,
    seed: Annotated[int, typer.Option(help="Of who is in which split.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print results as JSON.")] = False,
) -> None:
    """Write a table with labels, speakers and splits; every speaker is in one split only."""
    from avkd.storage import corpus_making
    from avkd.storage.corpus_splits import SplitShares

    shares = SplitShares(
        test=test_share, validation=validation_share, labelled=labelled_share, seed=seed
    )
    made = corpus_making.make_corpus(layout, folder, out, shares)
    if made.strangers:
        print_note(
            f"left out, because named otherwise: {counted(len(made.strangers), 'media file')}, "
            f"the first {made.strangers[0]}"
        )
    if as_json:
        print_json(made.to_json())
        return
    print_table(
        ("split", "recordings", "speakers", "classes"),
        [
            (split, counts.num_recordings, counts.num_speakers or "-", counts.num_classes or "-")
            for split, counts in made.splits.items()
        ],
    )
    print_result(f"{made.table}: {counted(made.num_recordings, 'recording')}")
