"""Refuses splits that share a recording or a speaker: what is tested must not have been learned."""

import json
from collections.abc import Iterator

from avkd.errors import CorpusError
from avkd.storage.store import Store


def refuse_overlap(store: Store, split: str | None, group_column: str | None) -> None:
    """Check a split against the others: by file, and by a column such as ``speaker``.

    Raises:
        CorpusError: The same file, or the same value of the column, is in another split as well.
    """
    if split is None:
        return
    owners: dict[str, set[str]] = {}
    for other, keys in _keys_of_rows(store, group_column):
        for key in keys:
            owners.setdefault(key, set()).add(other)
    for key, splits in owners.items():
        if split in splits and len(splits) > 1:
            others = ", ".join(repr(each) for each in sorted(splits) if each != split)
            raise CorpusError(
                f"{key} is in split {split!r} and in {others}; keep it on one side of the corpus"
            )


def _keys_of_rows(store: Store, column: str | None) -> Iterator[tuple[str, list[str]]]:
    """The split of every row, and what must not be in two."""
    for shard in store.shards():
        table = store.read_clip_columns(shard, "streams", "metadata")
        for streams, text in zip(table["streams"], table["metadata"], strict=True):
            metadata = json.loads(text)
            keys = [f"file {uri}" for uri in sorted({uri for _, uri in streams})]
            if column is not None and metadata.get(column) not in (None, ""):
                keys.append(f"{column} {metadata[column]!r}")
            yield str(metadata.get("split", "")), keys
