"""The state of every clip, for each producer and over all of them."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from avkd.storage.attempts import NO_ATTEMPTS
from avkd.storage.schema import DATA_STATUSES, STATUSES

if TYPE_CHECKING:
    from avkd.storage.store import Store

# A clip takes the worst state that any producer gave it; waiting is worse than done, any failure is
# worse than waiting.
STATES = ("ok", "partial", "pending", *(status for status in STATUSES[2:]))
PENDING = STATES.index("pending")
Codes = npt.NDArray[np.int8]


@dataclass(frozen=True, kw_only=True)
class ClipStates:
    """Clips that count, each once, whatever the number of attempts at it."""

    rows: npt.NDArray[np.int64]
    """Of the last attempt, ascending."""
    codes: Mapping[str, Codes]
    """By producer, places in ``STATES``: of the last attempt with data, or else of the last."""

    def worst(self) -> Codes:
        """Return the worst state of each clip over producers; pending where there is none."""
        if not self.codes:
            return np.full(len(self.rows), PENDING, np.int8)
        worst: Codes = np.maximum.reduce(list(self.codes.values()))
        return worst


def count_states(codes: Codes) -> dict[str, int]:
    """Return how many there are of each state, in their order, without those of none."""
    counts = Counter(STATES[code] for code in codes.tolist())
    return {state: counts[state] for state in STATES if counts[state]}


def find_states(store: "Store") -> ClipStates:
    """Look up what became of every clip; reads commits and, of attempts, clip tables.

    What is planned by others while it looks is left out.
    """
    rows = _counted_rows(store)
    codes = {name: _committed_codes(store, name, rows) for name in store.producers()}
    attempts = store.attempts()
    if attempts == NO_ATTEMPTS:
        return ClipStates(rows=rows, codes=codes)
    is_last = ~np.isin(rows, sorted(attempts.replanned))
    num_known = int(rows.max(initial=-1)) + 1  # others may have planned more since
    for group in attempts.groups:
        places = np.searchsorted(rows, [row for row in group if row < num_known])
        is_last[places[:-1]] = False
        for of_producer in codes.values():
            good = [c for c in of_producer[places].tolist() if STATES[c] in DATA_STATUSES]
            if good:
                of_producer[places[-1]] = good[-1]
    return ClipStates(
        rows=rows[is_last], codes={name: each[is_last] for name, each in codes.items()}
    )


def _counted_rows(store: "Store") -> npt.NDArray[np.int64]:
    counted = [np.empty(0, np.int64)]
    for shard, part in sorted(store.planned_parts().items()):
        first = shard * store.rows_per_shard
        rows = np.arange(first, first + part.num_clips, dtype=np.int64)
        counted.append(np.setdiff1d(rows, sorted(store.removed_rows(shard))))
    return np.concatenate(counted)


def _committed_codes(store: "Store", name: str, rows: npt.NDArray[np.int64]) -> Codes:
    codes = np.full(len(rows), PENDING, np.int8)
    for commit in store.commits(name):
        first = commit.shard * store.rows_per_shard
        start, stop = np.searchsorted(rows, [first, first + store.rows_per_shard])
        failures = {row: STATES.index(status) for row, (status, _) in commit.failures.items()}
        ok = STATES.index("ok")
        codes[start:stop] = [failures.get(row, ok) for row in rows[start:stop].tolist()]
    return codes
