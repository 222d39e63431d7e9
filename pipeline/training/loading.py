"""Stored rows to batches of tensors, in an order that resumes anywhere.

Conventions: a place is a position among the examples; B clips, C channels, S samples.
"""

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from avkd.pipeline.training.examples import UNSEEN, Examples
from avkd.pipeline.training.ordering import EpochOrder, count_batches, in_order, order_epoch
from avkd.pipeline.training.prefetch import prefetched
from avkd.pipeline.training.reading import (
    Dense,
    RowReader,
    SparseRows,
    StoredRow,
    StoredTargets,
    Waveform,
)
from avkd.pipeline.training.stored_boxes import gather_boxes
from avkd.stages.losses.kl import SparseTargets
from avkd.stages.methods.batch import WAVEFORM, Batch

Batches: TypeAlias = Generator[Batch | None, None, None]
FULL_SCALE = 32_768.0
SERIAL_ELEMENTS = 30_000
"""torch shares what has 32,768 elements or more out to its threads."""


@dataclass(frozen=True, kw_only=True)
class BatchOrder:
    """What decides the order of the batches."""

    batch_size: int
    """Over all ranks."""
    block_rows: int
    buffer_rows: int
    seed: int
    rank: int = 0
    num_ranks: int = 1


@dataclass(frozen=True, kw_only=True)
class BatchShape:
    """To what clips are padded: the lengths of a full clip of the student."""

    num_steps: int
    num_samples: int


@dataclass(frozen=True, kw_only=True)
class Loader:
    """Batches of some examples."""

    examples: Examples
    reader: RowReader
    shape: BatchShape
    order: BatchOrder
    flat: frozenset[str] = frozenset()
    """Producers whose rows have no step axis."""
    frames_per_step: Mapping[str, int] = field(default_factory=dict)
    """By producer, of what is several a step: how many."""
    labels: npt.NDArray[Any] | None = None
    """By place: (clips,) class numbers or (clips, classes) of 0 and 1."""

    @property
    def num_batches(self) -> int:
        """Batches of one rank in an epoch."""
        return count_batches(len(self.examples), self.order.batch_size)

    def batches(self, epoch: int, first_batch: int = 0) -> Batches:
        """The batches of an epoch from one on, read ahead by a thread.

        The same batches whether or not the epoch is entered in its middle. None stands for a batch
        of which no clip could be decoded.
        """
        if self._is_whole_set:
            return (batch for batch in (self._whole_set,))
        return prefetched(self._read(self._order(epoch), first_batch))

    def all_in_order(self) -> Batches:
        """Every example once, as they lie, for validation."""
        order = in_order(len(self.examples), batch_size=self.order.batch_size)
        return prefetched(self._read(order, 0))

    @property
    def _is_whole_set(self) -> bool:
        """Whether a batch is the set, as published full-batch experiments have it."""
        return self.order.num_ranks == 1 and self.order.batch_size >= len(self.examples)

    @cached_property
    def _whole_set(self) -> Batch | None:
        """All examples as they lie, the same batch in every epoch: made once, no order to draw."""
        order = in_order(len(self.examples), batch_size=self.order.batch_size)
        with closing(self._read(order, 0)) as batches:
            return next(batches)

    def _order(self, epoch: int) -> EpochOrder:
        order = self.order
        return order_epoch(
            self.examples.clip_rows,
            batch_size=order.batch_size,
            block_rows=order.block_rows,
            buffer_rows=order.buffer_rows,
            seed=order.seed,
            epoch=epoch,
            rank=order.rank,
            num_ranks=order.num_ranks,
        )

    def _read(self, order: EpochOrder, first_batch: int) -> Batches:
        blocks = [block.tolist() for block in order.blocks_from(first_batch)]
        arrived: set[int] = set()
        rows: dict[int, StoredRow] = {}
        # Reading is one thread, making batches of it another: both leave Python's lock mostly.
        with closing(prefetched(self.reader.read(blocks))) as read:
            arrivals = zip(blocks, read, strict=True)
            for indices in order.batches[first_batch:]:
                places = indices.tolist()
                while not arrived.issuperset(places):
                    block, block_rows = next(arrivals)
                    arrived.update(block)
                    rows.update(block_rows)
                arrived.difference_update(places)
                yield self._batch([(p, rows.pop(p)) for p in places if p in rows])

    def _batch(self, found: Sequence[tuple[int, StoredRow]]) -> Batch | None:
        if not found:
            return None
        places = [place for place, _ in found]
        rows = [row for _, row in found]
        targets = rows[0].targets
        return Batch(
            clip_ids=tuple(self.examples.clip_ids[place] for place in places),
            inputs=self._inputs(rows),
            num_steps=torch.from_numpy(self.examples.num_steps[places]),
            targets={name: _logits(rows, name, self._num_steps(name)) for name in targets.logits},
            embeddings={
                name: _steps(
                    [row.targets.embeddings[name][row.place] for row in rows],
                    self._num_steps(name),
                )
                for name in targets.embeddings
            },
            boxes={
                name: gather_boxes([row.targets.boxes[name][row.place] for row in rows])
                for name in targets.boxes
            },
            maps={
                key: _maps([row.targets.maps[key][row.place] for row in rows], self.shape.num_steps)
                for key in targets.maps
            },
            class_maps={
                name: _steps(
                    [row.targets.class_maps[name][row.place] for row in rows],
                    self.shape.num_steps,
                )
                for name in targets.class_maps
            },
            seen=self._seen(targets, places),
            full_steps=self.shape.num_steps,
            labels=None if self.labels is None else torch.from_numpy(self.labels[places]),
        )

    def _seen(self, targets: StoredTargets, places: Sequence[int]) -> dict[str, Tensor]:
        """By teacher whose boxes or maps a row holds: which clips it has seen."""
        teachers = dict.fromkeys((*targets.boxes, *(name for name, _ in targets.maps)))
        rows = self.examples.rows
        return {name: torch.from_numpy(rows[name][places] != UNSEEN) for name in teachers}

    def _inputs(self, rows: Sequence[StoredRow]) -> dict[str, Tensor]:
        inputs = {
            name: _steps(
                [row.targets.inputs[name][row.place] for row in rows], self._num_steps(name)
            )
            for name in rows[0].targets.inputs
        }
        waveforms = [row.waveform for row in rows if row.waveform is not None]
        if waveforms:
            inputs[WAVEFORM] = _waveforms(waveforms, self.shape.num_samples)
        return inputs

    def _num_steps(self, name: str) -> int | None:
        if name in self.flat:
            return None
        return self.shape.num_steps * self.frames_per_step.get(name, 1)


