"""Files that are not opened, and what is the matter with those that open as nothing."""

import os
import stat
from pathlib import Path

from avkd.errors import MediaError

_SPECIAL = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_PLAYLISTS = (b"#EXTM3U", b"ffconcat", b"[playlist]", b"<?xml", b"<MPD", b"v=0")
_HEAD_BYTES = 4096
_MOST_BOXES = 1000


def refuse_special_file(path: str) -> None:
    """Refuse what is not an ordinary file: opening a pipe waits for a writer, for ever.

    Raises:
        MediaError: ``decode_error``.
    """
    try:
        mode = Path(path).stat().st_mode
    except FileNotFoundError:
        raise MediaError("decode_error", f"{shown(path)}: no such file") from None
    except (OSError, ValueError) as error:
        # A loop of links, a name that is too long, or a NUL in it.
        what = getattr(error, "strerror", None) or str(error)
        raise MediaError("decode_error", f"{shown(path)}: {what}") from error
    if not stat.S_ISREG(mode):
        kind = next((name for is_kind, name in _SPECIAL if is_kind(mode)), "something else")
        raise MediaError("decode_error", f"{shown(path)}: {kind}, not a file")


def shown(path: str) -> str:
    """A path as it may stand in a line of text."""
    return path if path.isprintable() else ascii(path)


def in_a_line(error: Exception) -> str:
    """An error that nobody foresaw, as it may stand in a line of text."""
    first, *_ = str(error).splitlines() or [""]
    return f"{type(error).__name__}: {first}"


def tell_what_it_is(path: str) -> str:
    """Say what a file is that no demuxer takes; empty where that cannot be told."""
    size = os.path.getsize(path)  # noqa: PTH202  (like the open below, of the path as it is)
    with open(path, "rb") as file:  # noqa: PTH123
        head = file.read(_HEAD_BYTES)
    if not size:
        return "the file is empty"
    if not head.strip(b"\0"):
        return "the file begins with zeros"
    if head.lstrip().startswith(_PLAYLISTS):
        return "a playlist, and avkd opens no file that another one names"
    if head[4:8] == b"ftyp" and not _has_index(path, size):
        return "its index (moov) is missing, as in a file that was cut off"
    return "the file is text" if _is_text(head) else ""


def _is_text(head: bytes) -> bool:
    try:
        return head[: _HEAD_BYTES - 4].decode().replace("\n", " ").replace("\t", " ").isprintable()
    except UnicodeDecodeError:
        return False


def _has_index(path: str, size: int) -> bool:
    """Whether a box ``moov`` begins among the boxes that an MP4 is made of."""
    place = 0
    with open(path, "rb") as file:  # noqa: PTH123
        for _ in range(_MOST_BOXES):
            file.seek(place)
            header = file.read(16)
            if header[4:8] == b"moov":
                return True
            length = int.from_bytes(header[:4], "big")
            length = int.from_bytes(header[8:16], "big") if length == 1 else length
            place += length
            if length < 8 or place >= size:
                return False
    return False
