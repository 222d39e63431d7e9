"""Rows of a store in blocks: targets from its arrays, sound from its cache or its recordings.

Conventions: a block is places among the examples whose rows are neighbours.
"""

from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from avkd.pipeline.training.examples import UNSEEN, Examples
from avkd.pipeline.training.stored_boxes import RowBoxes, no_boxes, split_rows
from avkd.stages.types import CLASS_MAP
from avkd.storage.sparse import SparseLogits
from avkd.storage.store import Store

Waveform: TypeAlias = npt.NDArray[np.int16]
Dense: TypeAlias = npt.NDArray[Any]
Block: TypeAlias = Sequence[int]

MEMORY_LIMIT_BYTES = 1 << 29
MAX_GAP_ROWS = 16
"""Rows with a wider gap between them are read apart."""


@dataclass(frozen=True, kw_only=True)
class StoredTargets:
    """What the teachers said of one clip."""

    logits: Mapping[str, Dense | SparseLogits] = field(default_factory=dict)
    """By teacher, of (steps, classes), or (classes,) of a clip as a whole."""
    embeddings: Mapping[str, Dense] = field(default_factory=dict)
    """By teacher: (steps, D), or (D,)."""
    boxes: Mapping[str, RowBoxes] = field(default_factory=dict)
    """By teacher."""
    maps: Mapping[tuple[str, str], Dense] = field(default_factory=dict)
    """By teacher and output: (steps, C, H, W), or (steps, H, W) of one without channels."""
    class_maps: Mapping[str, Dense] = field(default_factory=dict)
    """By teacher: uint8 (steps, H, W)."""
    inputs: Mapping[str, Dense] = field(default_factory=dict)
    """What the student looks at beside the sound, by name."""


@dataclass(frozen=True, kw_only=True)
class StoredRow:
    """What a student gets to learn from one clip."""

    waveform: Waveform | None
    """(channels, samples); None where the student does not hear."""
    targets: StoredTargets


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
            read = read_scattered(self.store, self.input_name, self.input_name, rows[block])
            yield dict(zip(block, (_dense(row) for row in read), strict=True))


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

    def read(self, block: Block) -> Mapping[int, StoredTargets]:
        """Read one block."""
        logits = self._read("logits", self.logits_of, block)
        embeddings = self._read("embedding", self.embeddings_of, block)
        boxes = {name: self._read_boxes(name, block) for name in self.boxes_of}
        maps = {
            (name, output): self._read(output, (name,), block)[name]
            for name, output in self.maps_of
        }
        class_maps = self._read(CLASS_MAP, self.class_maps_of, block)
        inputs = {
            name: rows
            for name, output in self.inputs.items()
            for rows in self._read(output, (name,), block).values()
        }
        return {
            place: StoredTargets(
                logits={name: rows[i] for name, rows in logits.items()},
                embeddings={name: _dense(rows[i]) for name, rows in embeddings.items()},
                boxes={name: rows[i] for name, rows in boxes.items()},
                maps={key: _dense(rows[i]) for key, rows in maps.items()},
                class_maps={name: _dense(rows[i]) for name, rows in class_maps.items()},
                inputs={name: _dense(rows[i]) for name, rows in inputs.items()},
            )
            for i, place in enumerate(block)
        }

    def _read_boxes(self, teacher: str, block: Block) -> list[RowBoxes]:
        rows, output = self.examples.rows[teacher][block], self.boxes_of[teacher]
        return read_boxes(self.store, teacher, output, rows, self.min_box_score)

    def _read(
        self, output: str, teachers: Iterable[str], block: Block
    ) -> dict[str, list[Dense | SparseLogits]]:
        rows = self.examples.rows
        return {
            name: read_scattered(self.store, name, output, rows[name][block]) for name in teachers
        }


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
        rows: dict[int, StoredRow | None] = dict.fromkeys(block)
        for place, waveform in waveforms.items():
            rows[place] = StoredRow(waveform=waveform, targets=targets[place])
        self._hold(rows)
        return rows

    def _hold(self, rows: Mapping[int, StoredRow | None]) -> None:
        size = sum(_num_bytes(row) for row in rows.values() if row is not None)
        if size <= self._memory_left:
            self._memory_left -= size
            self._held.update(rows)


def read_scattered(
    store: Store, producer: str, output: str, rows: npt.NDArray[np.int64]
) -> list[Dense | SparseLogits]:
    """Those rows of an output, in the order asked for; neighbours are read together.

    Of an ``UNSEEN`` one zeros.
    """
    found: dict[int, Dense | SparseLogits] = {}
    wanted = set(rows.tolist())
    if UNSEEN in wanted:
        spec = store.producer(producer).output(output)
        found[UNSEEN] = np.zeros(spec.shape, spec.dtype)
    for span in _spans(sorted(wanted - {UNSEEN}), store.rows_per_shard):
        read = store.read_rows(producer, output, span[0], span[-1] + 1)
        found.update((row, _copy_row(read, row - span[0])) for row in span)
    return [found[row] for row in rows.tolist()]


def read_boxes(
    store: Store,
    teacher: str,
    output: str,
    rows: npt.NDArray[np.int64],
    min_score: float = 0.0,
) -> list[RowBoxes]:
    """The boxes of those rows, in the order asked for, of that score at least.

    Of an ``UNSEEN`` one none.
    """
    found: dict[int, RowBoxes] = {UNSEEN: no_boxes()}
    for span in _spans(sorted(set(rows.tolist()) - {UNSEEN}), store.rows_per_shard):
        table = store.read_rows(teacher, output, span[0], span[-1] + 1)
        found.update(zip(span, split_rows(table, span, min_score), strict=True))
    return [found[row] for row in rows.tolist()]


def _spans(rows: list[int], rows_per_shard: int) -> list[list[int]]:
    """Runs of rows of one shard: a shard between two others may be missing."""
    spans: list[list[int]] = []
    for row in rows:
        if spans and _are_near(spans[-1][-1], row, rows_per_shard):
            spans[-1].append(row)
        else:
            spans.append([row])
    return spans


def _are_near(row: int, later: int, rows_per_shard: int) -> bool:
    return later - row <= MAX_GAP_ROWS and later // rows_per_shard == row // rows_per_shard


def _copy_row(read: Dense | SparseLogits, index: int) -> Dense | SparseLogits:
    # Copies, so that one row in a buffer does not keep its whole block in memory.
    if not isinstance(read, SparseLogits):
        return np.array(read[index])
    return SparseLogits(
        values=read.values[index].copy(),
        ids=read.ids[index].copy(),
        lse=read.lse[index].copy(),
        temperatures=read.temperatures,
    )


def _dense(row: Dense | SparseLogits) -> Dense:
    assert not isinstance(row, SparseLogits)
    return row


def _num_bytes(row: StoredRow) -> int:
    targets = row.targets
    arrays = [*targets.embeddings.values(), *targets.inputs.values(), *targets.maps.values()]
    arrays += targets.class_maps.values()
    if row.waveform is not None:
        arrays.append(row.waveform)
    for logits in targets.logits.values():
        if isinstance(logits, SparseLogits):
            arrays += [logits.values, logits.ids, logits.lse]
        else:
            arrays.append(logits)
    of_boxes = sum(boxes.num_bytes for boxes in targets.boxes.values())
    return of_boxes + sum(array.nbytes for array in arrays)
