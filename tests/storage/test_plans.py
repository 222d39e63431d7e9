import dataclasses

import pytest

from avkd.errors import CorruptStoreError, InvalidValueError, StoreUnwritableError
from avkd.storage import objects, plans
from avkd.storage.store import Store
from avkd.storage.verify import verify_store


@pytest.fixture
def url(tmp_path):
    return str(tmp_path / "plans")


def test_parts_are_cut_at_shard_borders_and_listed_with_their_hashes(url, make_clips):
    plans.append_clips(url, 0, make_clips(0, 19), 0, 8)
    parts = plans.read_plan(url, 0)
    assert [(part.shard, part.num_clips) for part in parts] == [(0, 8), (1, 8), (2, 3)]
    for part in parts:
        assert len(plans.read_part_bytes(url, part)) == part.size
    assert plans.list_generations(url) == {0: 0}


def test_a_planner_that_died_before_its_list_leaves_nothing_that_counts(url, make_clips):
    plans.claim_part(url, 0, make_clips(0, 8))
    assert plans.list_generations(url) == {}


def test_the_same_plan_takes_over_what_a_dead_planner_left(url, make_clips):
    left = plans.claim_part(url, 0, make_clips(0, 8))
    plans.append_clips(url, 0, make_clips(0, 12), 0, 8)
    assert plans.read_plan(url, 0)[0] == left
    assert objects.list_names(f"{url}/clips") == ["00000.parquet", "00001.parquet"]


def test_another_plan_goes_round_what_a_dead_planner_left_and_removes_it(url, make_clips):
    plans.claim_part(url, 0, make_clips(0, 8))
    plans.claim_part(url, 1, make_clips(8, 8))
    plans.append_clips(url, 0, make_clips(0, 5, first_clip=100), 0, 8)
    (part,) = plans.read_plan(url, 0)
    assert part.path == "clips/00000.1.parquet"
    assert plans.read_part_bytes(url, part)
    # Shard 1 is not planned yet, so another planner may still be about to list its part.
    assert objects.list_names(f"{url}/clips") == ["00000.1.parquet", "00001.parquet"]


def test_of_two_planners_with_other_clips_one_loses_and_harms_nothing(url, make_clips):
    winner, loser = make_clips(0, 8), make_clips(0, 8, first_clip=50)
    claimed = plans.claim_part(url, 0, loser)
    plans.append_clips(url, 0, winner, 0, 8)
    with pytest.raises(StoreUnwritableError, match="run the same command again"):
        plans.write_plan(url, 0, [claimed])
    (part,) = plans.read_plan(url, 0)
    assert plans.read_part_bytes(url, part)


def test_clips_that_were_laid_out_before_another_plan_lose_to_it(url, make_clips):
    plans.append_clips(url, 0, make_clips(0, 8), 0, 8)
    with pytest.raises(plans.RaceLostError, match="planned clips meanwhile"):
        plans.append_clips(url, 1, make_clips(0, 8, first_clip=50), 8, 8)
    assert objects.list_names(f"{url}/clips") == ["00000.parquet"]


def test_two_planners_with_the_same_clips_both_succeed(url, make_clips):
    for _ in range(2):
        plans.append_clips(url, 0, make_clips(0, 8), 0, 8)
    assert plans.list_generations(url) == {0: 0}


def test_rows_must_follow_and_clips_must_differ(url, make_clips):
    with pytest.raises(InvalidValueError, match="row 9 where 8 is next"):
        plans.append_clips(url, 0, make_clips(9, 2), 8, 8)
    clip = make_clips(0, 1)[0]
    with pytest.raises(InvalidValueError, match="comes twice"):
        plans.append_clips(url, 0, [clip, dataclasses.replace(clip, row=1)], 0, 8)
    assert objects.list_names(f"{url}/clips") == []


def test_a_missing_or_misplaced_plan_is_corrupt(url, make_clips):
    for number in range(3):
        first = number * 8
        plans.append_clips(url, number, make_clips(first, 8), first, 8)
    data = objects.read_bytes(f"{url}/plans/00002.json")
    objects.put_durable(f"{url}/plans/00001.json", data)
    with pytest.raises(CorruptStoreError, match="this is plan 2"):
        plans.read_plan(url, 1)
    objects.remove(f"{url}/plans/00001.json")
    with pytest.raises(CorruptStoreError, match=r"00001\.json is missing"):
        plans.list_generations(url)


def test_a_store_planned_over_leftovers_verifies(tmp_path, make_clips, teacher, fill):
    store = Store.create(str(tmp_path / "s"), clip_policy={}, rows_per_shard=8)
    for shard in range(3):
        plans.claim_part(store.url, shard, make_clips(shard * 8, 8, first_clip=77))
    store.plan_clips(make_clips(0, 12))
    fill(store, teacher)
    store.plan_clips(make_clips(16, 3))
    assert [clip.row for clip in store.read_clips(2)] == [16, 17, 18]
    assert verify_store(store.url) == ()
