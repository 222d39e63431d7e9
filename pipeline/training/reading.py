"""Rows of a store in blocks: targets from its arrays, sound from its cache or its recordings.

Conventions: a block is places among the examples whose rows are neighbours. Its rows are read
together and stay together, in one array an output: a row is a block and an index in it.
"""

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from avkd.pipeline.training.examples import UNSEEN, Examples
from avkd.pipeline.training.stored_boxes import BoxReader, RowBoxes
from avkd.stages.types import CLASS_MAP
from avkd.storage.arrays import stored_arrays
from avkd.storage.schema import SPARSE_TEMPERATURES
from avkd.storage.sparse import SparseLogits
from avkd.storage.store import Store

Waveform: TypeAlias = npt.NDArray[np.int16]
Dense: TypeAlias = npt.NDArray[Any]
Block: TypeAlias = Sequence[int]
DenseRows: TypeAlias = Sequence[Dense] | Dense
"""Of the clips of a block: (clips, ...), or one array each."""

MEMORY_LIMIT_BYTES = 1 << 29
MAX_GAP_ROWS = 16
"""Rows with a wider gap between them are read apart."""
LARGE_ROW_BYTES = 1 << 15
"""Rows from this size on are held one by one: a block lives as long as any row of it."""


@dataclass(frozen=True, kw_only=True)
class SparseRows:
    """Sparse logits of the clips of a block."""

    values: DenseRows
    ids: DenseRows
    lse: DenseRows
    temperatures: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class StoredTargets:
    """What the teachers said of the clips of one block, in its order."""

    logits: Mapping[str, DenseRows | SparseRows] = field(default_factory=dict)
    """By teacher; of a clip (steps, classes), or (classes,) of one as a whole."""
    embeddings: Mapping[str, DenseRows] = field(default_factory=dict)
    """By teacher; of a clip (steps, D), or (D,)."""
    boxes: Mapping[str, Sequence[RowBoxes]] = field(default_factory=dict)
    """By teacher."""
    maps: Mapping[tuple[str, str], DenseRows] = field(default_factory=dict)
    """By teacher and output; of a clip (steps, C, H, W), or (steps, H, W) without channels."""
    class_maps: Mapping[str, DenseRows] = field(default_factory=dict)
    """By teacher; of a clip uint8 (steps, H, W)."""
    inputs: Mapping[str, DenseRows] = field(default_factory=dict)
    """What the student looks at beside the sound, by name."""

    def count_bytes(self) -> int:
        """The memory that they take."""
        held = [*self.embeddings.values(), *self.maps.values()]
        held += [*self.class_maps.values(), *self.inputs.values()]
        for logits in self.logits.values():
            if isinstance(logits, SparseRows):
                held += [logits.values, logits.ids, logits.lse]
            else:
                held.append(logits)
        of_boxes = sum(boxes.num_bytes for rows in self.boxes.values() for boxes in rows)
        return of_boxes + sum(_num_bytes(rows) for rows in held)


class StoredRow(NamedTuple):
    """What a student gets to learn from one clip."""

    waveform: Waveform | None
    """(channels, samples); None where the student does not hear."""
    targets: StoredTargets
    """Of its block."""
    place: int
    """In the block."""


class SoundReader(Protocol):
    """Where the sound of examples comes from."""

    def read(self, blocks: Sequence[Block]) -> Generator[Mapping[int, Waveform], None, None]:
        """Yield one mapping a block, place to waveform; clips without sound are left out."""
        ...


@dataclass(frozen=True, kw_only=True)
class StoredSound:
    """Sound that was cached as a student input."""

    store: Store
    examples: Examples
    input_name: str

    def read(self, blocks: Sequence[Block]) -> Generator[Mapping[int, Waveform], None, None]:
        """Read block after block."""
        rows = self.examples.rows[self.input_name]
        for block in blocks:
            read = read_together(self.store, self.input_name, self.input_name, rows[block])
            yield dict(zip(block, _dense(read), strict=True))


@dataclass(frozen=True, kw_only=True)
class TargetReader:
    """The targets of some teachers, and what else than sound a student looks at."""

    store: Store
    examples: Examples
    logits_of: tuple[str, ...]
    embeddings_of: tuple[str, ...] = ()
    boxes_of: Mapping[str, str] = field(default_factory=dict)
    """By teacher, the output that holds its boxes."""
    maps_of: tuple[tuple[str, str], ...] = ()
    """Teacher and output."""
    class_maps_of: tuple[str, ...] = ()
    min_box_score: float = 0.0
    """Boxes with a lower one are left out."""
    inputs: Mapping[str, str] = field(default_factory=dict)
    """By producer, the output that is an input of the student."""

    @cached_property
    def _box_readers(self) -> Mapping[str, BoxReader]:
        return {
            name: BoxReader(self.store, name, output, self.min_box_score)
            for name, output in self.boxes_of.items()
        }

    def read(self, block: Block) -> StoredTargets:
        """Read one block."""
        rows = {name: rows[block] for name, rows in self.examples.rows.items()}

        def read(name: str, output: str) -> DenseRows | SparseRows:
            return read_together(self.store, name, output, rows[name])

        return StoredTargets(
            logits={name: read(name, "logits") for name in self.logits_of},
            embeddings={name: _dense(read(name, "embedding")) for name in self.embeddings_of},
            boxes={name: reader.read(rows[name]) for name, reader in self._box_readers.items()},
            maps={(name, output): _dense(read(name, output)) for name, output in self.maps_of},
            class_maps={name: _dense(read(name, CLASS_MAP)) for name in self.class_maps_of},
            inputs={name: _dense(read(name, output)) for name, output in self.inputs.items()},
        )


