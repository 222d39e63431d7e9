import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from avkd.errors import CorruptStoreError, SchemaVersionError
from avkd.storage import schema, store_file
from avkd.storage.removals import (
    NEVER,
    Removals,
    count_removals,
    read_removals,
    write_removal,
)
from avkd.storage.schema import REMOVED
from avkd.storage.store import Store
from avkd.storage.verify import verify_store


@pytest.fixture
def full(store, fill, waveform):
    """Two producers, all layouts; video1 holds row 3, which failed."""
    return fill(store, waveform)


def store_without(place, teacher, waveform, make_clips, fill, names, *, failed=()):
    """The store as it would be had it never held those recordings."""
    made = Store.create(str(place), clip_policy={"clip_seconds": 20.0}, rows_per_shard=8)
    clips = [clip for clip in make_clips(0, 20) if clip.recording_id not in names]
    made.plan_clips([dataclasses.replace(clip, row=row) for row, clip in enumerate(clips)])
    fill(made, teacher, failed=failed)
    return fill(made, waveform)


def remove(store, *names):
    write_removal(store.url, dict.fromkeys(names, NEVER))


def test_removals_add_up_and_the_last_word_on_a_recording_counts(store):
    assert not store.removals()
    remove(store, "video1")
    remove(store, "video2", "video1")
    write_removal(store.url, {"video1": 24})
    removals = read_removals(store.url)
    assert removals.first_rows == {"video1": 24, "video2": NEVER}
    assert removals.recordings == {"video2"}
    assert count_removals(store.url) == 3
    names = ["video1", "video1", "video2", "video3"]
    assert removals.hide(names, [23, 24, 900, 0]) == {23, 900}


def test_what_is_known_is_not_read_again(store):
    remove(store, "video1")
    known = read_removals(store.url)
    assert read_removals(store.url, known) is known
    remove(store, "video2")
    assert read_removals(store.url, known) == read_removals(store.url)


def test_two_removals_at_once_both_count(store, monkeypatch):
    from avkd.storage import removals

    real, stale = removals.count_removals, [0]
    remove(store, "video1")
    monkeypatch.setattr(removals, "count_removals", lambda url: stale.pop() if stale else real(url))
    remove(store, "video2")
    assert not stale
    assert read_removals(store.url).recordings == {"video1", "video2"}


def test_rows_of_a_removed_recording_are_in_nothing_that_is_read(full):
    before = full.read_rows("seer", "logits", 0, 8)
    remove(full, "video2")  # rows 4 and 5
    for store in (full, Store.open(full.url)):
        assert [clip.row for clip in store.read_clips(0)] == [0, 1, 2, 3, 6, 7]
        assert store.read_clip_columns(0, "clip_id", "row")["row"] == [0, 1, 2, 3, 6, 7]
        assert set(store.read_clip_columns(0, "clip_id")) == {"clip_id"}
        assert "video2" not in store.recording_ids()
        assert not {4, 5} & set(store.ok_rows("seer").tolist())
        read = store.read_rows("seer", "logits", 0, 8)
        assert not read[4:6].any()
        np.testing.assert_array_equal(np.delete(read, [4, 5], 0), np.delete(before, [4, 5], 0))
        sparse = store.read_rows("seer", "wide", 3, 7)
        for array in (sparse.values, sparse.ids, sparse.lse):
            assert not array[1:3].any()
        assert sparse.lse[3].any()
        boxes = store.read_rows("seer", "faces", 0, 8)["row"].to_pylist()
        assert set(boxes) == {0, 1, 2, 6, 7}
        commit = store.read_commit("seer", 0)
        assert (dict(commit.counts), set(commit.failures)) == ({"ok": 5, "no_video": 1}, {3})


def test_a_removed_row_that_had_failed_is_no_failure_any_more(full):
    remove(full, "video1")
    assert full.read_commit("seer", 0).failures == {}
    assert full.summary().status == {"ok": 18}


