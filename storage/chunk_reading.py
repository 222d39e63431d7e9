"""Rows of one array, chunk by chunk, without Zarr's event loop, which costs a millisecond a read.

An object as ``arrays.py`` writes it is its chunks (zstd, then crc32c) and, at its end, their index:
(chunks, 2) of uint64, offset and length in bytes, then the index's own crc32c. Every checksum is
held to on every read from the store; what was decoded is kept for a while, since a shuffled epoch
comes to a chunk of 256 rows for 16 of them at a time.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from os import SEEK_END
from threading import Lock, local
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from avkd.errors import CorruptStoreError
from avkd.storage import objects
from avkd.storage.arrays import AnyArray, Metadata, object_name, object_shape

Data: TypeAlias = bytes | memoryview
ReadRange: TypeAlias = Callable[[int, int | None], Data]
"""Bytes [start, stop) of an object, good until the next are read; a negative start counts from
its end."""

CACHE_BYTES = 1 << 27
"""Of decoded chunks that an open store keeps, of all its arrays together."""
_NO_CHUNK = (1 << 64) - 1
_CRC_BYTES = 4
_READ = local()


class ChunkCache:
    """The chunks that were used last, up to a number of bytes; for any number of threads."""

    def __init__(self, limit_bytes: int = CACHE_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._num_bytes = 0
        self._chunks: OrderedDict[tuple[str, int], AnyArray] = OrderedDict()
        self._lock = Lock()

    @property
    def num_bytes(self) -> int:
        """That are held."""
        return self._num_bytes

    def find(self, place: str, chunk: int) -> AnyArray | None:
        """Return a chunk if it is held; nobody may write to it."""
        with self._lock:
            found = self._chunks.get((place, chunk))
            if found is not None:
                self._chunks.move_to_end((place, chunk))
            return found

    def keep(self, place: str, chunk: int, values: AnyArray) -> None:
        """Hold a chunk, and drop those that were not used for longest."""
        with self._lock:
            if values.nbytes > self._limit_bytes or (place, chunk) in self._chunks:
                return
            self._chunks[place, chunk] = values
            self._num_bytes += values.nbytes
            while self._num_bytes > self._limit_bytes:
                _, dropped = self._chunks.popitem(last=False)
                self._num_bytes -= dropped.nbytes


@dataclass(frozen=True, kw_only=True)
class ChunkLayout:
    """How the rows of an array lie in chunks and objects."""

    row_shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunk_rows: int
    object_chunks: int
    """Chunks of one object."""

    @property
    def index_bytes(self) -> int:
        """At the end of an object."""
        return 16 * self.object_chunks + _CRC_BYTES

    def make_rows(self, num_rows: int) -> AnyArray:
        """Return room for that many rows."""
        return np.empty((num_rows, *self.row_shape), self.dtype)


def find_layout(metadata: Metadata) -> ChunkLayout | None:
    """Return the layout of an array that is as ``array_metadata`` makes it; None of any other."""
    codecs = metadata["codecs"]
    if len(codecs) != 1 or codecs[0]["name"] != "sharding_indexed":
        return None
    sharding = codecs[0]["configuration"]
    object_rows, *row_shape = object_shape(metadata)
    chunk_rows, *chunk_row_shape = sharding["chunk_shape"]
    is_known = (
        [_name_codec(codec) for codec in sharding["codecs"]] == ["bytes", "zstd", "crc32c"]
        and [_name_codec(codec) for codec in sharding["index_codecs"]] == ["bytes", "crc32c"]
        and sharding["index_location"] == "end"
        and metadata["chunk_key_encoding"]
        == {"name": "default", "configuration": {"separator": "."}}
        and metadata["fill_value"] == 0
        and isinstance(metadata["data_type"], str)
        and chunk_row_shape == row_shape
        and object_rows % chunk_rows == 0
    )
    if not is_known:
        return None
    return ChunkLayout(
        row_shape=tuple(row_shape),
        dtype=np.dtype(metadata["data_type"]).newbyteorder("<"),
        chunk_rows=chunk_rows,
        object_chunks=object_rows // chunk_rows,
    )


class ChunkedArray:
    """An array in a store, read by its chunks."""

    def __init__(
        self, place: str, metadata: Metadata, layout: ChunkLayout, cache: ChunkCache
    ) -> None:
        self._place = place
        self._metadata = metadata
        self._layout = layout
        self._cache = cache

    def read(self, start: int, stop: int) -> AnyArray:
        """Return a copy of rows [start, stop).

        Raises:
            CorruptStoreError: an object is missing, or a checksum does not match.
        """
        layout = self._layout
        result = layout.make_rows(stop - start)
        unread = []
        for chunk in range(start // layout.chunk_rows, (stop - 1) // layout.chunk_rows + 1):
            known = self._cache.find(self._place, chunk)
            if known is None:
                unread.append(chunk)
            else:
                _copy_rows(known, chunk * layout.chunk_rows, result, start)
        num_chunks = layout.object_chunks
        for number in dict.fromkeys(chunk // num_chunks for chunk in unread):
            mine = [chunk for chunk in unread if chunk // num_chunks == number]
            with self._naming_damage(mine):
                self._read_object(number, mine, result, start)
        return result

    def _read_object(
        self, number: int, chunks: Sequence[int], result: AnyArray, start: int
    ) -> None:
        """Put the rows of some chunks of an object to their places.

        The index is read with its chunks through one handle: it cannot belong to another version.
        """
        name = object_name(self._metadata, number)
        try:
            with _open_ranges(objects.join(self._place, name)) as read_range:
                index = _decode_index(read_range(-self._layout.index_bytes, None))
                for chunk in chunks:
                    offset, size = (int(each) for each in index[chunk % len(index)])
                    # Zarr's way to say that all of it is zero; ours are written in full.
                    is_empty = offset == _NO_CHUNK
                    data = None if is_empty else read_range(offset, offset + size)
                    self._decode(chunk, data, result, start)
        except FileNotFoundError:
            raise CorruptStoreError(f"{self._place}: {name} is missing; restore the file") from None
        except OSError as error:
            raise CorruptStoreError(f"{self._place}: {name} cannot be read ({error})") from error

    def _decode(self, chunk: int, data: Data | None, result: AnyArray, start: int) -> None:
        """Put the rows of a chunk to their places among those from ``start`` on."""
        num_rows = self._layout.chunk_rows
        first = chunk * num_rows
        if start <= first and first + num_rows <= start + len(result):
            _decode_chunk(data, result[first - start :][:num_rows])
            return
        # Somebody who wants some of its rows comes for the others; who wants all, does not.
        values = self._layout.make_rows(num_rows)
        _decode_chunk(data, values)
        self._cache.keep(self._place, chunk, values)
        _copy_rows(values, first, result, start)

    @contextmanager
    def _naming_damage(self, chunks: Sequence[int]) -> Iterator[None]:
        try:
            yield
        except CorruptStoreError:
            raise
        except Exception as error:  # what a codec raises on damaged bytes is its own affair
            start, stop = (n * self._layout.chunk_rows for n in (chunks[0], chunks[-1] + 1))
            raise CorruptStoreError(
                f"{self._place}: rows {start} to {stop} are damaged ({error}); "
                "avkd verify names the shards"
            ) from error


def _name_codec(codec: Mapping[str, Any]) -> str:
    """Its name; another one if it does anything that is not expected here."""
    settings = codec.get("configuration", {})
    is_known = codec["name"] != "bytes" or settings.get("endian", "little") == "little"
    return str(codec["name"]) if is_known else ""


@contextmanager
def _open_ranges(url: str) -> Iterator[ReadRange]:
    path = objects.local_path(url)
    if path is None:
        filesystem, name = objects.open_filesystem(url)
        yield lambda start, stop: bytes(filesystem.cat_file(name, start=start, end=stop))
        return
    with path.open("rb", buffering=0) as file:

        def read_range(start: int, stop: int | None) -> Data:
            size = file.seek(0, SEEK_END)
            begin = start if start >= 0 else max(size + start, 0)
            end = size if stop is None else stop
            file.seek(begin)
            room = _find_room(end - begin)
            filled = 0
            while filled < len(room) and (count := file.readinto(room[filled:])):
                filled += count
            return room[:filled]

        yield read_range


def _find_room(num_bytes: int) -> memoryview:
    """Return memory for that many bytes, the same for every read of a thread.

    New memory for every chunk would cost as much as reading it.
    """
    room: bytearray | None = getattr(_READ, "room", None)
    if room is None or len(room) < num_bytes:
        room = _READ.room = bytearray(num_bytes)
    return memoryview(room)[:num_bytes]


def _decode_index(data: Data) -> npt.NDArray[np.uint64]:
    """(chunks, 2): offset and length."""
    from numcodecs.checksum32 import CRC32C  # type: ignore[import-untyped]

    content = CRC32C(location="end").decode(data)
    return np.frombuffer(bytes(content), "<u8").reshape(-1, 2)


def _decode_chunk(data: Data | None, values: AnyArray) -> None:
    """Put the values of a chunk into an array of its shape."""
    import numcodecs  # type: ignore[import-untyped]
    from numcodecs.checksum32 import CRC32C

    if data is None:
        values[...] = 0
        return
    numcodecs.Zstd().decode(CRC32C(location="end").decode(data), values)


def _copy_rows(chunk: AnyArray, first: int, result: AnyArray, start: int) -> None:
    """Copy what two runs of rows, which begin at ``first`` and ``start``, have in common."""
    begin, end = max(first, start), min(first + len(chunk), start + len(result))
    result[begin - start : end - start] = chunk[begin - first : end - first]
