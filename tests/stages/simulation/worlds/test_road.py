from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.stages.simulation.road.settings import VIEWS
from avkd.stages.simulation.worlds.road import (
    NumDrives,
    RoadWorld,
    fast_road_world,
    full_road_world,
    plan_road,
    tiny_road_world,
)

PLAN = plan_road(fast_road_world())
PLACES = {camera.view: camera for camera in VIEWS}


def test_every_split_has_the_drives_that_were_asked_for() -> None:
    counts = Counter((one.split, one.view_split, one.drive.light) for one in PLAN)
    assert counts["teacher", "seen", "day"] == 14
    assert counts["train", "seen", "night"] == 24
    assert counts["test", "seen", "rain"] == 4
    assert counts["test", "unseen", "night"] == 8
    assert sum(counts.values()) == len(PLAN) == 27 + 120 + 32 + 16
    assert len(plan_road(full_road_world())) == 524


def test_ids_and_seeds_are_all_distinct() -> None:
    assert len({one.drive.recording_id for one in PLAN}) == len(PLAN)
    assert len({one.drive.seed for one in PLAN}) == len(PLAN)


def test_unseen_places_are_those_of_tests_alone() -> None:
    world = fast_road_world()
    for one in PLAN:
        unseen = one.drive.camera.view in world.unseen_views
        assert unseen == (one.view_split == "unseen")
        assert one.split == "test" or not unseen
    for split in ("teacher", "train", "test"):
        views = {one.drive.camera.view for one in PLAN if one.split == split}
        assert views >= {*world.seen_views}


def test_cameras_stand_near_their_places_and_never_twice_alike() -> None:
    cameras = [one.drive.camera for one in PLAN]
    for camera in cameras:
        place = PLACES[camera.view]
        assert camera.height_m == pytest.approx(place.height_m, rel=0.081)
        assert camera.distance_m == pytest.approx(place.distance_m, rel=0.081)
        assert camera.pitch_degrees == pytest.approx(place.pitch_degrees, abs=1.01)
    assert len({camera.height_m for camera in cameras}) > 0.9 * len(PLAN)
    still = replace(fast_road_world(), mount_spread=0.0, pitch_spread_degrees=0.0)
    for one in plan_road(still):
        size = still.picture_size
        assert one.drive.camera == replace(PLACES[one.drive.camera.view], picture_size=size)


def test_a_larger_world_begins_with_the_same_drives() -> None:
    small = {one.drive.recording_id: one for one in plan_road(tiny_road_world(4))}
    more = replace(tiny_road_world(4), train=NumDrives(day=3, night=2))
    large = {one.drive.recording_id: one for one in plan_road(more)}
    assert len(large) == len(small) + 3
    assert all(large[name] == one for name, one in small.items())


def test_another_seed_is_another_world() -> None:
    first, second = (
        {one.drive.recording_id for one in plan_road(tiny_road_world(seed))} for seed in (1, 2)
    )
    assert not first & second


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seen_views": ("kerb", "porch")}, "view 'porch' is both seen and unseen"),
        ({"seen_views": ()}, "name at least one"),
        ({"picture_size": (321, 192)}, r"picture_size \(321, 192\) must be even"),
        ({"mount_spread": 0.5}, "mount_spread 0.5"),
    ],
)
def test_a_world_that_cannot_be_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        RoadWorld(**changes)


def test_an_unknown_place_is_named() -> None:
    with pytest.raises(UnknownNameError, match="kerbb"):
        RoadWorld(seen_views=("kerbb",))
    with pytest.raises(InvalidValueError, match="must be 0 or more"):
        NumDrives(day=-1)
