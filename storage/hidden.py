"""Which rows of a store do not count at this moment, for ``Store`` to leave them out.

Those of removed recordings (``removals.py``) are shown to nobody. Of several attempts at a clip
(``attempts.py``) all are shown, and one is counted.
"""

from itertools import compress
from typing import Any

from avkd.storage.attempts import (
    ATTEMPT_COLUMNS,
    NO_ATTEMPTS,
    Attempts,
    find_attempts,
    find_superseded,
)
from avkd.storage.commits import list_generations
from avkd.storage.removals import NOTHING_REMOVED, Removals, read_removals
from avkd.storage.stored import StoredRows


class HiddenRows:
    """What was removed and what was tried again; what is known of it is kept."""

    def __init__(self, stored: StoredRows) -> None:
        """Read nothing yet."""
        self._stored = stored
        self._removals: Removals | None = None
        self._removed: dict[int, tuple[int, frozenset[int]]] = {}
        self._attempts: tuple[tuple[int, int], Attempts] = ((0, 0), NO_ATTEMPTS)

    def removals(self) -> Removals:
        """Return what was taken down so far."""
        self._removals = read_removals(self._stored.url, self._removals or NOTHING_REMOVED)
        return self._removals

    def known_removals(self) -> Removals:
        """Return what was taken down when somebody last asked."""
        return self.removals() if self._removals is None else self._removals

    def removed_rows(self, shard: int, removals: Removals) -> frozenset[int]:
        """Return the rows of a planned shard that some removals hide."""
        if not removals:
            return frozenset()
        known = self._removed.get(shard)
        if known is None or known[0] != removals.num_documents:
            table = self._stored.read_columns(shard, ("recording_id", "row"))
            known = removals.num_documents, removals.hide(table["recording_id"], table["row"])
            self._removed[shard] = known
        return known[1]

    def read_columns(self, shard: int, *columns: str) -> dict[str, list[Any]]:
        """Return some columns of a shard's clip table, without removed rows."""
        removed = self.removed_rows(shard, self.removals())
        table = self._stored.read_columns(shard, {"row", *columns} if removed else columns)
        if removed:
            is_kept = [row not in removed for row in table["row"]]
            table = {name: list(compress(table[name], is_kept)) for name in columns}
        return table

    def has_retries(self) -> bool:
        """Tell whether any clip was planned more than once."""
        return any(part.num_retries for part in self._stored.planned_parts().values())

    def attempts(self) -> Attempts:
        """Return what was planned more than once, removed rows left out."""
        parts = self._stored.planned_parts()
        retries = [shard for shard, part in sorted(parts.items()) if part.num_retries]
        if not retries:
            return NO_ATTEMPTS
        key = (len(parts), self.removals().num_documents)
        if self._attempts[0] != key:
            found = find_attempts(
                *(
                    [self.read_columns(shard, *ATTEMPT_COLUMNS) for shard in shards]
                    for shards in (retries, sorted(parts))
                )
            )
            self._attempts = (key, found)
        return self._attempts[1]

    def superseded_rows(self, name: str) -> frozenset[int]:
        """Return a producer's committed rows that another row of the same clip stands for."""
        attempts = self.attempts()
        if attempts == NO_ATTEMPTS:
            return frozenset()
        shards = attempts.shards(self._stored.rows_per_shard)
        commits = {
            shard: self._stored.read_commit(name, shard, generations)
            for shard, generations in list_generations(self._stored.url, name).items()
            if shard in shards
        }
        return frozenset(find_superseded(attempts, commits, self._stored.rows_per_shard))
