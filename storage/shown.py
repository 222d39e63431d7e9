"""What readers are shown: commits without the rows that do not count, arrays without removed ones.

``hidden.py`` knows which these are; an attempt that another stands for is left out of sums alone.
Nobody outside this room sees a commit or an array any other way than through here.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias

from avkd.storage.arrays import AnyArray, stored_arrays
from avkd.storage.boxes import box_pieces
from avkd.storage.commits import Commit
from avkd.storage.digest import Pieces, RowSum, sum_rows
from avkd.storage.hidden import HiddenRows
from avkd.storage.producers import Producer
from avkd.storage.removals import Removals
from avkd.storage.schema import DATA_STATUSES, ClipRow, OutputSpec
from avkd.storage.sparse import SparseLogits
from avkd.storage.stored import StoredRows

ReadRow: TypeAlias = Callable[[OutputSpec, int], Any]
"""Gives what is stored of a row of an output, whether it counts or not."""


class ShownContent(Mapping[str, RowSum]):
    """A commit's sums without the rows that do not count; worked out when somebody looks.

    It takes the data of those rows, which are still in the store, and most readers never ask.
    """

    def __init__(self, compute: Callable[[], Mapping[str, RowSum]]) -> None:
        """Keep how to work it out."""
        self._compute = compute
        self._sums: Mapping[str, RowSum] | None = None

    def __getitem__(self, name: str) -> RowSum:
        return self._computed()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._computed())

    def __len__(self) -> int:
        return len(self._computed())

    def _computed(self) -> Mapping[str, RowSum]:
        if self._sums is None:
            self._sums = self._compute()
        return self._sums


@dataclass(frozen=True, kw_only=True)
class Look:
    """What of one producer counts at a moment."""

    stored: StoredRows
    producer: Producer
    hidden: HiddenRows
    removals: Removals
    """At that moment."""
    has_retries: bool
    """Whether any clip was planned more than once."""

    def show(self, commit: Commit) -> Commit:
        """Return a commit without what does not count."""
        removed = self.hidden.removed_rows(commit.shard, self.removals)
        if not removed and not self.has_retries:
            return commit
        return show_commit(commit, removed, ShownContent(lambda: self._sum(commit, removed)))

    @cached_property
    def _superseded(self) -> frozenset[int]:
        """Of the whole store; slow the first time."""
        return self.hidden.superseded_rows(self.producer.spec.name)

    def _sum(self, commit: Commit, removed: frozenset[int]) -> Mapping[str, RowSum]:
        sums = sum_counted(
            self.producer,
            commit,
            self.stored.read_clips(commit.shard),
            removed | self._superseded,
            lambda spec, row: self.stored.read_rows(self.producer, spec, row, row + 1),
        )
        newest = self.stored.read_commit(
            commit.producer,
            commit.shard,
            self.stored.find_generations(commit.producer, commit.shard),
        )
        # Rows that were just being written out are not those that the commit counted.
        return sums if newest.generation == commit.generation else self._sum(newest, removed)


def show_commit(commit: Commit, removed: frozenset[int], content: Mapping[str, RowSum]) -> Commit:
    """Return a commit without its removed rows, and with the content given."""
    counts = Counter(commit.counts)
    counts.subtract(status_of(commit, row) for row in removed)
    return replace(
        commit,
        counts={status: number for status, number in counts.items() if number},
        failures={row: why for row, why in commit.failures.items() if row not in removed},
        content=content,
        removed=removed,
    )


def status_of(commit: Commit, row: int) -> str:
    """Return what a commit as it is stored says of one of its rows."""
    return commit.failures[row][0] if row in commit.failures else "ok"


def sum_counted(
    producer: Producer,
    commit: Commit,
    clips: Sequence[ClipRow],
    hidden: Collection[int],
    read_row: ReadRow,
) -> dict[str, RowSum]:
    """Return the sums of a commit without some rows.

    Args:
        producer: whose it is.
        commit: as it is stored.
        clips: of its shard, all of them.
        hidden: the rows to leave out.
        read_row: called for those that hold data.
    """
    chosen = [(clip, status_of(commit, clip.row)) for clip in clips if clip.row in hidden]
    sums = {}
    for output in producer.spec.outputs:
        rows = (
            (clip.clip_id, status, _row_pieces(output, clip.row, status, read_row))
            for clip, status in chosen
        )
        hidden_sum = sum_rows(producer.spec.name, producer.digest, output, rows)
        sums[output.name] = commit.content[output.name] - hidden_sum
    return sums


def blank_rows(read: Any, start: int, rows: Collection[int]) -> Any:
    """Return what was read of an output from row ``start`` on, without the data of some rows."""
    if not rows:
        return read
    if isinstance(read, SparseLogits):
        places = [row - start for row in rows]
        return SparseLogits(
            values=_blank(read.values, places),
            ids=_blank(read.ids, places),
            lse=_blank(read.lse, places),
            temperatures=read.temperatures,
        )
    if hasattr(read, "column_names"):
        return drop_boxes(read, rows)
    return _blank(read, [row - start for row in rows])


def drop_boxes(table: Any, rows: Collection[int]) -> Any:
    """Return a table of boxes without those of some rows."""
    import pyarrow as pa
    import pyarrow.compute as pc

    is_hidden = pc.is_in(table["row"], pa.array(sorted(rows), pa.int64()))
    return table.filter(pc.invert(is_hidden))


def _row_pieces(output: OutputSpec, row: int, status: str, read_row: ReadRow) -> Pieces:
    if output.layout == "boxes":
        if status not in DATA_STATUSES:
            return []
        table = read_row(output, row)
        return next(box_pieces(table.combine_chunks(), [row])) if table.num_rows else []
    if status not in DATA_STATUSES:
        return [bytes(array.row_bytes) for array in stored_arrays(output)]
    read = read_row(output, row)
    arrays = (read.values, read.ids, read.lse) if isinstance(read, SparseLogits) else (read,)
    return [array.tobytes() for array in arrays]


def _blank(array: AnyArray, places: Sequence[int]) -> AnyArray:
    blanked = array.copy()
    blanked[places] = 0
    return blanked
