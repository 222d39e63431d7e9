import dataclasses
import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avkd.errors import InvalidValueError
from avkd.stages.simulation.rendering import Pose
from avkd.stages.simulation.things.catalog import KINDS
from avkd.stages.simulation.worlds.things import (
    SIGNAL_TO_NOISE_DB,
    ThingsWorld,
    fast_world,
    full_world,
    plan_world,
)

FULL = plan_world(full_world())


def test_the_same_world_is_planned_twice_the_same() -> None:
    assert plan_world(fast_world(3)) == plan_world(fast_world(3))
    assert plan_world(fast_world(3)) != plan_world(fast_world(4))


def test_kinds_are_balanced_in_every_split() -> None:
    counts = Counter((spec.split, spec.kind) for spec in FULL)
    expected = {"unlabelled": 48, "train": 12, "validation": 4, "test": 16}
    assert counts == {(split, kind): n for split, n in expected.items() for kind in KINDS}


@settings(max_examples=20, deadline=None)
@given(
    unlabelled=st.integers(0, 40),
    train=st.integers(0, 3),
    test=st.integers(0, 3),
    seed=st.integers(0, 99),
)
def test_any_world_has_the_asked_numbers_and_disjoint_splits(
    unlabelled: int, train: int, test: int, seed: int
) -> None:
    world = ThingsWorld(
        seed=seed,
        num_unlabelled=unlabelled,
        num_train_per_kind=train,
        num_validation_per_kind=1,
        num_test_per_kind=test,
    )
    specs = plan_world(world)
    splits = Counter(spec.split for spec in specs)
    assert splits["unlabelled"] == unlabelled
    assert splits["train"] == 12 * train
    assert splits["test"] == 12 * test
    assert len({spec.recording_id for spec in specs}) == len(specs)
    assert len({spec.seed for spec in specs}) == len(specs)


def test_a_smaller_world_is_a_part_of_a_larger_one_of_its_seed() -> None:
    smaller = dataclasses.replace(fast_world(), frame_rate=full_world().frame_rate)
    assert set(plan_world(smaller)) <= set(FULL)


def test_names_and_order_say_nothing_about_the_kind() -> None:
    for spec in FULL:
        assert not any(kind in spec.recording_id for kind in KINDS)
        assert len(spec.recording_id) == 12
    unlabelled = [spec.kind for spec in FULL if spec.split == "unlabelled"]
    neighbours = np.mean([a == b for a, b in itertools.pairwise(unlabelled)])
    assert neighbours < 0.2


def test_noise_reaches_from_easy_to_hard() -> None:
    levels = [spec.signal_to_noise_db for spec in FULL]
    low, high = SIGNAL_TO_NOISE_DB
    assert low <= min(levels) < low + 1
    assert high - 1 < max(levels) <= high
    assert np.mean(levels) == pytest.approx((low + high) / 2, abs=1)


def test_what_distracts_is_of_another_kind() -> None:
    for spec in FULL:
        assert spec.offscreen_kind != spec.kind
        assert spec.distractor is None or spec.distractor.kind != spec.kind
    assert 0.3 < np.mean([bool(spec.offscreen_kind) for spec in FULL]) < 0.5
    assert 0.2 < np.mean([spec.distractor is not None for spec in FULL]) < 0.4


def test_a_thing_is_heard_for_a_good_part_of_its_clip() -> None:
    for spec in FULL:
        start, stop = spec.active_seconds
        assert 0 <= start < stop <= spec.clip_seconds + 1e-9
        assert stop - start > 0.44 * spec.clip_seconds


def test_things_move_and_stay_around_the_middle() -> None:
    for spec in FULL:
        assert spec.thing.start != spec.thing.stop
        for pose in (spec.thing.start, spec.thing.stop):
            assert isinstance(pose, Pose)
            assert 0.15 < pose.x < 0.85
            assert 0.2 < pose.y < 0.8


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        ({"num_unlabelled": -1}, "0 or more"),
        ({"clip_seconds": 0.5}, "clip_seconds 0.5 must be 1 or more"),
        ({"frame_size": (225, 176)}, "must be even"),
    ],
)
def test_a_world_that_cannot_be_is_refused(wrong: dict[str, int], rule: str) -> None:
    with pytest.raises(InvalidValueError, match=rule):
        ThingsWorld(**wrong)  # type: ignore[arg-type]
