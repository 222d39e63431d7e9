"""The door of the storage room: one store, opened by its URL."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from avkd import __version__
from avkd.errors import (
    InvalidValueError,
    SchemaVersionError,
    StoreNotFoundError,
    StoreUnwritableError,
)
from avkd.storage import layout, objects, plans, producers, writing
from avkd.storage.attempts import choose_last_attempts, rows_with_data
from avkd.storage.clips import decode_clips, read_part
from avkd.storage.commits import Commit, committed_shards, read_commit
from avkd.storage.digest import RowSum
from avkd.storage.producers import Producer
from avkd.storage.reading import ArrayReader, read_boxes
from avkd.storage.schema import SCHEMA_VERSION, ClipRow, ProducerSpec
from avkd.storage.sealed import parse_object, seal, unseal
from avkd.storage.summary import StoreSummary, summarise


class Store:
    """Clips in rows, and what teachers and student inputs hold for each row.

    What is written never changes, so everything read is kept; plans and commits of other processes
    are seen as they appear.
    """

    def __init__(self, url: str, clip_policy: Mapping[str, object], rows_per_shard: int) -> None:
        self.url = url
        self.clip_policy = clip_policy
        self.rows_per_shard = rows_per_shard
        self._num_plans = 0
        self._parts: dict[int, plans.PlannedPart] = {}
        self._producers: dict[str, Producer] = {}
        self._commits: dict[tuple[str, int], Commit] = {}
        self._clips: dict[int, tuple[ClipRow, ...]] = {}
        self._readers: dict[tuple[str, str], ArrayReader] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return (Store, (self.url, self.clip_policy, self.rows_per_shard))

    def __repr__(self) -> str:
        return f"Store({self.url!r})"

    @staticmethod
    def create(url: str, *, clip_policy: Mapping[str, object], rows_per_shard: int) -> "Store":
        """Make an empty store.

        Raises:
            InvalidValueError: rows_per_shard is below 1.
            StoreUnwritableError: the place takes no files, or holds a store.
        """
        if rows_per_shard < 1:
            raise InvalidValueError(f"rows_per_shard {rows_per_shard} must be 1 or more")
        document = {
            "schema_version": SCHEMA_VERSION,
            "clip_policy": clip_policy,
            "rows_per_shard": rows_per_shard,
            "created_by": f"avkd {__version__}",
        }
        try:
            objects.create_exclusive(objects.join(url, layout.STORE_FILE), seal(document))
        except FileExistsError:
            raise StoreUnwritableError(f"{url} is a store already; open it") from None
        return Store.open(url)

    @staticmethod
    def open(url: str) -> "Store":
        """Open a store.

        Raises:
            StoreNotFoundError: there is none.
            SchemaVersionError: a newer avkd made it.
            CorruptStoreError: ``store.json`` is damaged.
        """
        try:
            data = objects.read_bytes(objects.join(url, layout.STORE_FILE))
        except (FileNotFoundError, NotADirectoryError):
            raise StoreNotFoundError(
                f"no store at {url}; make one with avkd extract-teacher"
            ) from None
        version = parse_object(data, layout.STORE_FILE).get("schema_version")
        if isinstance(version, int) and version > SCHEMA_VERSION:
            raise SchemaVersionError(
                f"{url} has schema version {version}, this avkd knows {SCHEMA_VERSION}; "
                "upgrade avkd"
            )
        document = unseal(data, layout.STORE_FILE)
        return Store(url, document["clip_policy"], document["rows_per_shard"])

    def plan_clips(self, clips: Sequence[ClipRow]) -> None:
        """Append clips in whole shards and grow the arrays that there are.

        Args:
            clips: their rows are consecutive and start at ``next_row()``.

        Raises:
            InvalidValueError: the rows are others, or a clip id comes twice.
            StoreUnwritableError: another planner was faster.
        """
        if not clips:
            return
        first_row, number = self.next_row(), self._num_plans
        plans.append_clips(self.url, number, clips, first_row, self.rows_per_shard)
        for producer in self._refresh_producers().values():
            producers.grow_arrays(self.url, producer, self.next_row())

    def next_row(self) -> int:
        """Return the first row of the next whole shard."""
        return max((shard + 1 for shard in self.shards()), default=0) * self.rows_per_shard

    def shards(self) -> tuple[int, ...]:
        """Return the planned shards, ascending."""
        return tuple(sorted(self.planned_parts()))

    def planned_parts(self) -> Mapping[int, plans.PlannedPart]:
        """Return the planned clip part of every shard."""
        for number in range(self._num_plans, plans.list_plans(self.url)):
            self._parts.update({part.shard: part for part in plans.read_plan(self.url, number)})
            self._num_plans = number + 1
        return self._parts

    def read_clips(self, shard: int) -> tuple[ClipRow, ...]:
        """Return the clips of a planned shard, in row order.

        Raises:
            CorruptStoreError: the part is missing or damaged.
        """
        if shard not in self._clips:
            part = self._part(shard)
            self._clips[shard] = decode_clips(plans.read_part_bytes(self.url, part), part.path)
        return self._clips[shard]

    def read_clip_columns(self, shard: int, *columns: str) -> dict[str, list[Any]]:
        """Return some columns of a shard's clip table, which is much faster than all rows."""
        part = self._part(shard)
        table: dict[str, list[Any]] = read_part(
            plans.read_part_bytes(self.url, part), part.path, columns
        ).to_pydict()
        return table

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
                for boxes to a ``pyarrow.Table`` (see ``boxes``). Rows without data become zero.
            failures: row to (status, reason), of the rows that are not ``ok``.
            timings: stage name to seconds; kept apart from what is digested.
        """
        if objects.exists(objects.join(self.url, layout.commit_path(name, shard))):
            return self.read_commit(name, shard)
        commit = writing.write_shard(
            self.url,
            self.producer(name),
            shard,
            self.rows_per_shard,
            self.read_clips(shard),
            arrays,
            failures=failures,
            timings=timings,
        )
        self._commits[name, shard] = commit
        return commit

    def read_commit(self, name: str, shard: int) -> Commit:
        """Return the commit of a shard.

        Raises:
            InvalidValueError: there is none.
            CorruptStoreError: the file is damaged.
        """
        if (name, shard) not in self._commits:
            try:
                self._commits[name, shard] = read_commit(self.url, name, shard)
            except FileNotFoundError:
                raise InvalidValueError(
                    f"{self.url}: {name} has not committed shard {shard}; finish the extraction"
                ) from None
        return self._commits[name, shard]

    def commits(self, name: str) -> Iterator[Commit]:
        """Yield the commits of a producer, by shard."""
        for shard in sorted(self.committed_shards(name)):
            yield self.read_commit(name, shard)

    def ok_rows(self, name: str) -> npt.NDArray[np.int64]:
        """Return the rows with data, ascending; of several attempts at a clip the last."""
        rows = [rows_with_data(each, self.rows_per_shard) for each in self.commits(name)]
        return self.last_attempts(np.concatenate([np.empty(0, np.int64), *rows]))

    def last_attempts(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the rows without those whose clip id comes again with a later attempt."""
        parts = self.planned_parts()
        if not any(part.num_retries for part in parts.values()):
            return rows
        return choose_last_attempts(rows, map(self._read_attempts, sorted(parts)))

    def read_rows(self, name: str, output: str, start: int, stop: int) -> Any:
        """Return rows [start, stop) of an output, all in committed shards.

        An array (rows, *shape) if dense, ``SparseLogits``, or a ``pyarrow.Table`` of boxes.

        Raises:
            InvalidValueError: a shard in the range is not committed.
            CorruptStoreError: stored bytes are missing or damaged.
        """
        producer = self.producer(name)
        spec = producer.output(output)
        if not 0 <= start < stop:
            raise InvalidValueError(f"rows {start} to {stop} are no range; give start < stop")
        shards = range(start // self.rows_per_shard, (stop - 1) // self.rows_per_shard + 1)
        commits = [self.read_commit(name, shard) for shard in shards]
        if spec.layout == "boxes":
            return read_boxes(self.url, spec, commits, start, stop)
        reader = self._readers.get((name, output))
        if reader is None or reader.num_rows < stop:
            reader = ArrayReader(self.url, producer, spec, self.next_row())
            self._readers[name, output] = reader
        return reader.read(start, stop)

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

    def _read_attempts(self, shard: int) -> dict[str, list[Any]]:
        return self.read_clip_columns(shard, "row", "clip_id", "attempt")

    def _part(self, shard: int) -> plans.PlannedPart:
        part = self._parts.get(shard) or self.planned_parts().get(shard)
        if part is None:
            raise InvalidValueError(f"{self.url} has no shard {shard}; plan its clips first")
        return part
