"""How a decode child tells its parent that it gets on, while a clip takes its time.

``note_progress`` stands where a packet was read or a picture decoded, and nowhere else, and
``note_fetched`` where a part of a file was fetched: a child that hangs falls silent, one that is
slow does not.
"""

import time
from typing import BinaryIO

from avkd.stages.media.wire import write_message

_SECONDS_BETWEEN = 1.0


class _Listener:
    pipe: BinaryIO | None = None
    last_told = 0.0


def tell_progress_to(pipe: BinaryIO) -> None:
    """Tell the reader of ``pipe`` from now on; what writes to it must do so in this thread."""
    _Listener.pipe = pipe
    _Listener.last_told = time.monotonic()


def note_progress() -> None:
    """Say that something was read or decoded, at most once a second; nothing without a listener."""
    _note("decoded")


def note_fetched() -> None:
    """Say, as ``note_progress``, that a part of a file came from elsewhere."""
    _note("fetched")


def _note(what: str) -> None:
    now = time.monotonic()
    if _Listener.pipe is None or now - _Listener.last_told < _SECONDS_BETWEEN:
        return
    _Listener.last_told = now
    write_message(_Listener.pipe, {"progress": what})
