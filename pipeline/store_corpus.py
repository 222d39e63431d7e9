"""The recordings of a store as a corpus, for extractions that come long after the corpus was read.

A trained teacher looks at what the store holds, but `avkd extract-teacher` reads a corpus first, to
see whether there is something new. Here nothing is.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from pathlib import Path

from avkd.pipeline.extraction.vectors import is_vector
from avkd.pipeline.run_dir import write_text
from avkd.storage.store import Store
from avkd.storage.vectors import vector_values


def write_store_corpus(store: Store, file: Path) -> None:
    """Write a .jsonl of every recording once: id, the place of each stream, and its vectors."""
    rows = {str(row["recording_id"]): row for row in _read_recordings(store)}
    write_text(file, "".join(f"{json.dumps(row)}\n" for row in rows.values()))


def _read_recordings(store: Store) -> Iterator[dict[str, object]]:
    vectors = [name for name, spec in store.producers().items() if is_vector(spec)]
    for shard in store.shards():
        table = store.read_clip_columns(shard, "recording_id", "streams", "metadata")
        columns = (table[name] for name in ("recording_id", "streams", "metadata"))
        for recording_id, streams, text in zip(*columns, strict=True):
            metadata = json.loads(text)
            yield {
                "recording_id": recording_id,
                **dict(streams),
                **{name: _finite(metadata, name) for name in vectors},
            }


def _finite(metadata: Mapping[str, object], name: str) -> Sequence[float] | None:
    """None stands for what is missing or no number: its row has failed long ago."""
    try:
        values = vector_values(metadata[name])
    except (KeyError, ValueError):
        return None
    return list(values) if all(map(isfinite, values)) else None
