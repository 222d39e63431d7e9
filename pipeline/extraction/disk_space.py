"""Room on the disk of a store, before the work begins.

The forecast is an upper bound: it counts arrays before compression, which takes little off noise
and logits and nearly all off silence and class maps (and it counts neither boxes nor tables, which
are small). So a place is refused only where not even a quarter of the forecast is free; where less
than all of it is, that is told. A disk that fills nevertheless costs nothing that was committed.
"""

import shutil
from collections.abc import Mapping

from avkd.errors import StoreUnwritableError
from avkd.pipeline.report.numbers import size
from avkd.storage import objects

NEEDED_SHARE = 0.25


def check_space(url: str, bytes_to_come: Mapping[str, int]) -> str:
    """Return what a user should know of the room there is; nothing where there is enough.

    Args:
        url: of the store, which need not exist; of a bucket nothing is known.
        bytes_to_come: by producer, before compression.

    Raises:
        StoreUnwritableError: less than a quarter of it is free.
    """
    free = find_free_bytes(url)
    needed = sum(bytes_to_come.values())
    if free is None or needed <= free:
        return ""
    largest = max(bytes_to_come, key=lambda name: bytes_to_come[name])
    told = (
        f"{size(free)} are free for {url}, and up to {size(needed)} are to come "
        f"({largest}: {size(bytes_to_come[largest])}) before compression"
    )
    if free < NEEDED_SHARE * needed:
        raise StoreUnwritableError(
            f"{told}; make room, choose another place or smaller inputs, or go on regardless "
            "with --no-space-check"
        )
    return f"{told}; if the disk fills, make room and repeat the command: what is committed stays"


def find_free_bytes(url: str) -> int | None:
    """Return the bytes that a user may still write beside a local store; None of a bucket."""
    path = objects.local_path(url)
    if path is None:
        return None
    path = path.absolute()
    there = next(each for each in (path, *path.parents) if each.exists())
    return shutil.disk_usage(there).free
