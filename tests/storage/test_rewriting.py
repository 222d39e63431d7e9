"""Removed rows are written out of the store, wherever the process that does it is killed."""

import json
import shutil
import uuid
from pathlib import Path

import numpy as np
import pytest

from avkd.errors import CorruptStoreError, StoreUnwritableError
from avkd.storage import objects, plans, producers, verify
from avkd.storage.commits import list_generations
from avkd.storage.digest import RowSum
from avkd.storage.reading import ArrayReader
from avkd.storage.removals import NEVER, write_removal
from avkd.storage.rewrite_lock import hold_lock
from avkd.storage.rewriting import erase_clips, find_removed_shards, find_unerased, rewrite_shard
from avkd.storage.schema import REMOVED
from avkd.storage.store import Store
from avkd.storage.stored import StoredRows
from avkd.storage.verify import verify_store

NAMES = ("video2", "video4", "video9")  # rows 4, 5, 8, 9, 18, 19


class Killed(BaseException):
    """As SIGKILL: nothing that comes after it is done."""


@pytest.fixture
def removed_store(store, fill, waveform):
    """Of two producers and all layouts; every shard holds rows of removed recordings."""
    fill(store, waveform)
    write_removal(store.url, dict.fromkeys(NAMES, NEVER))
    return Store.open(store.url)


def rewrite(url):
    """What `avkd gc --rewrite` does under its lock."""
    store = Store.open(url)
    declared = [producers.read_producer(url, *each) for each in producers.list_producers(url)]
    stored = StoredRows(url, store.rows_per_shard)
    for shard in find_removed_shards(stored, declared, store.removals()):
        rewrite_shard(url, shard, store.rows_per_shard)
    return erase_clips(url, store.removals())


def files_of(url):
    return {str(p.relative_to(url)): p.read_bytes() for p in Path(url).rglob("*") if p.is_file()}


def shown(url):
    """All that a reader who knows nothing of it gets to see."""
    store = Store.open(url)
    return (
        store.content_digest(),
        store.summary().status,
        [store.read_clips(shard) for shard in store.shards()],
        [store.read_rows("seer", "logits", 0, 24).tobytes()],
        store.read_rows("seer", "faces", 0, 24).to_pydict(),
        store.read_rows("seer", "wide", 0, 24).values.tobytes(),
        store.read_rows("sound", "waveform", 0, 24).tobytes(),
    )


def test_readers_see_the_same_and_the_bytes_are_gone(removed_store):
    url = removed_store.url
    before, raw = shown(url), StoredRows(url, 8)
    seer = removed_store.producer("seer")
    assert raw.read_rows(seer, seer.spec.outputs[0], 4, 6).any()
    assert rewrite(url) == (0, 1, 2)
    assert shown(url) == before
    assert verify_store(url) == ()
    raw = StoredRows(url, 8)
    assert not raw.read_rows(seer, seer.spec.outputs[0], 4, 6).any()
    assert not raw.read_rows(seer, seer.spec.outputs[1], 18, 20).lse.any()
    boxes = raw.read_rows(seer, seer.spec.outputs[2], 0, 24)["row"].to_pylist()
    assert not {4, 5, 8, 9, 18, 19} & set(boxes)
    for name, data in files_of(url).items():
        if not name.startswith("removals/"):
            for recording in NAMES:
                assert recording.encode() not in data, (name, recording)


def test_rows_keep_their_numbers_and_clip_ids_and_lose_all_else(removed_store):
    rewrite(removed_store.url)
    clips = StoredRows(removed_store.url, 8).read_clips(0)
    assert [clip.row for clip in clips] == list(range(8))
    assert [clip.clip_id for clip in clips] == [
        clip.clip_id for clip in removed_store._stored.read_clips(0)
    ]
    assert (clips[4].recording_id, clips[4].streams, clips[4].metadata) == ("", {}, {})
    assert clips[3].metadata["place"] == "quay"


def test_a_new_commit_replaces_the_old_one_and_tells_what_it_left_out(removed_store):
    url = removed_store.url
    old = json.loads(Path(url, "commits/seer/00000.json").read_text())["commit"]
    rewrite(url)
    assert list_generations(url, "seer") == {0: (1,), 1: (1,), 2: (1,)}
    new = json.loads(Path(url, "commits/seer/00000.1.json").read_text())["commit"]
    assert new["generation"] == 1
    assert new["counts"] == {"ok": 5, "no_video": 1, REMOVED: 2}
    assert set(new["failures"]) == {"3", "4", "5"}
    assert new["clip_ids_digest"] == old["clip_ids_digest"]
    assert objects.list_names(f"{url}/plans") == ["00000.1.json", "00000.json"]
    assert objects.list_names(f"{url}/clips") == [f"0000{n}.1.parquet" for n in range(3)]


