"""Bytes that Arrow's threads may hold on to.

A buffer over a Python object takes the interpreter's lock when it is dropped. Arrow reads with
threads of its own, and one that still held the buffer while the interpreter ended would abort the
process ("terminate called without an active exception"), whatever its exit code was to be.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow


def open_bytes(data: bytes) -> "pyarrow.BufferReader":
    """Return a reader over Arrow's own copy of some bytes."""
    import pyarrow as pa

    copy = pa.BufferOutputStream()
    copy.write(data)
    return pa.BufferReader(copy.getvalue())
