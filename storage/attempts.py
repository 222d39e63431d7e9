"""Which rows count: those with data, and of several attempts at a clip the last."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from avkd.storage.commits import Commit
from avkd.storage.schema import DATA_STATUSES


def rows_with_data(commit: Commit, rows_per_shard: int) -> npt.NDArray[np.int64]:
    """Return the rows of a committed shard that hold data, ascending."""
    first = commit.shard * rows_per_shard
    without = [r for r, (status, _) in commit.failures.items() if status not in DATA_STATUSES]
    return np.setdiff1d(np.arange(first, first + commit.num_rows, dtype=np.int64), without)


def choose_last_attempts(
    rows: npt.NDArray[np.int64], tables: Iterable[Mapping[str, list[Any]]]
) -> npt.NDArray[np.int64]:
    """Return the one row of each clip id, among the rows given, with the highest attempt.

    Args:
        rows: to choose from.
        tables: columns ``row``, ``clip_id`` and ``attempt``, shard by shard.
    """
    wanted = set(rows.tolist())
    last: dict[str, tuple[int, int]] = {}
    for table in tables:
        columns = (table["row"], table["clip_id"], table["attempt"])
        for row, clip_id, attempt in zip(*columns, strict=True):
            if row in wanted:
                last[clip_id] = max(last.get(clip_id, (-1, -1)), (attempt, row))
    return np.array(sorted(row for _, row in last.values()), dtype=np.int64)
