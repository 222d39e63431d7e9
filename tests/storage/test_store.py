import json
import pickle
import subprocess
import sys
import uuid
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avkd.errors import (
    CorruptStoreError,
    InvalidValueError,
    SchemaVersionError,
    StoreNotFoundError,
    StoreUnwritableError,
)
from avkd.storage import producers
from avkd.storage.arrays import put_array_file
from avkd.storage.schema import OutputSpec, ProducerSpec
from avkd.storage.sparse import SparseLogits
from avkd.storage.store import Store
from avkd.storage.verify import verify_store

NUMBERS = count()


def new_store(rows_per_shard=8):
    url = f"memory://stores-{uuid.uuid4().hex}-{next(NUMBERS)}"
    return Store.create(url, clip_policy={"clip_seconds": 20.0}, rows_per_shard=rows_per_shard)


def test_a_created_store_opens_with_what_it_was_created_with(tmp_path):
    Store.create(str(tmp_path / "s"), clip_policy={"clip_seconds": 5.0}, rows_per_shard=16)
    store = Store.open(str(tmp_path / "s"))
    assert store.clip_policy == {"clip_seconds": 5.0}
    assert store.rows_per_shard == 16
    assert (store.next_row(), store.shards(), dict(store.producers())) == (0, (), {})


def test_a_store_is_created_once(store):
    with pytest.raises(StoreUnwritableError, match="is a store already"):
        Store.create(store.url, clip_policy={}, rows_per_shard=8)


def test_creating_where_nothing_can_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnwritableError, match="cannot write"):
        Store.create(str(tmp_path / "file" / "store"), clip_policy={}, rows_per_shard=8)
    with pytest.raises(InvalidValueError, match="rows_per_shard 0"):
        Store.create(str(tmp_path / "s"), clip_policy={}, rows_per_shard=0)


def test_a_file_system_that_creates_a_file_twice_is_refused():
    url = f"simplecache::memory://careless-{uuid.uuid4().hex}"
    with pytest.raises(StoreUnwritableError, match="overwrites what must be created once"):
        Store.create(url, clip_policy={}, rows_per_shard=8)
    with pytest.raises(StoreNotFoundError):
        Store.open(url.removeprefix("simplecache::"))


def test_opening_nothing_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "nowhere", tmp_path / "file", tmp_path):
        with pytest.raises(StoreNotFoundError, match="no store at"):
            Store.open(str(place))


def test_a_newer_schema_is_refused_with_both_versions(store):
    path = Path(store.url, "store.json")
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "schema_version": 7, "shape_of_things": "new"}))
    with pytest.raises(SchemaVersionError, match="version 7, this avkd knows 2; upgrade"):
        Store.open(store.url)


def test_a_damaged_store_file_is_refused(store):
    path = Path(store.url, "store.json")
    path.write_text(path.read_text().replace('"rows_per_shard": 8', '"rows_per_shard": 9'))
    with pytest.raises(CorruptStoreError, match=r"store\.json"):
        Store.open(store.url)


def test_clips_read_back_by_shard(store, make_clips):
    clips = make_clips(0, 20)
    reopened = Store.open(store.url)
    assert reopened.shards() == (0, 1, 2)
    assert [clip for shard in range(3) for clip in reopened.read_clips(shard)] == clips
    assert reopened.recording_ids() == {f"video{i}" for i in range(10)}
    assert reopened.next_row() == 24
    with pytest.raises(InvalidValueError, match="no shard 3"):
        reopened.read_clips(3)


def test_planning_nothing_changes_nothing(store):
    store.plan_clips([])
    assert store.shards() == (0, 1, 2)


def test_a_damaged_clip_part_raises(store):
    path = Path(store.url, "clips/00001.parquet")
    data = bytearray(path.read_bytes())
    data[-5] ^= 1  # in the footer, which Parquet itself does not check
    path.write_bytes(data)
    with pytest.raises(CorruptStoreError, match=r"clips/00001\.parquet"):
        Store.open(store.url).read_clips(1)


