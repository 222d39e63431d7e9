"""Rows of one output, from whatever files hold them."""

from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING

from avkd.errors import CorruptStoreError
from avkd.storage import layout, objects
from avkd.storage.arrays import AnyArray, Metadata, open_array, read_slice, stored_arrays
from avkd.storage.chunk_reading import ChunkCache, ChunkedArray, find_layout
from avkd.storage.clips import read_part
from avkd.storage.commits import Commit, StoredFile
from avkd.storage.producers import Producer
from avkd.storage.schema import OutputSpec
from avkd.storage.sparse import SparseLogits

if TYPE_CHECKING:
    import pyarrow


class ArrayReader:
    """The arrays of a dense or sparse output, open at one length, for any number of threads."""

    def __init__(
        self, url: str, producer: Producer, output: OutputSpec, num_rows: int, cache: ChunkCache
    ) -> None:
        """Read nothing yet; the cache holds chunks of which only some rows were asked for."""
        self.num_rows = num_rows
        self._output = output
        self._arrays = [
            _open(
                objects.join(url, producer.folder, array.name),
                producer.arrays[array.name],
                num_rows,
                cache,
            )
            for array in stored_arrays(output)
        ]

    def read(self, start: int, stop: int) -> AnyArray | SparseLogits:
        """Return a copy of rows [start, stop).

        Raises:
            CorruptStoreError: an object is missing, or a checksum does not match.
        """
        read = [array.read(start, stop) for array in self._arrays]
        if self._output.layout == "dense":
            return read[0]
        values, ids, lse = read
        return SparseLogits(values=values, ids=ids, lse=lse)


class _ZarrArray:
    """An array that Zarr reads, since it is not laid out as this version does it."""

    def __init__(self, place: str, metadata: Metadata, num_rows: int) -> None:
        self._place = place
        self._array = open_array(place, metadata, num_rows)

    def read(self, start: int, stop: int) -> AnyArray:
        return read_slice(self._array, self._place, start, stop)


def read_boxes(
    url: str, output: OutputSpec, commits: list[Commit], start: int, stop: int
) -> "pyarrow.Table":
    """Return the boxes of rows [start, stop), which the commits cover.

    Raises:
        CorruptStoreError: a part is missing or damaged.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    parts = []
    for commit in commits:
        path = layout.boxes_part(commit.producer, output.name, commit.shard)
        parts.append(read_part(read_any(url, commit.versions(path)), path))
    table = pa.concat_tables(parts)
    rows = table["row"]
    return table.filter(pc.and_(pc.greater_equal(rows, start), pc.less(rows, stop)))


def read_present(url: str, path: str) -> bytes:
    """Read a whole file that must be there.

    Raises:
        CorruptStoreError: it is missing, or cannot be read.
    """
    try:
        return objects.read_bytes(objects.join(url, path))
    except FileNotFoundError:
        raise CorruptStoreError(f"{path} is missing; restore the file") from None
    except OSError as error:
        raise CorruptStoreError(f"{path} cannot be read ({error}); restore the file") from error


def read_any(url: str, versions: Sequence[StoredFile]) -> bytes:
    """Read a whole file that is as one of several generations of a commit says.

    Args:
        url: of the store.
        versions: of the file, the newest first.

    Raises:
        CorruptStoreError: it is missing or differs from all of them.
    """
    *former, newest = reversed(versions)
    for version in former:
        with suppress(CorruptStoreError):
            return read_checked(url, version)
    return read_checked(url, newest)


def read_checked(url: str, file: StoredFile) -> bytes:
    """Read a whole file and hold it to its size and hash.

    Raises:
        CorruptStoreError: it is missing or differs.
    """
    data = read_present(url, file.path)
    if len(data) != file.size:
        raise CorruptStoreError(
            f"{file.path} has {len(data)} bytes instead of {file.size}; restore the file"
        )
    if sha256(data).hexdigest() != file.sha256:
        raise CorruptStoreError(f"{file.path} does not match its sha256; restore the file")
    return data


def _open(
    place: str, metadata: Metadata, num_rows: int, cache: ChunkCache
) -> "ChunkedArray | _ZarrArray":
    chunks = find_layout(metadata)
    if chunks is None:
        return _ZarrArray(place, metadata, num_rows)
    return ChunkedArray(place, metadata, chunks, cache)
