import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avkd.errors import CorruptStoreError
from avkd.storage import chunk_reading, objects
from avkd.storage.arrays import (
    ArraySpec,
    array_metadata,
    encode_object,
    object_name,
    open_array,
    read_slice,
)
from avkd.storage.chunk_reading import ChunkCache, ChunkedArray, find_layout
from avkd.storage.reading import ArrayReader
from avkd.storage.store import Store

WIDE = ArraySpec(name="wide", shape=(2, 5), dtype="float16", axes=("step", "class"))
NUM_ROWS, OBJECT_ROWS, CHUNK_ROWS = 48, 24, 8
CHUNK_BYTES = CHUNK_ROWS * WIDE.row_bytes


@pytest.fixture(scope="module")
def values():
    random = np.random.default_rng(0).integers(0, 2**16, (NUM_ROWS, 2, 5), np.uint16)
    return random.view(np.float16)


@pytest.fixture(scope="module")
def metadata():
    """As of rows so wide that an object has three chunks."""
    made = array_metadata(WIDE, OBJECT_ROWS)
    made["codecs"][0]["configuration"]["chunk_shape"][0] = CHUNK_ROWS
    return made


@pytest.fixture(scope="module")
def place(tmp_path_factory, metadata, values):
    folder = str(tmp_path_factory.mktemp("wide"))
    write(folder, metadata, values)
    return folder


def write(folder, metadata, values):
    for number in range(2):
        data = encode_object(metadata, values[24 * number : 24 * number + 24])
        objects.put_durable(objects.join(folder, object_name(metadata, number)), data)


def build(place, metadata, limit_bytes=1 << 26):
    cache = ChunkCache(limit_bytes)
    return ChunkedArray(place, metadata, find_layout(metadata), cache), cache


def test_the_array_of_these_tests_has_several_chunks_an_object(metadata):
    layout = find_layout(metadata)
    assert (layout.chunk_rows, layout.object_chunks) == (CHUNK_ROWS, 3)


@settings(max_examples=40, deadline=None)
@given(spans=st.lists(st.tuples(st.integers(0, 47), st.integers(1, 48)), min_size=1, max_size=6))
@pytest.mark.parametrize("limit_bytes", [0, 3 * CHUNK_BYTES, 1 << 26])
def test_rows_are_what_zarr_reads_whatever_is_held(place, metadata, values, limit_bytes, spans):
    array, cache = build(place, metadata, limit_bytes)
    for start, count in spans:
        stop = min(start + count, NUM_ROWS)
        read = array.read(start, stop)
        assert read.dtype == np.float16
        assert read.tobytes() == values[start:stop].tobytes()
        assert cache.num_bytes <= limit_bytes
    zarrs = read_slice(open_array(place, metadata, NUM_ROWS), place, start, stop)
    assert read.tobytes() == zarrs.tobytes()


def test_rows_are_read_from_a_bucket(metadata, values):
    url = "memory://chunks-of-a-test"
    write(url, metadata, values)
    array, _ = build(url, metadata)
    assert array.read(20, 30).tobytes() == values[20:30].tobytes()
    with pytest.raises(CorruptStoreError, match=r"c\.2\.0\.0 is missing"):
        array.read(48, 49)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "int16", "float32"])
def test_every_stored_dtype_is_read(tmp_path, dtype):
    spec = ArraySpec(name="x", shape=(3,), dtype=dtype, axes=("a",))
    metadata = array_metadata(spec, 4)
    values = np.arange(12).reshape(4, 3).astype(dtype)
    objects.put_durable(str(tmp_path / "c.0.0"), encode_object(metadata, values))
    array, _ = build(str(tmp_path), metadata)
    read = array.read(1, 4)
    assert read.dtype == dtype
    np.testing.assert_array_equal(read, values[1:])


def test_what_is_read_is_a_copy_of_what_is_held(place, metadata, values):
    array, _ = build(place, metadata)
    for _ in range(2):
        array.read(1, 3)[...] = 0
    assert array.read(1, 3).tobytes() == values[1:3].tobytes()


def test_a_chunk_is_decoded_once_for_all_of_its_rows(place, metadata, monkeypatch):
    decoded = []
    monkeypatch.setattr(
        chunk_reading, "_decode_chunk", lambda data, rows: decoded.append(rows.fill(0))
    )
    array, cache = build(place, metadata)
    for start in (0, 2, 4, 6):
        array.read(start, start + 2)
    assert len(decoded) == 1
    array.read(8, 16)  # whole: nobody comes for the rest
    assert len(decoded) == 2
    assert cache.num_bytes == CHUNK_BYTES


