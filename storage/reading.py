"""Rows of one output, from whatever files hold them."""

from hashlib import sha256
from typing import TYPE_CHECKING, Any

from avkd.errors import CorruptStoreError
from avkd.storage import layout, objects
from avkd.storage.arrays import AnyArray, open_array, read_slice, stored_arrays
from avkd.storage.clips import read_part
from avkd.storage.commits import Commit, StoredFile
from avkd.storage.producers import Producer
from avkd.storage.schema import OutputSpec
from avkd.storage.sparse import SparseLogits

if TYPE_CHECKING:
    import pyarrow
    import zarr


class ArrayReader:
    """The arrays of a dense or sparse output, kept open at one length."""

    def __init__(self, url: str, producer: Producer, output: OutputSpec, num_rows: int) -> None:
        self.num_rows = num_rows
        self._output = output
        self._arrays: list[tuple[str, zarr.Array[Any]]] = []
        for array in stored_arrays(output):
            place = objects.join(url, producer.folder, array.name)
            opened = open_array(place, producer.arrays[array.name], num_rows)
            self._arrays.append((place, opened))

    def read(self, start: int, stop: int) -> AnyArray | SparseLogits:
        """Return rows [start, stop).

        Raises:
            CorruptStoreError: an object is missing, or a checksum does not match.
        """
        read = [read_slice(array, place, start, stop) for place, array in self._arrays]
        if self._output.layout == "dense":
            return read[0]
        values, ids, lse = read
        return SparseLogits(values=values, ids=ids, lse=lse)


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
        stored = next(file for file in commit.files if file.path == path)
        parts.append(read_part(read_checked(url, stored), path))
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
