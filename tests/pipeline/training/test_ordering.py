import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from avkd.errors import InvalidValueError
from avkd.pipeline.training.ordering import EpochOrder, in_order, order_epoch

row_sets = st.sets(st.integers(0, 2000), min_size=1, max_size=200).map(
    lambda rows: np.array(sorted(rows), np.int64)
)
sizes = st.integers(1, 40)


def epoch_order(rows: np.ndarray, *, epoch: int = 0, seed: int = 0, **changes: int) -> EpochOrder:
    options = {"batch_size": 8, "block_rows": 16, "buffer_rows": 32, **changes}
    return order_epoch(rows, seed=seed, epoch=epoch, **options)


@settings(deadline=None)
@given(row_sets, sizes, sizes, sizes, st.integers(0, 5))
def test_an_epoch_covers_each_row_once(
    rows: np.ndarray, batch_size: int, block_rows: int, extra: int, epoch: int
) -> None:
    order = epoch_order(
        rows,
        epoch=epoch,
        batch_size=batch_size,
        block_rows=block_rows,
        buffer_rows=block_rows + extra,
    )
    assert sorted(np.concatenate(order.batches)) == list(range(len(rows)))
    assert sorted(np.concatenate(order.blocks)) == list(range(len(rows)))
    lengths = {len(batch) for batch in order.batches}
    assert max(lengths) <= batch_size
    assert max(lengths) - min(lengths) <= 1


@settings(deadline=None)
@given(row_sets, sizes, st.integers(2, 4))
def test_processes_share_an_epoch_without_overlap(
    rows: np.ndarray, block_rows: int, num_ranks: int
) -> None:
    changes = {"block_rows": block_rows, "buffer_rows": 40, "num_ranks": num_ranks}
    try:
        orders = [epoch_order(rows, rank=rank, **changes) for rank in range(num_ranks)]
    except InvalidValueError:
        assume(False)
    assert len({len(order.batches) for order in orders}) == 1
    together = np.concatenate([batch for order in orders for batch in order.batches])
    assert sorted(together) == list(range(len(rows)))


@settings(deadline=None)
@given(row_sets, st.data())
def test_the_blocks_left_hold_exactly_the_rows_of_the_batches_left(
    rows: np.ndarray, data: st.DataObject
) -> None:
    order = epoch_order(rows, batch_size=7)
    first = data.draw(st.integers(0, len(order.batches) - 1))
    blocks = order.blocks_from(first)
    assert sorted(np.concatenate(blocks)) == sorted(np.concatenate(order.batches[first:]))


@settings(deadline=None)
@given(row_sets)
def test_reading_blocks_in_order_never_holds_more_than_the_buffer(rows: np.ndarray) -> None:
    order = epoch_order(rows, batch_size=8, block_rows=16, buffer_rows=32)
    held: set[int] = set()
    blocks = iter(order.blocks)
    most = 0
    for batch in order.batches:
        while not held.issuperset(batch.tolist()):
            held.update(next(blocks).tolist())
        most = max(most, len(held))
        held.difference_update(batch.tolist())
    assert most <= 32 + 16 + 8


def test_order_depends_on_seed_and_epoch_alone() -> None:
    rows = np.arange(300)
    first = np.concatenate(epoch_order(rows).batches)
    assert np.array_equal(first, np.concatenate(epoch_order(rows).batches))
    assert not np.array_equal(first, np.concatenate(epoch_order(rows, epoch=1).batches))
    assert not np.array_equal(first, np.concatenate(epoch_order(rows, seed=1).batches))


def test_neighbours_are_read_together_but_do_not_stay_together() -> None:
    rows = np.arange(512)
    order = epoch_order(rows, buffer_rows=256)
    assert all(len(set(rows[block] // 16)) == 1 for block in order.blocks)
    blocks_in_batch = [len(set(rows[batch] // 16)) for batch in order.batches]
    assert np.mean(blocks_in_batch) > 5


def test_too_many_processes_for_a_small_store_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="too few for 4 processes"):
        epoch_order(np.arange(20), num_ranks=4)


def test_validation_batches_come_as_they_lie() -> None:
    order = in_order(10, batch_size=4)
    assert [batch.tolist() for batch in order.batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
