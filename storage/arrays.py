"""Zarr v3 arrays over the rows: their metadata, and their objects encoded away from the store.

Zarr is asked for two things only: to encode or decode one whole object in memory, and to read rows.
It never writes to the store: slice assignment drops writes through a stale handle, cannot replace a
damaged object, and its default codecs notice no flipped bit (docs/storage-format.md).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from avkd.errors import CorruptStoreError
from avkd.storage import layout, objects
from avkd.storage.fault_points import pass_point
from avkd.storage.schema import SPARSE_TEMPERATURES, OutputSpec
from avkd.storage.sealed import render_json
from avkd.storage.sparse import id_dtype

if TYPE_CHECKING:
    import zarr

AnyArray = npt.NDArray[Any]
Metadata = Mapping[str, Any]

OBJECT_BYTES = 64_000_000  # before compression: a PUT to S3 is one request up to 100 MB
CHUNK_BYTES = 2_100_000


@dataclass(frozen=True, kw_only=True)
class ArraySpec:
    """One Zarr array of an output."""

    name: str
    """Below the producer's folder: ``logits``, or ``logits/ids`` of a sparse output."""
    shape: tuple[int, ...]
    """Of one row."""
    dtype: str
    axes: tuple[str, ...]

    @property
    def row_bytes(self) -> int:
        """Bytes of one row before compression."""
        return prod(self.shape) * np.dtype(self.dtype).itemsize


def stored_arrays(output: OutputSpec) -> tuple[ArraySpec, ...]:
    """Return the arrays that hold an output: one, three if sparse, none if boxes."""
    if output.layout == "boxes":
        return ()
    if output.layout == "dense":
        arrays = [("", output.shape, output.dtype, output.axes)]
    else:
        lead, axes = output.shape[:-1], output.axes[:-1]
        kept, kept_axes = (*lead, output.num_kept), (*axes, "kept")
        lse_shape = (*lead, len(SPARSE_TEMPERATURES))
        arrays = [
            ("/values", kept, output.dtype, kept_axes),
            ("/ids", kept, id_dtype(output.shape[-1]), kept_axes),
            ("/lse", lse_shape, "float32", (*axes, "temperature")),
        ]
    return tuple(
        ArraySpec(name=output.name + suffix, shape=shape, dtype=dtype, axes=axes)
        for suffix, shape, dtype, axes in arrays
    )


def rows_per_object(row_bytes: int, rows_per_shard: int) -> int:
    """Return the largest divisor of a shard's rows that keeps an object under its size."""
    return _largest_divisor(rows_per_shard, OBJECT_BYTES // max(row_bytes, 1))


def array_metadata(array: ArraySpec, object_rows: int) -> dict[str, Any]:
    """Return the content of ``zarr.json`` for no rows yet, as Zarr itself writes it."""
    import zarr
    from zarr.codecs import Crc32cCodec, ZstdCodec
    from zarr.storage import MemoryStore

    chunk_rows = _largest_divisor(object_rows, CHUNK_BYTES // max(array.row_bytes, 1))
    created = zarr.create_array(
        MemoryStore(),
        shape=(0, *array.shape),
        shards=(object_rows, *array.shape),
        chunks=(chunk_rows, *array.shape),
        dtype=array.dtype,
        fill_value=0,
        compressors=[ZstdCodec(level=1), Crc32cCodec()],
        chunk_key_encoding={"name": "default", "separator": "."},
        dimension_names=("row", *array.axes),
    )
    plain: dict[str, Any] = json.loads(json.dumps(created.metadata.to_dict(), default=_json_form))
    return plain


def array_file(metadata: Metadata, num_rows: int) -> bytes:
    """Return ``zarr.json`` of an array that has grown to a number of rows."""
    return render_json({**metadata, "shape": [num_rows, *metadata["shape"][1:]]})


def object_shape(metadata: Metadata) -> tuple[int, ...]:
    """Return the shape of one object (a shard in Zarr's words), rows first."""
    return tuple(metadata["chunk_grid"]["configuration"]["chunk_shape"])


def object_name(metadata: Metadata, index: int) -> str:
    """Return the file name of an object, such as ``c.7.0.0``."""
    return ".".join(["c", str(index), *["0"] * (len(metadata["shape"]) - 1)])


def encode_object(metadata: Metadata, values: AnyArray) -> bytes:
    """Return the bytes of one object; values have the object's shape."""
    items: dict[str, Any] = {}
    array = _array_of_one_object(metadata, items)
    array[...] = values
    data: bytes = items[object_name(metadata, 0)].to_bytes()
    return data


def decode_object(metadata: Metadata, data: bytes, name: str) -> AnyArray:
    """Return the values of one object.

    Raises:
        CorruptStoreError: a checksum does not match.
    """
    from zarr.buffer.cpu import Buffer

    items: dict[str, Any] = {object_name(metadata, 0): Buffer.from_bytes(data)}
    array = _array_of_one_object(metadata, items)
    try:
        return np.asarray(array[...])
    except Exception as error:  # what a codec raises on damaged bytes is its own affair
        raise CorruptStoreError(f"{name}: {error}; restore the file") from error


def open_array(url: str, metadata: Metadata, num_rows: int) -> "zarr.Array[Any]":
    """Open an array for reading, with the length that the plans give.

    The length in ``zarr.json`` may lag behind (a planner was killed before it grew the array), and
    a missing object must not read as zeros.
    """
    from avkd.storage.zarr_reading import open_planned

    return open_planned(url, array_file(metadata, num_rows))


def read_slice(array: "zarr.Array[Any]", url: str, start: int, stop: int) -> AnyArray:
    """Return rows [start, stop).

    Raises:
        CorruptStoreError: an object is missing, or a checksum does not match.
    """
    try:
        return np.asarray(array[start:stop])
    except CorruptStoreError:
        raise
    except Exception as error:  # what a codec raises on damaged bytes is its own affair
        raise CorruptStoreError(
            f"{url}: rows {start} to {stop} are damaged ({error}); avkd verify names the shards"
        ) from error


def put_array_file(url: str, path: str, metadata: Metadata, num_rows: int) -> None:
    """Write ``zarr.json`` if the array is not that long yet; an array never shrinks."""
    target = objects.join(url, path, layout.ARRAY_FILE)
    try:
        current = json.loads(objects.read_bytes(target))["shape"][0]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        current = -1
    if current < num_rows:
        pass_point("before-growth")
        objects.put_durable(target, array_file(metadata, num_rows))
        pass_point("after-growth")


def _array_of_one_object(metadata: Metadata, items: dict[str, Any]) -> "zarr.Array[Any]":
    import zarr
    from zarr.buffer.cpu import Buffer
    from zarr.storage import MemoryStore

    items[layout.ARRAY_FILE] = Buffer.from_bytes(array_file(metadata, object_shape(metadata)[0]))
    # Not stored with the array, and without it an object of zeros would not be written at all.
    return zarr.open_array(MemoryStore(items)).with_config({"write_empty_chunks": True})


def _largest_divisor(number: int, limit: int) -> int:
    return next(d for d in range(max(1, min(number, limit)), 0, -1) if number % d == 0)


def _json_form(value: object) -> object:
    return value.value if hasattr(value, "value") else str(value)