def _waveforms(waveforms: Sequence[Waveform], num_samples: int) -> Tensor:
    """float32 (B, C, num_samples) in [-1, 1], zeros after the stored samples."""
    result = np.zeros((len(waveforms), len(waveforms[0]), num_samples), np.float32)
    for row, waveform in zip(result, waveforms, strict=True):
        np.divide(waveform, FULL_SCALE, out=row[:, : waveform.shape[1]], dtype=np.float32)
    return torch.from_numpy(result)


def _logits(rows: Sequence[StoredRow], name: str, num_steps: int | None) -> Tensor | SparseTargets:
    dense, sparse = [], []
    for row in rows:
        logits = row.targets.logits[name]
        if isinstance(logits, SparseRows):
            each = (logits.values[row.place], logits.ids[row.place], logits.lse[row.place])
            sparse.append(each)
            temperatures = logits.temperatures
        else:
            dense.append(logits[row.place])
    if not sparse:
        return _steps(dense, num_steps)
    values, ids, lse = zip(*sparse, strict=True)
    return SparseTargets(
        values=_steps(values, num_steps),
        ids=torch.from_numpy(_stack(ids, num_steps).astype(np.int64)),
        log_sum_exp=_steps(lse, num_steps),
        temperatures=temperatures,
    )


def _maps(rows: Sequence[Dense], num_steps: int) -> Tensor:
    """float32 (B, num_steps, C, H, W), zeros after the stored steps."""
    maps = _steps(rows, num_steps)
    return maps if maps.dim() == 5 else maps[:, :, None]


def _steps(rows: Sequence[Dense], num_steps: int | None) -> Tensor:
    """(B, num_steps, ...), zeros after the stored steps, or (B, ...) without a step axis.

    float32, but pictures stay uint8.
    """
    stacked = _stack(rows, num_steps)
    if stacked.dtype == np.float16:
        return _widen(torch.from_numpy(stacked))
    dtype = np.uint8 if stacked.dtype == np.uint8 else np.float32
    return torch.from_numpy(stacked.astype(dtype, copy=False))


def _stack(rows: Sequence[Dense], num_steps: int | None) -> Dense:
    """As they are stored."""
    of_row = rows[0].shape if num_steps is None else (num_steps, *rows[0].shape[1:])
    if of_row == rows[0].shape:
        return np.stack(rows)
    stacked = np.zeros((len(rows), *of_row), rows[0].dtype)
    np.stack(rows, out=stacked[:, : len(rows[0])])
    return stacked


def _widen(halves: Tensor) -> Tensor:
    """float16 as float32, which is exact; by torch, which does it in a tenth of NumPy's time.

    In pieces that torch does not give to its threads: those are the student's.
    """
    result = torch.empty(halves.shape, dtype=torch.float32)
    wide, half = result.view(-1), halves.view(-1)
    for start in range(0, len(half), SERIAL_ELEMENTS):
        piece = slice(start, start + SERIAL_ELEMENTS)
        wide[piece].copy_(half[piece])
    return result
