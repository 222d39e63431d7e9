import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from avkd.errors import StoreUnwritableError
from avkd.storage import objects, plans
from avkd.storage.store import Store
from avkd.storage.sweeping import find_leftovers, sweep
from avkd.storage.verify import verify_store

LEASE = 3600.0
TEMPORARY = ".c.9.0.0.0123456789abcdef0123456789abcdef.tmp"


def age(path, seconds=2 * LEASE):
    then = time.time() - seconds
    os.utime(path, (then, then))


def found(store, lease=LEASE):
    return {each.path for each in find_leftovers(store.url, 8, lease_seconds=lease)}


def make_old(store):
    for path in Path(store.url).rglob("*"):
        if path.is_file():
            age(path)


def test_a_whole_store_has_no_leftovers_however_old_it_is(store):
    make_old(store)
    assert found(store) == set()


def test_old_temporary_files_are_leftovers_and_young_ones_are_not(store):
    old, young = Path(store.url, "targets/seer/logits") / TEMPORARY, Path(store.url) / TEMPORARY
    for path in (old, young):
        path.write_bytes(b"half")
    age(old)
    assert found(store) == {f"targets/seer/logits/{TEMPORARY}"}
    assert found(store, lease=-1.0) == {f"targets/seer/logits/{TEMPORARY}", TEMPORARY}
    (leftover,) = sweep(store.url, find_leftovers(store.url, 8, lease_seconds=LEASE))
    assert leftover.size == 4
    assert (old.exists(), young.exists()) == (False, True)


def test_what_others_put_into_a_store_is_left_alone(store):
    for name in ("README.md", ".hidden", "notes.tmp", "clips/index.parquet", "targets/seer/x.npy"):
        Path(store.url, name).write_text("mine")
    make_old(store)
    assert found(store) == set()


def test_clip_parts_that_no_plan_lists_go(store, make_clips):
    plans.claim_part(store.url, 7, make_clips(56, 8))
    assert found(store) == set()
    age(Path(store.url, "clips/00007.parquet"))
    assert found(store) == {"clips/00007.parquet"}
    sweep(store.url, find_leftovers(store.url, 8, lease_seconds=LEASE))
    assert verify_store(store.url) == ()


def test_files_of_a_shard_without_a_commit_go_when_all_of_them_are_old(store):
    Path(store.url, "commits/seer/00001.json").unlink()
    expected = {
        "targets/seer/logits/c.1.0.0",
        *(f"targets/seer/wide/{name}/c.1.0.0" for name in ("values", "ids", "lse")),
        "boxes/seer/faces/00001.parquet",
    }
    assert found(store) == set()
    for name in expected:
        assert found(store) == set()  # somebody still goes from file to file
        age(Path(store.url, name))
    assert found(store) == expected
    assert len(sweep(store.url, find_leftovers(store.url, 8, lease_seconds=LEASE))) == 5
    assert verify_store(store.url) == ()


def test_what_was_named_meanwhile_stays(store, fill, teacher):
    Path(store.url, "commits/seer/00001.json").unlink()
    make_old(store)
    leftovers = find_leftovers(store.url, 8, lease_seconds=LEASE)
    fill(Store.open(store.url), teacher)
    assert sweep(store.url, leftovers) == ()
    assert verify_store(store.url) == ()


def test_what_is_being_written_again_stays_though_nothing_names_it_yet(store):
    Path(store.url, "commits/seer/00001.json").unlink()
    make_old(store)
    leftovers = find_leftovers(store.url, 8, lease_seconds=LEASE)
    mine = "targets/seer/logits/c.1.0.0"
    objects.put_durable(f"{store.url}/{mine}", b"its writer goes on to the next file")
    assert {each.path for each in leftovers} - {
        each.path for each in sweep(store.url, leftovers)
    } == {mine}


def test_the_clock_of_this_machine_makes_no_file_old(store, monkeypatch):
    (Path(store.url) / TEMPORARY).write_bytes(b"half")
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 9 * LEASE)
    assert found(store) == set()
    assert not [path for path in Path(store.url).iterdir() if ".clock." in path.name]


def test_files_that_are_all_of_one_date_are_not_old(store, monkeypatch):
    """As on a file system that keeps no times."""
    (Path(store.url) / TEMPORARY).write_bytes(b"half")
    real = Path.stat

    def stat(path):
        return SimpleNamespace(st_size=real(path).st_size, st_mtime=0.0, st_mode=real(path).st_mode)

    monkeypatch.setattr(Path, "stat", stat)
    assert found(store) == set()


def test_a_planner_that_takes_over_old_parts_makes_them_young(store, make_clips):
    plans.claim_part(store.url, 3, make_clips(24, 8))
    age(Path(store.url, "clips/00003.parquet"))
    plans.claim_part(store.url, 3, make_clips(24, 8))
    assert found(store) == set()


def test_a_planner_that_slept_through_its_lease_plans_nothing(store, make_clips):
    part = plans.claim_part(store.url, 3, make_clips(24, 8))
    sweep(store.url, find_leftovers(store.url, 8, lease_seconds=-1.0))
    with pytest.raises(StoreUnwritableError, match="run the same command again"):
        plans.write_plan(store.url, 1, [part])
    assert verify_store(store.url) == ()


def test_a_worker_that_slept_through_its_lease_commits_nothing(
    store, teacher, values_of, monkeypatch
):
    Path(store.url, "commits/seer/00001.json").unlink()
    clips = store.read_clips(1)
    arrays = {each.name: values_of(clips, each, 8) for each in teacher.outputs}
    real = objects.put_durable

    def put_then_sleep(url, data):
        real(url, data)
        if url.endswith("faces/00001.parquet"):
            sweep(store.url, find_leftovers(store.url, 8, lease_seconds=-1.0))

    monkeypatch.setattr(objects, "put_durable", put_then_sleep)
    with pytest.raises(StoreUnwritableError, match="was swept before its shard was committed"):
        store.write_shard("seer", 1, arrays, failures={}, timings={})
    assert store.missing_shards("seer") == (1,)
    assert verify_store(store.url) == ()


def test_buckets_are_left_alone(teacher, make_clips, fill):
    store = Store.create("memory://swept/store", clip_policy={}, rows_per_shard=8)
    store.plan_clips(make_clips(0, 10))
    plans.claim_part(store.url, 7, make_clips(56, 8))
    assert find_leftovers(store.url, 8, lease_seconds=-1.0) == ()


def test_a_leftover_that_cannot_be_deleted_is_one_line(store, monkeypatch):
    (Path(store.url) / TEMPORARY).write_bytes(b"half")
    leftovers = find_leftovers(store.url, 8, lease_seconds=-1.0)

    def refuse(url):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(objects, "remove", refuse)
    with pytest.raises(StoreUnwritableError, match=r"cannot delete .*Permission denied"):
        sweep(store.url, leftovers)
