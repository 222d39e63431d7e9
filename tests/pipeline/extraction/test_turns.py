from pathlib import Path

import pytest

from avkd.pipeline.extraction import shard as shards
from avkd.pipeline.extraction.shard import extract_shard
from avkd.pipeline.extraction.task import ShardTask
from avkd.pipeline.extraction.turns import Turns, leave_out_committed, list_producers
from avkd.storage.clips import clip_id
from avkd.storage.schema import ClipRow, OutputSpec, ProducerSpec
from avkd.storage.store import Store

NAMES = ("alpha", "beta")


def make_tasks(num_tasks: int) -> list[ShardTask]:
    return [ShardTask(store="s", shard=shard) for shard in range(num_tasks)]


def fill_store(folder: Path) -> Store:
    store = Store.create(str(folder / "store"), clip_policy={}, rows_per_shard=2)
    clips = [
        ClipRow(
            row=row,
            clip_id=clip_id(f"p{row}", 0.0, 0.0),
            recording_id=f"p{row}",
            streams={},
            start_seconds=0.0,
            duration_seconds=0.0,
            num_steps=1,
            metadata={"alpha": float(row)} if row else {},
        )
        for row in range(2)
    ]
    store.plan_clips(clips)
    for name in NAMES:
        output = OutputSpec(name=name, shape=(1,), dtype="float32", axes=("feature",))
        store.declare(ProducerSpec(kind="input", name=name, outputs=(output,), fingerprint={}))
    return store


def test_shards_come_in_order_while_nobody_else_is_there() -> None:
    assert [task.shard for task in Turns(make_tasks(5))] == list(range(5))


def test_after_a_lost_race_shards_come_from_the_other_end() -> None:
    turns = Turns(make_tasks(5))
    shards = iter(turns)
    assert [next(shards).shard, next(shards).shard] == [0, 1]
    turns.lose_race()
    assert [task.shard for task in shards] == [4, 3, 2]


def test_after_more_lost_races_every_shard_still_comes_once() -> None:
    turns = Turns(make_tasks(20))
    for _ in range(3):
        turns.lose_race()
    assert sorted(task.shard for task in turns) == list(range(20))


def test_what_another_run_has_committed_meanwhile_is_left_out_and_counted(tmp_path: Path) -> None:
    store = fill_store(tmp_path)
    task = ShardTask(store=store.url, shard=0, vectors=NAMES)
    assert leave_out_committed(task, store) is task
    extract_shard(ShardTask(store=store.url, shard=0, vectors=("alpha",)))
    assert list_producers(leave_out_committed(task, store)) == ("beta",)
    receipt = extract_shard(task)
    assert not receipt.was_there
    heard: list[bool] = []
    again = extract_shard(task, heard.append)
    assert again.was_there
    # One point has no alpha, and both lack beta.
    assert (again.num_clips, again.num_failed, heard) == (2, 2, [True, True])
    assert store.content_digest() == Store.open(store.url).content_digest()


def test_a_shard_that_another_run_commits_meanwhile_is_told_as_a_race(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = ShardTask(store=fill_store(tmp_path).url, shard=0, vectors=NAMES)

    def be_overtaken(task: ShardTask, store: Store) -> ShardTask:
        monkeypatch.undo()
        assert not extract_shard(task).was_raced
        return task

    monkeypatch.setattr(shards, "leave_out_committed", be_overtaken)
    assert extract_shard(task).was_raced
