"""Which file a path stands for, so that what was learned of it can be remembered."""

import os
import threading
from collections import OrderedDict
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")

_MOST_FILES = 8


class FileIdentity(NamedTuple):
    """A file as it was; one that was written since has another."""

    path: str
    device: int
    inode: int
    size: int
    modified_ns: int
    changed_ns: int
    """Of its inode: also where a copy keeps the time of its original."""


def identify(path: str) -> FileIdentity | None:
    """Tell which file lies at a path; None where none can be found."""
    try:
        status = os.stat(path)  # noqa: PTH116  (of the path as it is)
    except (OSError, ValueError):
        return None
    return FileIdentity(
        path=path,
        device=status.st_dev,
        inode=status.st_ino,
        size=status.st_size,
        modified_ns=status.st_mtime_ns,
        changed_ns=status.st_ctime_ns,
    )


class KnownFiles(Generic[T]):
    """What was learned of the last few files."""

    def __init__(self) -> None:
        """Begin with none."""
        self._values: OrderedDict[FileIdentity, T] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, identity: FileIdentity | None) -> T | None:
        """What was noted of a file; None where nothing was."""
        return None if identity is None else self._values.get(identity)

    def note(self, identity: FileIdentity | None, value: T) -> None:
        """Note something of a file, in the place of what was noted of it before."""
        if identity is None:
            return
        with self._lock:
            self._values[identity] = value
            self._values.move_to_end(identity)
            if len(self._values) > _MOST_FILES:
                self._values.popitem(last=False)