@pytest.mark.parametrize("names", [("video2",), ("video1", "video9"), ("video0", "video3")])
def test_a_store_counts_and_digests_as_if_it_had_never_held_what_was_removed(
    full, tmp_path, teacher, waveform, make_clips, fill, names
):
    failed = [full.read_clips(0)[3].clip_id]
    remove(full, *names)
    never = store_without(
        tmp_path / "never", teacher, waveform, make_clips, fill, names, failed=failed
    )
    found, expected = full.summary(), never.summary()
    assert found.content_digest == expected.content_digest
    for field in ("num_recordings", "num_clips", "status"):
        assert getattr(found, field) == getattr(expected, field)
    assert [each.status for each in found.teachers] == [each.status for each in expected.teachers]


def test_content_of_a_commit_is_without_removed_rows_whoever_adds_it_up(full):
    digest = full.content_digest()
    remove(full, "video2")
    totals = [sums for commit in full.commits("seer") for sums in commit.content.values()]
    assert sum(each.count for each in totals) == 3 * 18
    assert full.content_digest() != digest


def test_what_is_computed_after_a_removal_holds_nothing_of_it(
    tmp_path, teacher, waveform, make_clips, fill
):
    late = Store.create(
        str(tmp_path / "late"), clip_policy={"clip_seconds": 20.0}, rows_per_shard=8
    )
    late.plan_clips(make_clips(0, 20))
    remove(late, "video2", "video7")
    fill(fill(late, teacher), waveform)
    names = {"video2", "video7"}
    never = store_without(tmp_path / "never", teacher, waveform, make_clips, fill, names)
    assert late.content_digest() == never.content_digest()
    document = json.loads(Path(late.url, "commits/seer/00000.json").read_text())["commit"]
    assert document["failures"] == {"4": [REMOVED, ""], "5": [REMOVED, ""]}
    assert verify_store(late.url) == ()


def test_a_worker_that_had_read_the_clips_before_writes_nothing_of_what_was_removed_since(
    teacher, store, values_of
):
    clips = store.read_clips(0)
    arrays = {each.name: values_of(clips, each, 8) for each in teacher.outputs}
    Path(store.url, "commits/seer/00000.json").unlink()
    remove(store, "video2")
    worker = Store.open(store.url)
    worker.write_shard("seer", 0, arrays, failures={4: ("timeout", "slow")}, timings={})
    stored = worker._stored.read_rows(worker.producer("seer"), teacher.outputs[0], 0, 8)
    assert not stored[4:6].any()
    assert stored[6].any()
    assert verify_store(store.url) == ()


def test_a_store_is_of_the_newer_schema_from_its_first_removal_on(store, monkeypatch):
    assert json.loads(Path(store.url, "store.json").read_text())["schema_version"] == 1
    assert store.summary().schema_version == 1
    remove(store, "video2")
    assert json.loads(Path(store.url, "store.json").read_text())["schema_version"] == 2
    assert Store.open(store.url).summary().schema_version == 2
    monkeypatch.setattr(store_file, "SCHEMA_VERSION", schema.FIRST_SCHEMA_VERSION)
    with pytest.raises(SchemaVersionError, match="upgrade avkd"):  # as an older avkd would
        Store.open(store.url)


def test_a_damaged_or_missing_removal_is_told_and_hides_nothing_silently(store):
    remove(store, "video1")
    remove(store, "video2")
    path = Path(store.url, "removals/00000.json")
    data = path.read_bytes()
    path.write_bytes(data.replace(b"video1", b"video3"))
    with pytest.raises(CorruptStoreError, match=r"00000\.json"):
        Store.open(store.url).read_clips(0)
    assert {problem.file for problem in verify_store(store.url)} == {"removals/00000.json"}
    path.unlink()
    with pytest.raises(CorruptStoreError, match="is missing"):
        Store.open(store.url).read_clips(0)
    assert {problem.file for problem in verify_store(store.url)} == {"removals/00000.json"}
    path.write_bytes(Path(store.url, "removals/00001.json").read_bytes())
    with pytest.raises(CorruptStoreError, match="this is removal 1"):
        Store.open(store.url).read_clips(0)


def test_nothing_removed_costs_no_look_at_clip_tables(store, monkeypatch):
    monkeypatch.setattr(Removals, "hide", lambda *args: pytest.fail("looked"))
    assert store.summary().num_clips > 0
