"""A store as it lies on disk: every planned row, whether it counts or not.

For ``Store``, which shows of it what counts, and for what writes removed rows out. A store whose
removed rows are just being written out changes under its readers, once a file at most: what fails
to read then is looked at again.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from avkd.errors import CorruptStoreError, InvalidValueError
from avkd.storage import plans
from avkd.storage.chunk_reading import ChunkCache
from avkd.storage.clips import decode_clips, read_part
from avkd.storage.commits import Commit, list_generations, read_newest_commit
from avkd.storage.producers import Producer
from avkd.storage.reading import ArrayReader, read_boxes
from avkd.storage.schema import ClipRow, OutputSpec

FIRST_GENERATION = (0,)


class StoredRows:
    """Plans, clips, commits and arrays, kept once they were read."""

    def __init__(self, url: str, rows_per_shard: int) -> None:
        """Read nothing yet."""
        self.url = url
        self.rows_per_shard = rows_per_shard
        self.num_plans = 0
        """That are known; see ``planned_parts``."""
        self._parts: dict[int, plans.PlannedPart] = {}
        self._clips: dict[int, tuple[ClipRow, ...]] = {}
        self._commits: dict[tuple[str, int], tuple[tuple[int, ...], Commit]] = {}
        self._readers: dict[tuple[str, str], ArrayReader] = {}
        self._cache = ChunkCache()

    def planned_parts(self) -> Mapping[int, plans.PlannedPart]:
        """Return the planned clip part of every shard."""
        generations = plans.list_generations(self.url)
        for number in range(self.num_plans, len(generations)):
            parts = plans.read_plan(self.url, number, generations[number])
            self._parts.update({part.shard: part for part in parts})
            self.num_plans = number + 1
        return self._parts

    def part(self, shard: int) -> plans.PlannedPart:
        """Return the clip part of a planned shard.

        Raises:
            InvalidValueError: it is not planned.
        """
        part = self._parts.get(shard) or self.planned_parts().get(shard)
        if part is None:
            raise InvalidValueError(f"{self.url} has no shard {shard}; plan its clips first")
        return part

    def next_row(self) -> int:
        """Return the first row of the next whole shard."""
        return max((shard + 1 for shard in self.planned_parts()), default=0) * self.rows_per_shard

    def read_clips(self, shard: int) -> tuple[ClipRow, ...]:
        """Return all clips of a planned shard, in row order.

        Raises:
            CorruptStoreError: the part is missing or damaged.
        """
        if shard not in self._clips:
            self._clips[shard] = decode_clips(*self._read_part(shard))
        return self._clips[shard]

    def read_columns(self, shard: int, columns: Iterable[str]) -> dict[str, list[Any]]:
        """Return some columns of a shard's clip table."""
        data, path = self._read_part(shard)
        table: dict[str, list[Any]] = read_part(data, path, columns).to_pydict()
        return table

    def read_commit(
        self, name: str, shard: int, generations: tuple[int, ...] = FIRST_GENERATION
    ) -> Commit:
        """Return the commit of a shard.

        Args:
            name: of the producer.
            shard: a committed one.
            generations: as they were just listed; by default as where nothing was written again.

        Raises:
            InvalidValueError: there is none.
            CorruptStoreError: the file is damaged.
        """
        known = self._commits.get((name, shard))
        if known is not None and generations == known[0]:
            return known[1]
        try:
            commit = read_newest_commit(self.url, name, shard, generations)
        except FileNotFoundError:  # never there, or replaced since it was listed
            generations = self.find_generations(name, shard)
            commit = read_newest_commit(self.url, name, shard, generations)
        self._commits[name, shard] = (generations, commit)
        return commit

    def find_generations(self, name: str, shard: int) -> tuple[int, ...]:
        """Return the generations of a shard's commit.

        Raises:
            InvalidValueError: there is none.
        """
        found = list_generations(self.url, name).get(shard)
        if found is None:
            raise InvalidValueError(
                f"{self.url}: {name} has not committed shard {shard}; finish the extraction"
            )
        return found

    def read_rows(self, producer: Producer, spec: OutputSpec, start: int, stop: int) -> Any:
        """Return rows [start, stop) of an output, as ``Store.read_rows`` does.

        Raises:
            InvalidValueError: a shard in the range is not committed.
            CorruptStoreError: stored bytes are missing or damaged.
        """
        name, n = producer.spec.name, self.rows_per_shard
        shards = range(start // n, (stop - 1) // n + 1)
        known = [self._commits.get((name, shard)) for shard in shards]
        commits = [
            each[1] if each else self.read_commit(name, shard)
            for shard, each in zip(shards, known, strict=True)
        ]
        try:
            return self._read_files(producer, spec, commits, start, stop)
        except CorruptStoreError:
            newer = list_generations(self.url, name)
            if all(
                newer.get(each.shard) == (each.generation,) and not each.former_files
                for each in commits
            ):
                raise
            commits = [
                self.read_commit(name, shard, self.find_generations(name, shard))
                for shard in shards
            ]
            return self._read_files(producer, spec, commits, start, stop)

    def _read_files(
        self, producer: Producer, spec: OutputSpec, commits: Sequence[Commit], start: int, stop: int
    ) -> Any:
        if spec.layout == "boxes":
            return read_boxes(self.url, spec, list(commits), start, stop)
        key = (producer.spec.name, spec.name)
        reader = self._readers.get(key)
        if reader is None or reader.num_rows < stop:
            reader = ArrayReader(self.url, producer, spec, self.next_row(), self._cache)
            self._readers[key] = reader
        return reader.read(start, stop)

    def _read_part(self, shard: int) -> tuple[bytes, str]:
        part = self.part(shard)
        try:
            return plans.read_part_bytes(self.url, part), part.path
        except CorruptStoreError:
            self.num_plans = 0
            newer = self.planned_parts()[shard]
            if newer == part:
                raise
            return plans.read_part_bytes(self.url, newer), newer.path
