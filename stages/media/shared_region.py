"""Memory that a decode child and its parent share: pictures leave the child through it.

It has no name (``memfd_create``), so that nothing is left anywhere when either of the two is
killed. The child writes the arrays of a message there if they fit, and says so in the message; the
parent copies them out and says that it has. Where there is no room, or no such memory on this
system, the arrays go through the pipe as they always could: nobody ever waits for room.
"""

import mmap
import os
import threading
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

REGION_BYTES = 8 * 2**20
# Less than that a pipe takes at once.
_LEAST_BYTES = 32 * 2**10
_ALIGNMENT = 64


class SharedRegion:
    """The parent's side: memory that arrays are copied out of."""

    def __init__(self, descriptor: int, num_bytes: int) -> None:
        """Map memory behind a descriptor, which is this object's from now on."""
        self.descriptor = descriptor
        self.num_bytes = num_bytes
        self._mapping = mmap.mmap(descriptor, num_bytes)

    @classmethod
    def create(cls, num_bytes: int = REGION_BYTES) -> "SharedRegion | None":
        """Make one; None where the system has no such memory, or too little."""
        if not hasattr(os, "memfd_create"):
            return None
        try:
            descriptor = os.memfd_create("avkd-decoded")
        except OSError:
            return None
        try:
            # Claimed at once: memory that is promised and not there is a signal, not an error.
            os.posix_fallocate(descriptor, 0, num_bytes)
            return cls(descriptor, num_bytes)
        except OSError:
            os.close(descriptor)
            return None

    def copy_out(self, place: int, num_bytes: int) -> memoryview:
        """Copy bytes out of the memory.

        Raises:
            ValueError: They do not lie in it.
        """
        if min(place, num_bytes) < 0 or place + num_bytes > self.num_bytes:
            raise ValueError(f"{num_bytes} bytes at {place} do not lie in shared memory")
        content = np.ndarray((num_bytes,), np.uint8, buffer=self._mapping, offset=place)
        return content.copy().data

    def close(self) -> None:
        """Give the memory back, as far as this process is concerned."""
        self._mapping.close()
        os.close(self.descriptor)


class RegionWriter:
    """The child's side: memory that arrays are laid into until the parent has taken them."""

    def __init__(self, descriptor: int, num_bytes: int) -> None:
        """Map memory behind a descriptor that the parent gave."""
        self._mapping = mmap.mmap(descriptor, num_bytes)
        self._num_bytes = num_bytes
        self._waiting: deque[tuple[int, int]] = deque()
        self._lock = threading.Lock()

    def put(self, arrays: Sequence[npt.NDArray[Any]]) -> list[int] | None:
        """Lay in the arrays of one message; gives the place of each, None where they do not fit."""
        sizes = [-(-array.nbytes // _ALIGNMENT) * _ALIGNMENT for array in arrays]
        begin = self._find_room(sum(sizes)) if sum(sizes) >= _LEAST_BYTES else None
        if begin is None:
            return None
        places = [begin + sum(sizes[:number]) for number in range(len(sizes))]
        for place, array in zip(places, arrays, strict=True):
            room = np.ndarray(array.shape, array.dtype, buffer=self._mapping, offset=place)
            room[...] = array
        return places

    def note_taken(self) -> None:
        """Forget the oldest message: the parent has taken it."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft()

    def _find_room(self, num_bytes: int) -> int | None:
        with self._lock:
            begins = (self._waiting[-1][1], 0) if self._waiting else (0,)
            for begin in begins:
                end = begin + num_bytes
                is_free = all(end <= first or last <= begin for first, last in self._waiting)
                if end <= self._num_bytes and is_free:
                    self._waiting.append((begin, end))
                    return begin
        return None


class _Given:
    writer: RegionWriter | None = None


def write_into(descriptor: int, num_bytes: int) -> None:
    """Write into that memory from now on, in this process."""
    _Given.writer = RegionWriter(descriptor, num_bytes)


def given_region() -> RegionWriter | None:
    """The memory that this process writes into, if it was given any."""
    return _Given.writer