def test_dense_rows_read_back_in_float16_over_shard_borders(store, make_clips):
    read = store.read_rows("seer", "logits", 5, 19)
    assert read.shape == (14, 2, 5)
    for row, clip in enumerate(make_clips(5, 14)):
        random = np.random.default_rng(int(clip.clip_id, 16))
        expected = random.normal(size=(2, 5), scale=4).astype(np.float32).astype(np.float16)
        np.testing.assert_array_equal(read[row], expected)


def test_rows_of_failed_clips_and_rows_without_clips_are_zero(store):
    assert not store.read_rows("seer", "logits", 3, 4).any()
    assert not store.read_rows("seer", "logits", 20, 24).any()
    assert store.read_rows("seer", "faces", 3, 4).num_rows == 0


def test_sparse_rows_and_boxes_read_back(store):
    sparse = store.read_rows("seer", "wide", 6, 10)
    assert isinstance(sparse, SparseLogits)
    assert (sparse.values.shape, sparse.values.dtype) == ((4, 2, 6), np.float16)
    assert (sparse.ids.shape, sparse.ids.dtype) == ((4, 2, 6), np.uint16)
    assert (sparse.lse.shape, sparse.lse.dtype) == ((4, 2, 4), np.float32)
    assert set(store.read_rows("seer", "faces", 6, 10)["row"].to_pylist()) == {6, 7, 8, 9}


def test_reading_what_is_not_committed_or_not_there_is_refused(store, make_clips):
    store.plan_clips(make_clips(24, 8))
    with pytest.raises(InvalidValueError, match="seer has not committed shard 3"):
        store.read_rows("seer", "logits", 22, 26)
    with pytest.raises(InvalidValueError, match="holds no 'hearer'; it holds seer"):
        store.read_rows("hearer", "logits", 0, 1)
    with pytest.raises(InvalidValueError, match="no range"):
        store.read_rows("seer", "logits", 4, 4)


def test_reading_a_damaged_or_missing_shard_raises(store):
    path = Path(store.url, "targets/seer/logits/c.1.0.0")
    data = bytearray(path.read_bytes())
    data[10] ^= 1
    path.write_bytes(data)
    with pytest.raises(CorruptStoreError):
        store.read_rows("seer", "logits", 8, 16)
    path.unlink()
    with pytest.raises(CorruptStoreError, match="missing"):
        store.read_rows("seer", "logits", 8, 16)
    assert store.read_rows("seer", "logits", 0, 8).any()
    Path(store.url, "boxes/seer/faces/00000.parquet").unlink()
    with pytest.raises(CorruptStoreError, match="missing"):
        store.read_rows("seer", "faces", 0, 1)


def test_a_committed_shard_is_not_written_again(store, fill, teacher):
    before = {p: p.stat().st_mtime_ns for p in Path(store.url).rglob("*") if p.is_file()}
    again = store.write_shard("seer", 0, {}, failures={}, timings={})
    assert again == store.read_commit("seer", 0)
    fill(Store.open(store.url), teacher)
    assert before == {p: p.stat().st_mtime_ns for p in Path(store.url).rglob("*") if p.is_file()}


def test_damaged_files_of_a_shard_without_a_commit_are_replaced(store, fill, teacher):
    digest = store.content_digest()
    Path(store.url, "commits/seer/00001.json").unlink()
    Path(store.url, "targets/seer/logits/c.1.0.0").write_bytes(b"torn")
    Path(store.url, "boxes/seer/faces/00001.parquet").unlink()
    reopened = Store.open(store.url)
    assert reopened.missing_shards("seer") == (1,)
    fill(reopened, teacher, failed=[store.read_clips(0)[3].clip_id])
    assert verify_store(store.url) == ()
    assert reopened.content_digest() == digest


def test_a_shard_done_twice_gives_the_same_bytes(store, fill, teacher):
    files = [p for p in Path(store.url).rglob("*") if p.is_file() and "00002" not in p.name]
    before = {path: path.read_bytes() for path in files}
    failed = [store.read_clips(0)[3].clip_id]
    for commit in Path(store.url, "commits/seer").iterdir():
        commit.unlink()
    reopened = fill(Store.open(store.url), teacher, failed=failed)
    data = {p: b for p, b in before.items() if "commits" not in p.parts}
    assert data == {path: path.read_bytes() for path in data}
    for shard in range(3):
        assert reopened.read_commit("seer", shard).digest == store.read_commit("seer", shard).digest


