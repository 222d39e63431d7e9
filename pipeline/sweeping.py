"""What of a store can go: what killed processes left, and the bytes of removed recordings."""

from collections.abc import Callable
from dataclasses import dataclass

from avkd.errors import InterruptedRunError
from avkd.pipeline.report.numbers import counted
from avkd.pipeline.signals import StopRequest, watch_signals
from avkd.storage import producers
from avkd.storage.rewrite_lock import hold_lock
from avkd.storage.rewriting import erase_clips, find_removed_shards, find_unerased, rewrite_shard
from avkd.storage.store import Store
from avkd.storage.stored import StoredRows
from avkd.storage.sweeping import DEFAULT_LEASE_SECONDS, Leftover, find_leftovers, sweep


@dataclass(frozen=True, kw_only=True)
class SweepReport:
    """What went, or would go."""

    is_dry_run: bool
    leftovers: tuple[str, ...]
    """Files that nothing names, relative to the store."""
    num_bytes: int
    """Of these files."""
    rewritten: tuple[tuple[str, int], ...]
    """Producer and number of the shards that removed rows were written out of."""
    erased: tuple[int, ...]
    """Shards whose clip tables told of removed recordings."""
    num_shards_to_rewrite: int
    """That hold removed rows, and were not asked to be rewritten."""


def sweep_store(
    url: str,
    *,
    lease_seconds: float = DEFAULT_LEASE_SECONDS,
    rewrites: bool = False,
    dry_run: bool = False,
    on_shard: Callable[[str, int], None] = lambda name, shard: None,
) -> SweepReport:
    """Delete leftovers and, if asked to, write removed rows out of their shards.

    Rewriting is for a time when nothing is extracted into the store; readers may go on, but
    one that chose its rows before a removal reads zeros for them afterwards.

    Args:
        url: of the store.
        lease_seconds: how old a file must be that nothing names (``storage/sweeping.py``).
        rewrites: whether removed rows are written out.
        dry_run: only look.
        on_shard: told the producer and number of a shard before it is rewritten.

    Raises:
        CorruptStoreError: a shard to rewrite is damaged.
        StoreUnwritableError: another process rewrites the store, or a file cannot be written.
        InterruptedRunError: a signal came; the shard in hand was finished and the lock given back.
    """
    store = Store.open(url)
    if not dry_run and rewrites and store.removals():
        with watch_signals() as stop, hold_lock(url):
            rewritten, erased = _rewrite(store, on_shard, stop)
    else:
        rewritten, erased = _list_to_rewrite(store)
    leftovers = find_leftovers(url, store.rows_per_shard, lease_seconds=lease_seconds)
    if not dry_run:
        leftovers = sweep(url, leftovers)
    return SweepReport(
        is_dry_run=dry_run,
        leftovers=tuple(each.path for each in leftovers),
        num_bytes=_count_bytes(leftovers),
        rewritten=rewritten if rewrites else (),
        erased=erased if rewrites else (),
        num_shards_to_rewrite=0 if rewrites else len(rewritten) or len(erased),
    )


def _rewrite(
    store: Store, on_shard: Callable[[str, int], None], stop: StopRequest
) -> tuple[tuple[tuple[str, int], ...], tuple[int, ...]]:
    rewritten = []
    removals = store.removals()
    for shard in stop.until_received(find_removed_shards(*_rows_of(store), removals)):
        name, number = shard.commit.producer, shard.commit.shard
        on_shard(name, number)
        rewrite_shard(store.url, shard, store.rows_per_shard)
        rewritten.append((name, number))
    if stop.received:
        raise InterruptedRunError(
            f"stopped with {counted(len(rewritten), 'shard')} rewritten; the same command goes on"
        )
    return tuple(rewritten), erase_clips(store.url, removals)


def _list_to_rewrite(store: Store) -> tuple[tuple[tuple[str, int], ...], tuple[int, ...]]:
    removals = store.removals()
    if not removals:
        return (), ()
    shards = find_removed_shards(*_rows_of(store), removals)
    return (
        tuple((each.commit.producer, each.commit.shard) for each in shards),
        find_unerased(store.url, removals),
    )


def _rows_of(store: Store) -> tuple[StoredRows, list[producers.Producer]]:
    found = producers.list_producers(store.url)
    declared = [producers.read_producer(store.url, kind, name) for kind, name in found]
    return StoredRows(store.url, store.rows_per_shard), declared


def _count_bytes(leftovers: tuple[Leftover, ...]) -> int:
    return sum(each.size for each in leftovers)