def test_a_second_rewrite_has_nothing_to_do(removed_store):
    rewrite(removed_store.url)
    files = files_of(removed_store.url)
    assert rewrite(removed_store.url) == ()
    assert files_of(removed_store.url) == files


def test_a_shard_is_rewritten_as_often_as_something_is_removed_from_it(removed_store):
    url = removed_store.url
    rewrite(url)
    write_removal(url, {"video3": NEVER})
    before = shown(url)
    assert find_unerased(url, Store.open(url).removals()) == (0,)
    rewrite(url)
    assert shown(url) == before
    assert verify_store(url) == ()
    assert list_generations(url, "seer") == {0: (2,), 1: (1,), 2: (1,)}


def test_only_shards_with_removed_rows_are_rewritten(store):
    write_removal(store.url, {"video2": NEVER})
    files = files_of(store.url)
    rewrite(store.url)
    changed = {name for name, data in files_of(store.url).items() if files.get(name) != data}
    assert not [name for name in changed if "00001" in name or "c.1" in name]


def kill_at(monkeypatch, step):
    """Let the process die before its n-th durable step, or, which is the same, after the last."""
    passed = 0

    def wrap(name):
        real = getattr(objects, name)

        def wrapped(*args):
            nonlocal passed
            passed += 1
            if passed >= step:
                raise Killed
            return real(*args)

        monkeypatch.setattr(objects, name, wrapped)

    for name in ("put_durable", "create_exclusive", "remove"):
        wrap(name)


def test_a_kill_at_any_step_leaves_a_sound_store_that_the_next_one_finishes(
    tmp_path, teacher, make_clips, fill
):
    small = Store.create(str(tmp_path / "small"), clip_policy={}, rows_per_shard=8)
    small.plan_clips(make_clips(0, 7))
    fill(small, teacher)
    write_removal(small.url, {"video2": NEVER})
    expected, whole = small.content_digest(), tmp_path / "whole"
    shutil.copytree(small.url, whole)
    rewrite(str(whole))
    final = files_of(whole)
    for step in range(1, 100):
        place = tmp_path / f"killed{step}"
        shutil.copytree(small.url, place)
        with pytest.MonkeyPatch.context() as patch:
            kill_at(patch, step)
            try:
                rewrite(str(place))
            except Killed:
                pass
            else:
                break
        assert verify_store(str(place)) == (), step
        assert Store.open(str(place)).content_digest() == expected, step
        assert set(Store.open(str(place)).read_rows("seer", "faces", 0, 8)["row"].to_pylist()) == {
            0,
            1,
            2,
            3,
            6,
        }
        rewrite(str(place))
        assert verify_store(str(place)) == ()
        found = files_of(place)
        assert found.keys() == final.keys()
        # Commits hold the time at which they were written.
        assert not [n for n in found if "commits" not in n and found[n] != final[n]], step
    assert step > 10


def test_a_store_in_a_bucket_is_rewritten_too(teacher, make_clips, fill):
    store = Store.create(f"memory://rewritten-{uuid.uuid4().hex}", clip_policy={}, rows_per_shard=8)
    store.plan_clips(make_clips(0, 12))
    fill(store, teacher)
    write_removal(store.url, {"video2": NEVER, "video4": NEVER})
    before = Store.open(store.url).read_rows("seer", "logits", 0, 16)
    digest = store.content_digest()
    with hold_lock(store.url):
        assert rewrite(store.url) == (0, 1)
        with pytest.raises(StoreUnwritableError, match="is held by"), hold_lock(store.url):
            pytest.fail("two held it")
    late = Store.open(store.url)
    assert late.content_digest() == digest == store.content_digest()
    np.testing.assert_array_equal(late.read_rows("seer", "logits", 0, 16), before)
    assert verify_store(store.url) == ()


def test_parts_of_two_generations_are_read_again(removed_store, monkeypatch):
    """A bucket has no open files: an index may be of the old object and a chunk of the new."""
    reader = Store.open(removed_store.url)
    expected = reader.read_rows("seer", "logits", 0, 8)
    rewrite(removed_store.url)
    real = ArrayReader.read

    def mix(self, start, stop):
        monkeypatch.setattr(ArrayReader, "read", real)
        raise CorruptStoreError("the checksum of a chunk does not match")

    monkeypatch.setattr(ArrayReader, "read", mix)
    np.testing.assert_array_equal(reader.read_rows("seer", "logits", 0, 8), expected)
    monkeypatch.setattr(ArrayReader, "read", mix)
    with pytest.raises(CorruptStoreError, match="checksum"):
        reader.read_rows("seer", "logits", 0, 8)