def test_appended_rows_start_at_the_next_shard_and_leave_the_old_ones_alone(
    store, fill, teacher, make_clips
):
    old = store.read_rows("seer", "logits", 0, 24)
    files = {p: p.read_bytes() for p in Path(store.url).rglob("c.*") if p.is_file()}
    store.plan_clips(make_clips(24, 9))
    assert store.missing_shards("seer") == (3, 4)
    fill(store, teacher)
    assert files == {path: path.read_bytes() for path in files}
    np.testing.assert_array_equal(store.read_rows("seer", "logits", 0, 24), old)
    assert store.read_rows("seer", "logits", 0, 40).shape[0] == 40
    assert verify_store(store.url) == ()


def test_a_second_producer_comes_later_over_the_same_rows(store, fill, waveform, make_clips):
    digest = store.content_digest()
    store.plan_clips(make_clips(24, 3))
    store.declare(waveform)
    assert store.missing_shards("sound") == (0, 1, 2, 3)
    array_file = json.loads(Path(store.url, "inputs/sound/waveform/zarr.json").read_text())
    assert array_file["shape"] == [32, 1, 64]
    fill(store, waveform)
    assert store.read_rows("sound", "waveform", 0, 27).dtype == np.int16
    assert list(store.producers()) == ["seer", "sound"]
    assert store.content_digest() != digest
    assert verify_store(store.url) == ()


def test_two_open_handles_see_each_other(store, fill, waveform, make_clips):
    other = Store.open(store.url)
    assert other.next_row() == 24
    store.plan_clips(make_clips(24, 8))
    fill(store, waveform)
    assert other.shards() == (0, 1, 2, 3)
    assert other.missing_shards("sound") == ()
    assert other.read_rows("sound", "waveform", 24, 25).any()


def test_rows_are_readable_though_an_array_missed_its_growth(store, fill, teacher, make_clips):
    store.read_rows("seer", "logits", 0, 1)
    stale = Path(store.url, "targets/seer/logits/zarr.json").read_bytes()
    store.plan_clips(make_clips(24, 8))
    fill(store, teacher)
    Path(store.url, "targets/seer/logits/zarr.json").write_bytes(stale)
    assert store.read_rows("seer", "logits", 24, 32).any()
    assert Store.open(store.url).read_rows("seer", "logits", 24, 32).any()
    store.declare(teacher)
    grown = json.loads(Path(store.url, "targets/seer/logits/zarr.json").read_text())
    assert grown["shape"][0] == 32


def test_a_planner_that_died_before_growing_arrays_is_made_good_by_the_next(
    store, teacher, make_clips, monkeypatch
):
    with monkeypatch.context() as patch:
        patch.setattr(producers, "put_array_file", lambda *args: None)
        store.plan_clips(make_clips(24, 8))
    Store.open(store.url).plan_clips(make_clips(32, 8))
    array_file = json.loads(Path(store.url, "targets/seer/wide/ids/zarr.json").read_text())
    assert array_file["shape"][0] == 40
    assert put_array_file is producers.put_array_file


def test_ok_rows_are_those_with_data(store, make_clips):
    assert store.ok_rows("seer").tolist() == [0, 1, 2, *range(4, 20)]
    assert store.ok_rows("seer").dtype == np.int64


def test_a_partial_row_keeps_its_data_and_counts_as_ok(store, make_clips, teacher):
    clips = make_clips(24, 2)
    store.plan_clips(clips)
    arrays = {
        "logits": np.ones((8, 2, 5), np.float32),
        "wide": np.ones((8, 2, 40), np.float32),
        "faces": store.read_rows("seer", "faces", 0, 1),
    }
    failures = {24: ("partial", "ends early"), 25: ("timeout", "60 s")}
    commit = store.write_shard("seer", 3, arrays, failures=failures, timings={})
    assert commit.counts == {"partial": 1, "timeout": 1}
    assert store.ok_rows("seer")[-1] == 24
    read = store.read_rows("seer", "logits", 24, 26)
    assert read[0].all()
    assert not read[1].any()
    assert verify_store(store.url) == ()


