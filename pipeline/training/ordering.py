"""In which order the rows of an epoch come: a pure function of rows, seed and epoch.

Blocks of neighbouring rows are shuffled, their rows flow through a buffer, and rows leave the
buffer at random. Nothing is read here, so that a run can resume anywhere by computing the order
again.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avkd.errors import InvalidValueError

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class EpochOrder:
    """The batches of one process in one epoch."""

    batches: tuple[Indices, ...]
    """Positions of examples; sizes differ by at most one."""
    blocks: tuple[Indices, ...]
    """Positions of the examples of every block, in the order in which the batches need them."""

    def blocks_from(self, first_batch: int) -> tuple[Indices, ...]:
        """The blocks that the batches from that one on still need, without rows already used."""
        needed = np.zeros(1 + max(int(block.max()) for block in self.blocks), np.bool_)
        for batch in self.batches[first_batch:]:
            needed[batch] = True
        rest = (block[needed[block]] for block in self.blocks)
        return tuple(block for block in rest if len(block))


def order_epoch(
    rows: Indices,
    *,
    batch_size: int,
    block_rows: int,
    buffer_rows: int,
    seed: int,
    epoch: int,
    rank: int = 0,
    num_ranks: int = 1,
) -> EpochOrder:
    """Every example once, over all ranks; ``rows`` are the row numbers that decide neighbourhood.

    Every rank has count_batches batches; together they are of batch_size examples or a little less.

    Raises:
        InvalidValueError: There are fewer examples than ranks need.
    """
    generator = np.random.default_rng([seed, epoch])
    blocks = _blocks(rows, block_rows)
    permuted = generator.permutation(len(blocks))
    shares = [permuted[r::num_ranks] for r in range(num_ranks)]
    num_batches = count_batches(len(rows), batch_size)
    if min(sum(len(blocks[b]) for b in share) for share in shares) < num_batches:
        raise InvalidValueError(
            f"{len(rows)} rows in {len(blocks)} blocks are too few for {num_ranks} processes; "
            "start fewer or lower data.block_rows"
        )
    mine = [blocks[b] for b in shares[rank]]
    order = _through_buffer(mine, buffer_rows, np.random.default_rng([seed, epoch, rank, 1]))
    return EpochOrder(batches=tuple(np.array_split(order, num_batches)), blocks=tuple(mine))


def count_batches(num_examples: int, batch_size: int) -> int:
    """Batches of an epoch: of every rank, and of every epoch."""
    return -(-num_examples // batch_size)


def in_order(num_examples: int, *, batch_size: int) -> EpochOrder:
    """Every example once, as they lie."""
    cuts = range(batch_size, num_examples, batch_size)
    batches = tuple(np.split(np.arange(num_examples), list(cuts)))
    return EpochOrder(batches=batches, blocks=batches)


def _blocks(rows: Indices, block_rows: int) -> list[Indices]:
    """Positions of the rows, grouped by ``row // block_rows``."""
    by_row = np.argsort(rows, kind="stable")
    numbers = rows[by_row] // block_rows
    return np.split(by_row, np.flatnonzero(np.diff(numbers)) + 1)


def _through_buffer(
    blocks: list[Indices], buffer_rows: int, generator: np.random.Generator
) -> Indices:
    """Positions as they leave a buffer that is topped up block by block."""
    buffer: list[int] = []
    order: list[int] = []
    for block in blocks:
        buffer.extend(block.tolist())
        while len(buffer) > buffer_rows:
            order.append(_drawn(buffer, generator))
    while buffer:
        order.append(_drawn(buffer, generator))
    return np.array(order, np.int64)


def _drawn(buffer: list[int], generator: np.random.Generator) -> int:
    place = int(generator.integers(len(buffer)))
    buffer[place], buffer[-1] = buffer[-1], buffer[place]
    return buffer.pop()
