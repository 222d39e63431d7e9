"""Which rows count: those with data, and of several attempts at a clip the last.

A recording that could not be cut is one row without duration (its clip id is of no span). Where it
is planned again and can be cut by then, its clips have other ids, and a higher attempt: the row
without duration is *replanned* and counts no more.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from avkd.storage.commits import Commit
from avkd.storage.schema import DATA_STATUSES

ATTEMPT_COLUMNS = ("row", "clip_id", "recording_id", "duration_seconds", "attempt")
Table = Mapping[str, list[Any]]


@dataclass(frozen=True, kw_only=True)
class Attempts:
    """What was planned more than once."""

    groups: tuple[tuple[int, ...], ...] = ()
    """The rows of each clip that has several, by attempt."""
    replanned: frozenset[int] = frozenset()
    """Rows of recordings that could not be cut and were planned again as other clips."""

    def shards(self, rows_per_shard: int) -> set[int]:
        """Return the shards that hold any of these rows."""
        rows = (row for group in (*self.groups, self.replanned) for row in group)
        return {row // rows_per_shard for row in rows}


NO_ATTEMPTS = Attempts()


def find_attempts(retries: Iterable[Table], tables: Iterable[Table]) -> Attempts:
    """Find the rows that stand for one clip.

    Args:
        retries: ``ATTEMPT_COLUMNS`` of shards that hold any attempt above 0.
        tables: the same of all shards.
    """
    clip_ids: set[str] = set()
    cut_at: dict[str, int] = {}
    for _, clip_id, recording_id, duration_seconds, attempt in _iterate(retries):
        if attempt:
            clip_ids.add(clip_id)
            if duration_seconds:
                cut_at[recording_id] = max(cut_at.get(recording_id, 0), attempt)
    found: dict[str, list[tuple[int, int]]] = {}
    replanned = set()
    for row, clip_id, recording_id, duration_seconds, attempt in _iterate(tables):
        if not duration_seconds and attempt < cut_at.get(recording_id, 0):
            replanned.add(row)
        elif clip_id in clip_ids:
            found.setdefault(clip_id, []).append((attempt, row))
    groups = (tuple(row for _, row in sorted(each)) for each in found.values())
    return Attempts(
        groups=tuple(group for group in groups if len(group) > 1), replanned=frozenset(replanned)
    )


def rows_with_data(commit: Commit, rows_per_shard: int) -> npt.NDArray[np.int64]:
    """Return the rows of a committed shard that hold data and were not removed, ascending."""
    first = commit.shard * rows_per_shard
    without = [r for r, (status, _) in commit.failures.items() if status not in DATA_STATUSES]
    rows = np.arange(first, first + commit.num_rows, dtype=np.int64)
    return np.setdiff1d(rows, [*without, *commit.removed])


def choose_last_attempts(rows: npt.NDArray[np.int64], attempts: Attempts) -> npt.NDArray[np.int64]:
    """Return the one row of each clip, among the rows given, with the highest attempt."""
    given = set(rows.tolist())
    earlier = set(attempts.replanned)
    for group in attempts.groups:
        earlier.update([row for row in group if row in given][:-1])
    return np.setdiff1d(rows, np.array(sorted(earlier), np.int64))


def find_superseded(
    attempts: Attempts, commits: Mapping[int, Commit], rows_per_shard: int
) -> set[int]:
    """Return the committed rows that another row of the same clip stands for.

    Of several the last with data counts, or the last where none has any: an attempt that failed, or
    was not needed, never hides an earlier one that went well.

    Args:
        attempts: of the store.
        commits: of one producer, by shard.
        rows_per_shard: of the store.
    """

    def has_data(row: int) -> bool:
        failures = commits[row // rows_per_shard].failures
        return row not in failures or failures[row][0] in DATA_STATUSES

    superseded = {row for row in attempts.replanned if row // rows_per_shard in commits}
    for group in attempts.groups:
        done = [row for row in group if row // rows_per_shard in commits]
        good = [row for row in done if has_data(row)]
        superseded.update(set(done) - set((good or done)[-1:]))
    return superseded


def _iterate(tables: Iterable[Table]) -> Iterator[tuple[int, str, str, float, int]]:
    for table in tables:
        yield from zip(*(table[name] for name in ATTEMPT_COLUMNS), strict=True)
