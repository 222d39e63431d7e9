"""Arrow's threads hold no Python object: one that did aborted the process at its end."""

import sys

from avkd.storage.arrow_memory import open_bytes


def test_bytes_are_read_whole_from_a_copy_that_holds_no_reference() -> None:
    data = bytes(range(256)) * 100
    num_references = sys.getrefcount(data)
    reader = open_bytes(data)
    assert sys.getrefcount(data) == num_references
    assert reader.read() == data
    assert reader.size() == len(data)


def test_no_bytes_are_none() -> None:
    assert open_bytes(b"").read() == b""
