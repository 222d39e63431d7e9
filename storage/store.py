"""The door of the storage room: one store, opened by its URL."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from avkd.errors import InvalidValueError
from avkd.storage import layout, objects, plans, producers, writing
from avkd.storage.attempts import Attempts, choose_last_attempts, rows_with_data
from avkd.storage.commits import Commit, committed_shards, list_generations
from avkd.storage.digest import RowSum
from avkd.storage.hidden import HiddenRows
from avkd.storage.producers import Producer
from avkd.storage.removals import Removals
from avkd.storage.schema import FIRST_SCHEMA_VERSION, SCHEMA_VERSION, ClipRow, ProducerSpec
from avkd.storage.shown import Look, blank_rows
from avkd.storage.store_file import create_store_file, read_store_file
from avkd.storage.stored import StoredRows
from avkd.storage.summary import StoreSummary, summarise


class Store:
    """Clips in rows, and what teachers and student inputs hold for each row.

    What is written never changes, so everything read is kept; plans, commits and removals of other
    processes are seen as they appear. Rows of removed recordings are in nothing that is given here:
    not in clips, commits, counts or digests, and as zeros in arrays.
    """

    def __init__(self, url: str, clip_policy: Mapping[str, object], rows_per_shard: int) -> None:
        self.url = url
        self.clip_policy = clip_policy
        self.rows_per_shard = rows_per_shard
        self._stored = StoredRows(url, rows_per_shard)
        self._hidden = HiddenRows(self._stored)
        self._producers: dict[str, Producer] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return (Store, (self.url, self.clip_policy, self.rows_per_shard))

    def __repr__(self) -> str:
        return f"Store({self.url!r})"

    @staticmethod
    def create(url: str, *, clip_policy: Mapping[str, object], rows_per_shard: int) -> "Store":
        """Make an empty store.

        Raises:
            InvalidValueError: rows_per_shard is below 1.
            StoreUnwritableError: the place takes no files, or overwrites what is to be created
                once; RaceLostError if it holds a store.
        """
        create_store_file(url, clip_policy, rows_per_shard)
        return Store.open(url)

    @staticmethod
    def open(url: str) -> "Store":
        """Open a store.

        Raises:
            StoreNotFoundError: there is none.
            SchemaVersionError: a newer avkd made it.
            CorruptStoreError: ``store.json`` is damaged.
        """
        document = read_store_file(url)
        return Store(url, document["clip_policy"], document["rows_per_shard"])

    def plan_clips(self, clips: Sequence[ClipRow]) -> None:
        """Append clips in whole shards and grow the arrays that there are.

        Args:
            clips: their rows are consecutive and start at ``next_row()``.

        Raises:
            InvalidValueError: the rows are others, or a clip id comes twice.
            RaceLostError: another planner was faster.
        """
        if not clips:
            return
        first_row, number = self.next_row(), self._stored.num_plans
        plans.append_clips(self.url, number, clips, first_row, self.rows_per_shard)
        for producer in self._refresh_producers().values():
            producers.grow_arrays(self.url, producer, self.next_row())

    def next_row(self) -> int:
        """Return the first row of the next whole shard."""
        return self._stored.next_row()

    def shards(self) -> tuple[int, ...]:
        """Return the planned shards, ascending."""
        return tuple(sorted(self.planned_parts()))

    def planned_parts(self) -> Mapping[int, plans.PlannedPart]:
        """Return the planned clip part of every shard."""
        return self._stored.planned_parts()

    def read_clips(self, shard: int) -> tuple[ClipRow, ...]:
        """Return the clips of a planned shard, in row order.

        Raises:
            CorruptStoreError: the part is missing or damaged.
        """
        clips, removed = self._stored.read_clips(shard), self.removed_rows(shard)
        return tuple(clip for clip in clips if clip.row not in removed) if removed else clips

    def read_clip_columns(self, shard: int, *columns: str) -> dict[str, list[Any]]:
        """Return some columns of a shard's clip table, which is much faster than all rows."""
        return self._hidden.read_columns(shard, *columns)

    def removals(self) -> Removals:
        """Return what was taken down so far."""
        return self._hidden.removals()

    def removed_rows(self, shard: int) -> frozenset[int]:
        """Return the rows of a planned shard whose recordings were removed."""
        return self._hidden.removed_rows(shard, self.removals())

    @property
    def schema_version(self) -> int:
        """Of what the store holds."""
        return SCHEMA_VERSION if self.removals() else FIRST_SCHEMA_VERSION

    def recording_ids(self) -> frozenset[str]:
        """Return the recordings that have clips."""
        ids: set[str] = set()
        for shard in self.shards():
            ids.update(self.read_clip_columns(shard, "recording_id")["recording_id"])
        return frozenset(ids)

    def declare(self, producer: ProducerSpec) -> None:
        """Declare what a teacher or a student input stores; again is fine.

        Raises:
            FingerprintMismatchError: the name stands for something else.
        """
        declared = producers.declare_producer(self.url, producer, self.rows_per_shard)
        self._producers[producer.name] = declared
        producers.grow_arrays(self.url, declared, self.next_row())

    def producers(self) -> Mapping[str, ProducerSpec]:
        """Return what is declared, in name order."""
        return {name: producer.spec for name, producer in self._refresh_producers().items()}

    def missing_shards(self, name: str) -> tuple[int, ...]:
        """Return the planned shards that a producer has not committed."""
        self.producer(name)
        return tuple(sorted(self.planned_parts().keys() - self.committed_shards(name)))

    def committed_shards(self, name: str) -> frozenset[int]:
        """Return the shards that a producer has committed, by listing alone."""
        return frozenset(committed_shards(self.url, name))

    def is_committed(self, name: str, shard: int) -> bool:
        """Tell whether a producer has committed a shard by now."""
        is_first = objects.exists(objects.join(self.url, layout.commit_path(name, shard)))
        return is_first or shard in self.committed_shards(name)

    def write_shard(
        self,
        name: str,
        shard: int,
        arrays: Mapping[str, Any],
        *,
        failures: writing.Failures,
        timings: Mapping[str, float],
    ) -> Commit:
        """Write and commit one shard of a producer; what is committed is returned as it is.

        Args:
            name: of the producer.
            shard: a planned one.
            arrays: output name to (rows_per_shard, *shape), float or integer as the output is, and
                for boxes to a ``pyarrow.Table`` (see ``boxes``). Rows without data become zero,
                and so do those of recordings that were removed meanwhile.
            failures: row to (status, reason), of the rows that are not ``ok``.
            timings: stage name to seconds; kept apart from what is digested.
        """
        if self.is_committed(name, shard):
            return self.read_commit(name, shard)
        commit = writing.write_shard(
            self.url,
            self.producer(name),
            shard,
            self.rows_per_shard,
            self._stored.read_clips(shard),
            arrays,
            failures=failures,
            timings=timings,
            removed=self.removed_rows(shard),
        )
        return self._look_at(name).show(commit)

    def read_commit(self, name: str, shard: int) -> Commit:
        """Return the commit of a shard.

        Raises:
            InvalidValueError: there is none.
            CorruptStoreError: the file is damaged.
        """
        look = self._look_at(name)
        # Without removals nothing is written again, and the usual case needs no listing.
        generations = self._stored.find_generations(name, shard) if look.removals else (0,)
        return look.show(self._stored.read_commit(name, shard, generations))

    def commits(self, name: str) -> Iterator[Commit]:
        """Yield the commits of a producer, by shard."""
        look = self._look_at(name)
        for shard, generations in list_generations(self.url, name).items():
            yield look.show(self._stored.read_commit(name, shard, generations))

    def ok_rows(self, name: str) -> npt.NDArray[np.int64]:
        """Return the rows with data, ascending; of several attempts at a clip the last."""
        rows = [rows_with_data(each, self.rows_per_shard) for each in self.commits(name)]
        found = np.concatenate([np.empty(0, np.int64), *rows])
        return choose_last_attempts(found, self.attempts())

    def attempts(self) -> Attempts:
        """Return what was planned more than once, removed rows left out."""
        return self._hidden.attempts()

    def superseded_rows(self, name: str) -> frozenset[int]:
        """Return a producer's committed rows that another row of the same clip stands for."""
        return self._hidden.superseded_rows(name)

    def read_rows(self, name: str, output: str, start: int, stop: int) -> Any:
        """Return rows [start, stop) of an output, all in committed shards.

        An array (rows, *shape) if dense, ``SparseLogits``, or a ``pyarrow.Table`` of boxes.

        Raises:
            InvalidValueError: a shard in the range is not committed.
            CorruptStoreError: stored bytes are missing or damaged.
        """
        spec = self.producer(name).output(output)
        if not 0 <= start < stop:
            raise InvalidValueError(f"rows {start} to {stop} are no range; give start < stop")
        read = self._stored.read_rows(self.producer(name), spec, start, stop)
        # As known when rows were last asked for: whoever chose rows before, reads what they were.
        removals = self._hidden.known_removals()
        shards = range(start // self.rows_per_shard, (stop - 1) // self.rows_per_shard + 1)
        removed = {row for s in shards for row in self._hidden.removed_rows(s, removals)}
        return blank_rows(read, start, removed & set(range(start, stop)) if removed else removed)

    def content_digest(self) -> str:
        """Return the digest of all that is committed: equal for equal content in any order."""
        total = RowSum()
        for name in self._refresh_producers():
            for commit in self.commits(name):
                for rows in commit.content.values():
                    total += rows
        return str(total)

    def summary(self) -> StoreSummary:
        """Return what the store holds."""
        return summarise(self)

    def producer(self, name: str) -> Producer:
        """Return a declared producer.

        Raises:
            InvalidValueError: no teacher and no input has that name.
        """
        found = self._producers.get(name) or self._refresh_producers().get(name)
        if found is None:
            known = ", ".join(self._producers) or "nothing"
            raise InvalidValueError(f"{self.url} holds no {name!r}; it holds {known}")
        return found

    def _refresh_producers(self) -> dict[str, Producer]:
        for kind, name in producers.list_producers(self.url):
            if name not in self._producers:
                self._producers[name] = producers.read_producer(self.url, kind, name)
        self._producers = dict(sorted(self._producers.items()))
        return self._producers

    def _look_at(self, name: str) -> Look:
        """What of a producer counts at this moment."""
        return Look(
            stored=self._stored,
            producer=self.producer(name),
            hidden=self._hidden,
            removals=self.removals(),
            has_retries=self._hidden.has_retries(),
        )
