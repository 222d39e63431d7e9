"""Recordings taken down: hidden at once, gone from the bytes when the store is swept."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from avkd.errors import UnknownNameError
from avkd.storage.removals import NEVER, write_removal
from avkd.storage.store import Store


@dataclass(frozen=True, kw_only=True)
class RemovalReport:
    """What became of the recordings that were named."""

    changed: tuple[str, ...]
    """Removed now, or let in again."""
    unchanged: tuple[str, ...]
    """That were so before."""
    num_clips: int
    """Clips that do not count any more."""


def remove_recordings(store: Store, names: Sequence[str]) -> RemovalReport:
    """Hide all rows of recordings from every reader, count and digest; extraction leaves them out.

    Raises:
        UnknownNameError: the store never held one of them; then none is removed.
        StoreUnwritableError: the store takes no file.
    """
    removed = store.removals().recordings
    wanted = _require_known(names, store.recording_ids() | removed)
    new = tuple(name for name in wanted if name not in removed)
    num_before = _count_clips(store)
    if new:
        write_removal(store.url, dict.fromkeys(new, NEVER))
    return RemovalReport(
        changed=new,
        unchanged=tuple(name for name in wanted if name in removed),
        num_clips=num_before - _count_clips(store),
    )


def readmit_recordings(store: Store, names: Sequence[str]) -> RemovalReport:
    """Let removed recordings be planned again; the rows that were removed stay so.

    Raises:
        UnknownNameError: one of them was never removed; then none is let in.
        StoreUnwritableError: the store takes no file.
    """
    removals = store.removals()
    wanted = _require_known(names, removals.first_rows, "removed recording")
    new = tuple(name for name in wanted if name in removals.recordings)
    if new:
        write_removal(store.url, dict.fromkeys(new, store.next_row()))
    return RemovalReport(
        changed=new,
        unchanged=tuple(name for name in wanted if name not in removals.recordings),
        num_clips=0,
    )


def _require_known(
    names: Sequence[str], known: Collection[str], kind: str = "recording"
) -> tuple[str, ...]:
    for name in names:
        if name not in known:
            raise UnknownNameError(kind, name, known)
    return tuple(dict.fromkeys(names))


def _count_clips(store: Store) -> int:
    parts = store.planned_parts()
    return sum(
        part.num_clips - len(store.removed_rows(shard)) for shard, part in sorted(parts.items())
    )