class RowReader:
    """Sound and targets together; small sets of examples are held once they were read."""

    def __init__(
        self,
        targets: TargetReader,
        sound: SoundReader | None,
        memory_limit_bytes: int = MEMORY_LIMIT_BYTES,
    ) -> None:
        """Nothing is read yet."""
        self._targets = targets
        self._sound = sound
        self._memory_left = memory_limit_bytes
        self._held: dict[int, StoredRow | None] = {}

    def read(self, blocks: Sequence[Block]) -> Generator[Mapping[int, StoredRow], None, None]:
        """Yield one mapping a block, place to row, in order; clips without sound are left out."""
        missing = [[place for place in block if place not in self._held] for block in blocks]
        with closing(self._read_sound([block for block in missing if block])) as sounds:
            for block, unread in zip(blocks, missing, strict=True):
                rows = {place: self._held[place] for place in block if place in self._held}
                if unread:
                    rows.update(self._combine(unread, next(sounds)))
                yield {place: row for place, row in rows.items() if row is not None}

    def _read_sound(
        self, blocks: Sequence[Block]
    ) -> Generator[Mapping[int, Waveform | None], None, None]:
        if self._sound is not None:
            yield from self._sound.read(blocks)
            return
        for block in blocks:
            yield dict.fromkeys(block)

    def _combine(
        self, block: Block, waveforms: Mapping[int, Waveform | None]
    ) -> Mapping[int, StoredRow | None]:
        targets = self._targets.read(block)
        rows = {
            place: StoredRow(waveforms[place], targets, index) if place in waveforms else None
            for index, place in enumerate(block)
        }
        sounds = (waveform.nbytes for waveform in waveforms.values() if waveform is not None)
        self._hold(rows, targets.count_bytes() + sum(sounds))
        return rows

    def _hold(self, rows: Mapping[int, StoredRow | None], size: int) -> None:
        if size <= self._memory_left:
            self._memory_left -= size
            self._held.update(rows)


def read_scattered(
    store: Store, producer: str, output: str, rows: npt.NDArray[np.int64]
) -> list[Dense | SparseLogits]:
    """Those rows of an output, one by one; otherwise as ``read_together``."""
    found = read_together(store, producer, output, rows)
    if not isinstance(found, SparseRows):
        return list(found)
    return [
        SparseLogits(values=values, ids=ids, lse=lse, temperatures=found.temperatures)
        for values, ids, lse in zip(found.values, found.ids, found.lse, strict=True)
    ]


def read_together(
    store: Store, producer: str, output: str, rows: npt.NDArray[np.int64]
) -> DenseRows | SparseRows:
    """Those rows of an output, in the order asked for; neighbours are read together.

    Of an ``UNSEEN`` one zeros.
    """
    is_seen = rows != UNSEEN
    wanted = np.unique(rows[is_seen])
    runs: list[Sequence[Dense]] = []
    temperatures: tuple[float, ...] = SPARSE_TEMPERATURES
    for span in _spans(wanted, store.rows_per_shard):
        read = store.read_rows(producer, output, int(span[0]), int(span[-1]) + 1)
        if isinstance(read, SparseLogits):
            temperatures = read.temperatures
        runs.append([_take(array, span - span[0]) for array in _arrays(read)])
    if not is_seen.all():
        spec = store.producer(producer).output(output)
        runs.append([np.zeros((1, *each.shape), each.dtype) for each in stored_arrays(spec)])
    places = np.where(is_seen, np.searchsorted(wanted, rows), len(wanted))
    found = [_join(arrays, places) for arrays in zip(*runs, strict=True)]
    if len(found) == 1:
        return found[0]
    values, ids, lse = found
    return SparseRows(values=values, ids=ids, lse=lse, temperatures=temperatures)


def _spans(rows: npt.NDArray[np.int64], rows_per_shard: int) -> list[npt.NDArray[np.int64]]:
    """Runs of rows, which ascend, of one shard: a shard between two others may be missing."""
    is_far = np.diff(rows) > MAX_GAP_ROWS
    is_other = np.diff(rows // rows_per_shard) != 0
    spans = np.split(rows, np.flatnonzero(is_far | is_other) + 1)
    return [span for span in spans if len(span)]


def _arrays(read: Dense | SparseLogits) -> tuple[Dense, ...]:
    return (read.values, read.ids, read.lse) if isinstance(read, SparseLogits) else (read,)


def _take(array: Dense, places: npt.NDArray[np.int64]) -> Dense:
    """Those rows, which ascend; as they are if they are all."""
    return array if len(places) == len(array) else array[places]


def _join(runs: Sequence[Dense], places: npt.NDArray[np.int64]) -> DenseRows:
    """The rows at those places of some runs of rows."""
    if runs[0][:1].nbytes >= LARGE_ROW_BYTES:
        rows = [row for run in runs for row in run]
        # Copies, so that one row in a buffer does not keep its whole block in memory.
        return [rows[place].copy() for place in places]
    together = runs[0] if len(runs) == 1 else np.concatenate(runs)
    is_in_order = np.array_equal(places, np.arange(len(together)))
    return together if is_in_order else together[places]


def _dense(rows: DenseRows | SparseRows) -> DenseRows:
    assert not isinstance(rows, SparseRows)
    return rows


def _num_bytes(rows: DenseRows) -> int:
    return rows.nbytes if isinstance(rows, np.ndarray) else sum(row.nbytes for row in rows)