def test_of_several_attempts_at_a_clip_the_last_good_one_counts(store, fill, teacher, make_clips):
    failed = store.read_clips(0)[3].clip_id
    store.plan_clips(make_clips(24, 3, first_clip=2, attempt=1))  # clips 2, 3 and 4 once more
    fill(store, teacher, failed=[store.read_clips(0)[4].clip_id])
    assert store.read_clips(3)[1].clip_id == failed
    # Clip 2 moved to row 24 and clip 3 to 25; clip 4 failed the second time and keeps row 4.
    assert store.ok_rows("seer").tolist() == [0, 1, 4, *range(5, 20), 24, 25]
    summary = store.summary()
    assert summary.num_clips == 20
    # An attempt that failed hides no earlier one that went well.
    assert summary.status == {"ok": 20}


def test_a_store_travels_to_another_process(store):
    copy = pickle.loads(pickle.dumps(store))
    assert (copy.url, repr(copy)) == (store.url, repr(store))
    assert copy.ok_rows("seer").tolist() == store.ok_rows("seer").tolist()


@settings(max_examples=10)
@given(
    cuts=st.lists(st.integers(1, 12), min_size=1, max_size=3),
    rows_per_shard=st.integers(1, 9),
    order=st.randoms(use_true_random=False),
)
def test_content_depends_on_clips_alone_not_on_shards_or_order(
    teacher, waveform, make_clips, fill, cuts, rows_per_shard, order
):
    plain = new_store(rows_per_shard=16)
    plain.plan_clips(make_clips(0, sum(cuts)))
    fill(fill(plain, teacher), waveform)

    other, done = new_store(rows_per_shard), 0
    for cut in cuts:
        other.plan_clips(make_clips(other.next_row(), cut, first_clip=done))
        done += cut
    specs = [waveform, teacher]
    order.shuffle(specs)
    for spec in specs:
        other.declare(spec)
        while other.missing_shards(spec.name):
            fill(other, spec, limit=order.randint(1, 3))
    assert other.content_digest() == plain.content_digest()
    assert other.content_digest().endswith(f"-{4 * sum(cuts)}")
    assert verify_store(other.url) == ()


def test_one_changed_value_changes_the_content_digest(teacher, make_clips, fill):
    digests = set()
    for value in (0.0, 1.0):
        store = new_store()
        store.plan_clips(make_clips(0, 8))
        store.declare(teacher)
        arrays = {
            "logits": np.zeros((8, 2, 5), np.float32),
            "wide": np.zeros((8, 2, 40), np.float32),
            "faces": fill(new_store_with(make_clips), teacher).read_rows("seer", "faces", 0, 8),
        }
        arrays["logits"][7, 1, 4] = value
        store.write_shard("seer", 0, arrays, failures={}, timings={})
        digests.add(store.content_digest())
    assert len(digests) == 2


def new_store_with(make_clips):
    store = new_store()
    store.plan_clips(make_clips(0, 8))
    return store


def test_looking_at_what_is_missing_imports_neither_zarr_nor_torch(store, waveform):
    code = (
        "import sys; from avkd.storage.store import Store; s = Store.open(sys.argv[1]);"
        "s.declare(s.producers()['seer']); s.recording_ids();"
        "assert s.missing_shards('seer') == (); s.content_digest();"
        "print([m for m in ('torch', 'zarr', 'fsspec') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, store.url], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_pictures_and_numbers_a_clip_come_back_as_they_were(store):
    outputs = (
        OutputSpec(name="frames", shape=(2, 3, 4, 3), dtype="uint8", axes=("s", "h", "w", "c")),
        OutputSpec(name="alpha", shape=(1,), dtype="float32", axes=("feature",)),
    )
    spec = ProducerSpec(kind="input", name="seen", outputs=outputs, fingerprint={})
    store.declare(spec)
    values = {
        "frames": np.arange(8 * 72).reshape(8, 2, 3, 4, 3).astype(np.uint8),
        "alpha": np.linspace(-1, 1, 8, dtype=np.float32)[:, None],
    }
    store.write_shard("seen", 0, values, failures={}, timings={})
    for name, written in values.items():
        read = store.read_rows("seen", name, 0, 8)
        assert read.dtype == written.dtype
        np.testing.assert_array_equal(read, written)
    assert verify_store(store.url) == ()
