import itertools
from collections import Counter, defaultdict

import numpy as np
import pytest

from avkd.errors import InvalidValueError
from avkd.stages.simulation.worlds.people import (
    SIGNAL_TO_NOISE_DB,
    PeopleWorld,
    full_people_world,
    plan_people_world,
    tiny_people_world,
)

FULL = plan_people_world(full_people_world())
FIRST_TEST_SPEAKER = "id20001"


def test_the_same_world_is_planned_twice_the_same() -> None:
    assert plan_people_world(tiny_people_world(3)) == plan_people_world(tiny_people_world(3))
    assert plan_people_world(tiny_people_world(3)) != plan_people_world(tiny_people_world(4))


def test_the_full_world_is_the_one_that_results_are_reported_of() -> None:
    # A change of these numbers is another world: raise PEOPLE_WORLD_VERSION, measure all again.
    first, last = FULL[0], FULL[-1]
    assert first.path == "id10001/12e5dc676d0/00001.mp4"
    assert last.path == "id20030/fc46557f6f3/00001.mp4"
    found = (first.signal_to_noise_db, first.person.voice.pitch_hz, first.look.yaw)
    assert found == pytest.approx((15.9219, 185.0665, 0.1472), abs=1e-4)
    found = (last.signal_to_noise_db, last.person.voice.pitch_hz, last.person.face.half_width)
    assert found == pytest.approx((12.8035, 251.9932, 63.2461), abs=1e-4)


def test_every_speaker_has_the_asked_utterances_in_one_split() -> None:
    counts = Counter((spec.split, spec.speaker) for spec in FULL)
    assert len({speaker for _, speaker in counts}) == len(counts) == 90
    by_split = defaultdict(set)
    for (split, _), number in counts.items():
        by_split[split].add(number)
    assert by_split == {"train": {12}, "test": {8}}
    assert Counter(split for split, _ in counts) == {"train": 60, "test": 30}


def test_a_smaller_world_is_a_part_of_a_larger_one_of_its_seed() -> None:
    small = PeopleWorld(
        num_train_speakers=2, num_test_speakers=2, num_train_utterances=2, num_test_utterances=3
    )
    assert set(plan_people_world(small)) <= set(FULL)


def test_paths_are_in_the_layout_of_voxceleb() -> None:
    for spec in FULL:
        speaker, video, number = spec.path.split("/")
        assert speaker == spec.speaker
        assert len(video) == 11
        assert number == "00001.mp4"
    assert len({spec.path for spec in FULL}) == len({spec.seed for spec in FULL}) == len(FULL)


def test_a_speaker_is_one_person_who_looks_and_speaks_otherwise_each_time() -> None:
    one = [spec for spec in FULL if spec.speaker == FIRST_TEST_SPEAKER]
    assert len({spec.person for spec in one}) == 1
    for part in ("look", "delivery", "start", "signal_to_noise_db", "peak", "active_seconds"):
        assert len({getattr(spec, part) for spec in one}) == len(one)
    others = {spec.person for spec in FULL if spec.speaker != FIRST_TEST_SPEAKER}
    assert one[0].person not in others


def test_some_people_of_a_split_look_alike_and_some_sound_alike() -> None:
    people = {spec.speaker: spec.person for spec in FULL if spec.split == "test"}
    pairs = list(itertools.combinations(people.values(), 2))
    for family in ("face_family", "voice_family"):
        share = np.mean([getattr(a, family) == getattr(b, family) for a, b in pairs])
        assert 0.02 < share < 0.25


def test_conditions_reach_from_easy_to_hard() -> None:
    levels = [spec.signal_to_noise_db for spec in FULL]
    low, high = SIGNAL_TO_NOISE_DB
    assert low <= min(levels) < low + 1
    assert high - 1 < max(levels) <= high
    assert 0.1 < np.mean([bool(spec.obstacle) for spec in FULL]) < 0.3
    for spec in FULL:
        start, stop = spec.active_seconds
        assert 0 <= start < stop <= spec.clip_seconds + 1e-9
        assert stop - start > 0.59 * spec.clip_seconds


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        ({"num_test_speakers": 1}, "2 or more"),
        ({"num_train_speakers": 10_000}, "below 10000"),
        ({"num_test_utterances": 1}, "trials compare two"),
        ({"clip_seconds": 0.5}, "clip_seconds 0.5 must be 1 or more"),
        ({"frame_size": (111, 112)}, "must be even"),
        ({"sample_rate": 22_050}, "multiple of 100"),
    ],
)
def test_a_world_that_cannot_be_is_refused(wrong: dict[str, int], rule: str) -> None:
    with pytest.raises(InvalidValueError, match=rule):
        PeopleWorld(**wrong)  # type: ignore[arg-type]
