"""Room in memory for a shard, before the work begins.

A worker holds each output of a shard whole until it writes it, rows without a clip as well.
"""

import os
from collections.abc import Iterable
from dataclasses import replace

from avkd.errors import InvalidValueError
from avkd.pipeline.extraction.plan import count_bytes
from avkd.pipeline.report.numbers import size
from avkd.storage.schema import ProducerSpec


def refuse_large_shards(producers: Iterable[ProducerSpec], rows_per_shard: int) -> None:
    """Refuse an output of which one shard alone is larger than this machine's memory.

    Raises:
        InvalidValueError: there is such an output.
    """
    memory = count_memory()
    for producer, output in ((spec, output) for spec in producers for output in spec.outputs):
        row_bytes = count_bytes(replace(producer, outputs=(output,)), 1)
        if rows_per_shard * row_bytes <= memory:
            continue
        name = "/".join(dict.fromkeys((producer.name, output.name)))
        num_rows = memory // row_bytes
        fewer = f"begin a store with --rows-per-shard {num_rows} or less, or " if num_rows else ""
        raise InvalidValueError(
            f"one shard of {name!r} takes {size(rows_per_shard * row_bytes)} for its "
            f"{rows_per_shard} rows, more than the {size(memory)} of this machine's memory; "
            f"{fewer}choose smaller outputs (smaller --frames, say)"
        )


def count_memory() -> int:
    """Count the bytes of this machine's memory."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
