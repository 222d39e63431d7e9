"""`avkd verify`: every byte of a store against its digests."""

from dataclasses import asdict
from typing import Annotated

import typer

from avkd.cli.console import print_json, print_result, show_progress
from avkd.errors import CorruptStoreError
from avkd.pipeline.report.numbers import counted


def verify(
    store: Annotated[str, typer.Argument(help="The store.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print results as JSON.")] = False,
) -> None:
    """Check every byte of a store; names the shard of what is damaged."""
    from avkd.storage.verify import verify_store

    with show_progress() as show:
        num_shards = 0

        def tell(producer: str, shard: int) -> None:
            nonlocal num_shards
            num_shards += 1
            show("verify", num_shards, 0, f"{producer} {shard}")

        problems = verify_store(store, on_shard=tell)
    if as_json:
        print_json({"num_shards": num_shards, "problems": [asdict(each) for each in problems]})
    else:
        for problem in problems:
            print_result(str(problem))
    if problems:
        raise CorruptStoreError(
            f"{store} has {counted(len(problems), 'problem')}, the first: {problems[0]}"
        )
    if not as_json:
        print_result(f"{store}: {counted(num_shards, 'committed shard')} checked, all as written")