def test_a_reader_from_before_goes_on_reading(removed_store):
    reader = Store.open(removed_store.url)
    before = reader.read_rows("seer", "faces", 0, 24).to_pydict()
    assert reader.read_clips(0)
    rewrite(removed_store.url)
    assert reader.read_rows("seer", "faces", 0, 24).to_pydict() == before
    late = Store.open(removed_store.url)
    late.planned_parts()
    write_removal(removed_store.url, {"video1": NEVER})
    rewrite(removed_store.url)  # the part that `late` knows of is gone
    assert "video1" not in {clip.recording_id for clip in late.read_clips(0)}
    assert late.content_digest() == Store.open(removed_store.url).content_digest()


def test_content_that_is_added_up_after_a_rewrite_is_that_of_the_commits_read_before(
    removed_store,
):
    """Commits are read first, and the rows to subtract when somebody asks for the sums."""
    expected = removed_store.content_digest()
    reader = Store.open(removed_store.url)
    commits = [commit for name in ("seer", "sound") for commit in reader.commits(name)]
    rewrite(removed_store.url)
    total = RowSum()
    for commit in commits:
        for rows in commit.content.values():
            total += rows
    assert str(total) == expected


@pytest.mark.parametrize(("module", "name"), [(plans, "parse_plan"), (verify, "parse_commit")])
def test_a_store_that_is_rewritten_under_verify_is_no_damaged_one(
    removed_store, monkeypatch, module, name
):
    real, url = getattr(module, name), removed_store.url

    def rewrite_first(*words):
        monkeypatch.setattr(module, name, real)
        rewrite(url)
        return real(*words)

    monkeypatch.setattr(module, name, rewrite_first)
    assert verify_store(url) == ()
    assert getattr(module, name) is real, "nothing was rewritten"


def test_a_worker_that_is_late_with_the_same_shard_changes_nothing(
    removed_store, teacher, values_of
):
    """It had begun before another one committed the shard, and before rows were written out."""
    url = removed_store.url
    late = Store.open(url)
    clips = late._stored.read_clips(0)
    rewrite(url)
    before = shown(url)
    late.is_committed = lambda name, shard: False
    arrays = {each.name: values_of(clips, each, 8) for each in teacher.outputs}
    failures = {3: ("no_video", "no picture")}
    commit = late.write_shard("seer", 0, arrays, failures=failures, timings={})
    assert not commit.is_new
    assert shown(url) == before
    assert verify_store(url) == ()


def test_damage_is_not_written_over(removed_store):
    path = Path(removed_store.url, "targets/seer/logits/c.0.0.0")
    data = bytearray(path.read_bytes())
    data[5] ^= 1
    path.write_bytes(data)
    with pytest.raises(CorruptStoreError, match=r"c\.0\.0\.0"):
        rewrite(removed_store.url)
    assert path.read_bytes() == data


def test_a_flip_in_any_file_of_a_rewritten_store_is_found(removed_store):
    rewrite(removed_store.url)
    for path in sorted(p for p in Path(removed_store.url).rglob("*") if p.is_file()):
        data = path.read_bytes()
        flipped = bytearray(data)
        flipped[len(data) // 2] ^= 4
        path.write_bytes(flipped)
        name = path.relative_to(removed_store.url).as_posix()
        assert name in {problem.file for problem in verify_store(removed_store.url)}, name
        path.write_bytes(data)


def test_a_removal_that_was_lost_after_its_rows_were_written_out_is_found(removed_store):
    rewrite(removed_store.url)
    Path(removed_store.url, "removals/00000.json").unlink()
    problems = verify_store(removed_store.url)
    assert {problem.file for problem in problems} == {
        f"commits/{name}/0000{shard}.1.json" for name in ("seer", "sound") for shard in range(3)
    }
    assert all("restore the removals" in problem.what for problem in problems)


def test_one_process_at_a_time_and_a_stale_lock_tells_the_way_out(store):
    lock = Path(store.url, "rewrite.lock")
    with (
        hold_lock(store.url),
        pytest.raises(StoreUnwritableError, match="is held by process"),
        hold_lock(store.url),
    ):
        pytest.fail("two held it")
    assert not lock.exists()
    with pytest.raises(Killed), hold_lock(store.url):
        raise Killed
    assert not lock.exists()
    with hold_lock(store.url):
        left = lock.read_text()
    lock.write_text(left.replace(f'"process": {json.loads(left)["process"]}', '"process": 4194305'))
    with (
        pytest.raises(StoreUnwritableError, match=r"not running here; .*remove that file"),
        hold_lock(store.url),
    ):
        pytest.fail("held")
    lock.write_bytes(b"no json")
    with pytest.raises(StoreUnwritableError, match="remove that file"), hold_lock(store.url):
        pytest.fail("held")
