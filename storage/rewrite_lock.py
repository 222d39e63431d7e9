"""One process at a time writes removed rows out of a store."""

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from avkd.errors import CorruptStoreError, StoreUnwritableError
from avkd.storage import layout, objects
from avkd.storage.sealed import parse_object, seal


@contextmanager
def hold_lock(url: str) -> Iterator[None]:
    """Keep others from rewriting the store meanwhile.

    A process that is killed leaves its lock: nobody can tell for sure from another machine, or from
    another container of the same one, that it is gone, so a person decides.

    Raises:
        StoreUnwritableError: another process holds it, or did.
    """
    place = objects.join(url, layout.LOCK_FILE)
    document = {
        "host": platform.node(),
        "process": os.getpid(),
        "locked_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    try:
        objects.create_exclusive(place, seal(document))
    except FileExistsError:
        raise StoreUnwritableError(_describe_holder(place)) from None
    try:
        yield
    finally:
        objects.remove(place)


def _describe_holder(place: str) -> str:
    try:
        holder = parse_object(objects.read_bytes(place), layout.LOCK_FILE)
        who = f"process {holder['process']} on {holder['host']} since {holder['locked_at']}"
        is_gone = holder["host"] == platform.node() and not _is_alive(int(holder["process"]))
    except (OSError, CorruptStoreError, KeyError, TypeError, ValueError):  # gone, or damaged
        who, is_gone = "another process", False
    return (
        f"{place} is held by {who}{', not running here' if is_gone else ''}; wait for it, or, if "
        "it was killed, remove that file and run the same command again"
    )


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        pass
    return True