def test_chunks_that_were_not_used_for_longest_are_dropped_first():
    cache = ChunkCache(3)
    for chunk in range(3):
        cache.keep("a", chunk, np.zeros(1, np.uint8))
    cache.find("a", 0)
    cache.keep("b", 0, np.zeros(1, np.uint8))
    held = [cache.find(*key) is not None for key in (("a", 0), ("a", 1), ("a", 2), ("b", 0))]
    assert held == [True, False, True, True]
    cache.keep("b", 1, np.zeros(4, np.uint8))
    assert cache.num_bytes == 3


def test_many_threads_read_one_array(place, metadata, values):
    array, cache = build(place, metadata, 3 * CHUNK_BYTES)
    starts = np.random.default_rng(1).integers(0, 44, 200).tolist()
    with ThreadPoolExecutor(8) as pool:
        for start, read in zip(
            starts, pool.map(lambda s: array.read(s, s + 4), starts), strict=True
        ):
            assert read.tobytes() == values[start : start + 4].tobytes()
    assert cache.num_bytes <= 3 * CHUNK_BYTES


@settings(max_examples=60, deadline=None)
@given(position=st.integers(0, 10**9), bit=st.integers(0, 7))
def test_every_flipped_bit_raises_where_its_rows_are_read(tmp_path_factory, position, bit):
    spec = ArraySpec(name="logits", shape=(2, 3), dtype="float16", axes=("step", "class"))
    metadata = array_metadata(spec, 8)
    values = np.random.default_rng(0).normal(size=(8, 2, 3)).astype(np.float16)
    data = bytearray(encode_object(metadata, values))
    data[position % len(data)] ^= 1 << bit
    folder = tmp_path_factory.mktemp("flipped")
    (folder / "c.0.0.0").write_bytes(data)
    array, _ = build(str(folder), metadata)
    with pytest.raises(CorruptStoreError, match=r"rows 0 to 8 are damaged .*avkd verify"):
        array.read(2, 3)


@pytest.mark.parametrize("length", [0, 3, 19, 40])
def test_an_object_that_was_cut_short_raises(tmp_path, metadata, values, length):
    data = encode_object(metadata, values[:24])
    (tmp_path / "c.0.0.0").write_bytes(data[:length])
    array, _ = build(str(tmp_path), metadata)
    with pytest.raises(CorruptStoreError, match="damaged"):
        array.read(0, 1)


def test_a_missing_object_raises_instead_of_reading_zeros(place, metadata):
    array, _ = build(place, metadata)
    with pytest.raises(CorruptStoreError, match=r"c\.2\.0\.0 is missing"):
        array.read(47, 49)


def test_an_object_that_cannot_be_read_is_not_called_damaged(tmp_path, metadata):
    (tmp_path / "c.0.0.0").mkdir()
    array, _ = build(str(tmp_path), metadata)
    with pytest.raises(CorruptStoreError, match=r"c\.0\.0\.0 cannot be read .*directory"):
        array.read(0, 1)


def test_all_arrays_of_a_store_share_one_limit(store, monkeypatch):
    monkeypatch.setattr(ChunkCache.__init__, "__defaults__", (400,))
    reader = Store.open(store.url)
    for start in range(8):
        for output in ("logits", "wide"):
            reader.read_rows("seer", output, start, start + 1)
    assert 0 < reader._stored._cache.num_bytes <= 400


def test_an_object_that_was_replaced_is_read_by_its_own_index(tmp_path, metadata, values):
    write(str(tmp_path), metadata, values)
    array, _ = build(str(tmp_path), metadata)
    array.read(0, 1)
    blanked = values[:24].copy()
    blanked[:16] = 0
    objects.put_durable(str(tmp_path / "c.0.0.0"), encode_object(metadata, blanked))
    assert array.read(16, 18).tobytes() == values[16:18].tobytes()


def test_an_array_of_another_layout_is_left_to_zarr(metadata):
    def change(path, value):
        changed = json.loads(json.dumps(metadata))
        at = changed
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = value
        return find_layout(changed)

    sharding = ("codecs", 0, "configuration")
    assert find_layout(metadata) is not None
    assert change((*sharding, "index_location"), "start") is None
    assert change((*sharding, "codecs", 0, "configuration", "endian"), "big") is None
    assert change((*sharding, "codecs", 1, "name"), "gzip") is None
    assert change((*sharding, "chunk_shape"), [8, 2, 1]) is None
    assert change(("codecs",), metadata["codecs"][0]["configuration"]["codecs"]) is None


def test_a_store_reads_an_array_of_another_layout_by_zarr(store, monkeypatch):
    read = store.read_rows("seer", "logits", 2, 12)
    monkeypatch.setattr("avkd.storage.reading.find_layout", lambda metadata: None)
    producer = store.producer("seer")
    reader = ArrayReader(store.url, producer, producer.output("logits"), 24, ChunkCache())
    np.testing.assert_array_equal(reader.read(2, 12), read)
