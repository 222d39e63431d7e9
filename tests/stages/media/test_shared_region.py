import io
import os
from pathlib import Path

import numpy as np
import pytest

from avkd.stages.media.shared_region import RegionWriter, SharedRegion
from avkd.stages.media.wire import read_message, write_message

pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="Linux")

LARGE = (np.arange(100_000) % 251).astype(np.uint8)
SIZE = 2**20


@pytest.fixture
def region():
    """Memory of a megabyte."""
    region = SharedRegion.create(SIZE)
    assert region is not None
    yield region
    region.close()


@pytest.fixture
def writer(region):
    """The other side of it."""
    return RegionWriter(region.descriptor, region.num_bytes)


def send(arrays, writer):
    pipe = io.BytesIO()
    write_message(pipe, {"name": "x"}, arrays, writer)
    return io.BytesIO(pipe.getvalue())


def test_large_arrays_do_not_go_through_the_pipe(region, writer):
    arrays = [LARGE.reshape(100, 1000), np.arange(7, dtype=np.int16)]
    pipe, taken = send(arrays, writer), []
    assert len(pipe.getvalue()) < 300
    header, received = read_message(pipe, region, lambda: taken.append(True))
    assert header == {"name": "x"}
    assert [array.dtype for array in received] == [np.uint8, np.int16]
    assert all(np.array_equal(*pair) for pair in zip(arrays, received, strict=True))
    assert taken == [True]


def test_small_arrays_go_through_the_pipe(region, writer):
    pipe, taken = send([LARGE[:1000]], writer), []
    (received,) = read_message(pipe, region, lambda: taken.append(True))[1]
    assert (received == LARGE[:1000]).all()
    assert taken == []


def test_what_was_received_stays_when_the_memory_is_written_again(region, writer):
    (first,) = read_message(send([LARGE], writer), region, writer.note_taken)[1]
    (second,) = read_message(send([LARGE[::-1]], writer), region, writer.note_taken)[1]
    assert (first == LARGE).all()
    assert (second == LARGE[::-1]).all()


def test_what_nobody_took_yet_is_not_written_over(region, writer):
    # Ten fit; more go through the pipe, and nobody waits.
    pipes = [send([LARGE + np.uint8(number)], writer) for number in range(15)]
    assert [len(pipe.getvalue()) > LARGE.size for pipe in pipes] == [False] * 10 + [True] * 5
    for number, pipe in enumerate(pipes):
        (received,) = read_message(pipe, region)[1]
        assert (received == LARGE + np.uint8(number)).all()
    for _ in range(3):
        writer.note_taken()
    assert writer.put([LARGE, LARGE, LARGE[:50_000]]) == [0, 100_032, 200_064]
    assert writer.put([LARGE]) is None


def test_an_array_larger_than_the_memory_goes_through_the_pipe(region, writer):
    huge = np.zeros(SIZE + 1, np.uint8)
    assert len(send([huge], writer).getvalue()) > SIZE
    assert writer.put([LARGE]) == [0]


@pytest.mark.parametrize("place", [-64, SIZE - 64, "0", 2**70])
def test_a_child_cannot_point_outside_of_the_memory(region, writer, place):
    content = send([LARGE], writer).getvalue()
    lies = content[4:].replace(b'"place": 0', b'"place": ' + repr(place).replace("'", '"').encode())
    pipe = io.BytesIO(len(lies).to_bytes(4, "big") + lies)
    with pytest.raises(ValueError, match="shared memory"):
        read_message(pipe, region)


def test_shared_memory_that_nobody_gave_is_refused(writer):
    with pytest.raises(ValueError, match="nobody gave"):
        read_message(send([LARGE], writer))


def test_there_is_none_where_the_system_has_none(monkeypatch):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    before = len(list(Path("/proc/self/fd").iterdir()))
    assert SharedRegion.create() is None
    monkeypatch.delattr(os, "memfd_create")
    assert SharedRegion.create() is None
    assert len(list(Path("/proc/self/fd").iterdir())) == before
