import json

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from avkd.errors import CorruptStoreError
from avkd.storage import objects
from avkd.storage.arrays import (
    CHUNK_BYTES,
    OBJECT_BYTES,
    ArraySpec,
    array_file,
    array_metadata,
    decode_object,
    encode_object,
    object_name,
    object_shape,
    open_array,
    put_array_file,
    read_slice,
    rows_per_object,
    stored_arrays,
)
from avkd.storage.schema import OutputSpec

LOGITS = ArraySpec(name="logits", shape=(2, 3), dtype="float16", axes=("step", "class"))


@pytest.fixture
def metadata():
    return array_metadata(LOGITS, 8)


@pytest.fixture
def values():
    return np.random.default_rng(0).normal(size=(8, 2, 3)).astype(np.float16)


def test_metadata_says_zstd_crc32c_sharding_and_names(metadata):
    (sharding,) = metadata["codecs"]
    assert sharding["name"] == "sharding_indexed"
    names = [codec["name"] for codec in sharding["configuration"]["codecs"]]
    assert names == ["bytes", "zstd", "crc32c"]
    assert sharding["configuration"]["codecs"][1]["configuration"]["level"] == 1
    assert metadata["dimension_names"] == ["row", "step", "class"]
    assert metadata["shape"] == [0, 2, 3]
    assert object_name(metadata, 7) == "c.7.0.0"


def test_an_encoded_object_is_what_zarr_itself_writes(metadata, values, tmp_path):
    folder = tmp_path / "array"
    put_array_file(str(tmp_path), "array", metadata, 16)
    array = zarr.open_array(folder, mode="r+").with_config({"write_empty_chunks": True})
    array[8:16] = values
    assert (folder / "c.1.0.0").read_bytes() == encode_object(metadata, values)


def test_an_object_of_zeros_is_written_in_full(metadata):
    data = encode_object(metadata, np.zeros((8, 2, 3), np.float16))
    np.testing.assert_array_equal(decode_object(metadata, data, "x"), 0)
    assert len(data) > 16


@settings(max_examples=40)
@given(position=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_every_flipped_bit_of_an_object_raises(position, bit):
    metadata = array_metadata(LOGITS, 8)
    values = np.random.default_rng(0).normal(size=(8, 2, 3)).astype(np.float16)
    data = bytearray(encode_object(metadata, values))
    data[position % len(data)] ^= 1 << bit
    with pytest.raises(CorruptStoreError, match="object 7"):
        decode_object(metadata, bytes(data), "object 7")


@pytest.mark.parametrize("root", ["{tmp_path}/arrays", "memory://arrays-of-a-test"])
def test_rows_are_read_over_object_borders_from_disk_and_bucket(root, tmp_path, metadata, values):
    place = objects.join(root.format(tmp_path=tmp_path), "logits")
    for number in range(2):
        data = encode_object(metadata, values + np.float16(number))
        objects.put_durable(objects.join(place, object_name(metadata, number)), data)
    array = open_array(place, metadata, 16)
    read = read_slice(array, place, 6, 10)
    np.testing.assert_array_equal(read, np.concatenate([values[6:], values[:2] + np.float16(1)]))


def test_a_missing_object_raises_instead_of_reading_zeros(tmp_path, metadata):
    array = open_array(str(tmp_path), metadata, 16)
    with pytest.raises(CorruptStoreError, match=r"c\.1\.0\.0 is missing"):
        read_slice(array, str(tmp_path), 8, 9)


def test_a_damaged_object_raises_on_reading_rows(tmp_path, metadata, values):
    data = bytearray(encode_object(metadata, values))
    data[3] ^= 1
    (tmp_path / "c.0.0.0").write_bytes(data)
    array = open_array(str(tmp_path), metadata, 8)
    with pytest.raises(CorruptStoreError, match="damaged"):
        read_slice(array, str(tmp_path), 0, 8)


def test_an_array_file_grows_and_never_shrinks(tmp_path, metadata):
    for length, expected in [(0, 0), (16, 16), (8, 16), (24, 24)]:
        put_array_file(str(tmp_path), "logits", metadata, length)
        stored = (tmp_path / "logits" / "zarr.json").read_bytes()
        assert json.loads(stored)["shape"][0] == expected
    assert stored == array_file(metadata, 24)


def test_a_damaged_array_file_is_written_again(tmp_path, metadata):
    (tmp_path / "zarr.json").write_bytes(b"{")
    put_array_file(str(tmp_path), "", metadata, 8)
    assert (tmp_path / "zarr.json").read_bytes() == array_file(metadata, 8)


@given(rows=st.integers(1, 4096), row_bytes=st.integers(1, 200_000_000))
def test_objects_and_chunks_divide_the_shard_and_stay_under_their_sizes(rows, row_bytes):
    of_object = rows_per_object(row_bytes, rows)
    assert rows % of_object == 0
    assert of_object == 1 or of_object * row_bytes <= OBJECT_BYTES


@pytest.mark.parametrize(
    ("shape", "dtype", "rows", "of_object", "of_chunk"),
    [
        ((4, 1000), "float16", 1024, 1024, 256),  # 8 MB and 2 MB
        ((1, 441_000), "int16", 256, 64, 2),  # 56 MB and 1.8 MB
        ((8, 960_000), "int16", 256, 4, 1),  # one row is 15 MB
        ((3,), "float32", 7, 7, 7),
    ],
)
def test_sizes_of_the_usual_outputs(shape, dtype, rows, of_object, of_chunk):
    array = ArraySpec(name="x", shape=shape, dtype=dtype, axes=("a", "b")[: len(shape)])
    assert rows_per_object(array.row_bytes, rows) == of_object
    metadata = array_metadata(array, of_object)
    assert object_shape(metadata) == (of_object, *shape)
    assert metadata["codecs"][0]["configuration"]["chunk_shape"][0] == of_chunk
    assert of_chunk == 1 or of_chunk * array.row_bytes <= CHUNK_BYTES


def test_a_sparse_output_is_three_arrays_and_boxes_are_none():
    sparse = OutputSpec(
        name="wide",
        shape=(4, 70_000),
        dtype="float16",
        axes=("step", "class"),
        layout="sparse_logits",
        num_kept=32,
    )
    values, ids, lse = stored_arrays(sparse)
    assert (values.name, values.shape, values.dtype) == ("wide/values", (4, 32), "float16")
    assert (ids.name, ids.dtype, ids.axes) == ("wide/ids", "uint32", ("step", "kept"))
    assert (lse.shape, lse.dtype, lse.axes) == ((4, 4), "float32", ("step", "temperature"))
    boxes = OutputSpec(name="b", shape=(), dtype="float32", axes=(), layout="boxes")
    assert stored_arrays(boxes) == ()
