from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from avkd.errors import InvalidValueError
from avkd.pipeline.extraction.choices import (
    DEFAULT_ROWS_PER_SHARD,
    choose_policy,
    choose_rows_per_shard,
    choose_waveform,
)
from avkd.pipeline.extraction.producers import describe_waveform
from avkd.pipeline.extraction.request import ExtractRequest
from avkd.stages.teachers.request import TeacherRequest
from avkd.stages.types import ClipPolicy, WaveformFormat
from avkd.storage.store import Store

POLICY = ClipPolicy(clip_seconds=4, step_seconds=2, frames_per_step=3, tail="drop")
TEACHERS = (TeacherRequest(name="t", family="brightness"),)
STORED_SOUND = WaveformFormat(sample_rate=16_000)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store.create(str(tmp_path / "store"), clip_policy=asdict(POLICY), rows_per_shard=8)
    made.declare(describe_waveform(STORED_SOUND, POLICY))
    return made


def request(**options: Any) -> ExtractRequest:
    return ExtractRequest(corpus="c", store="s", **options)


def test_a_new_store_takes_what_is_asked_and_defaults_for_the_rest() -> None:
    asked = request(clip_seconds=10.0, step_seconds=2.5)
    assert choose_policy(asked, None) == ClipPolicy(clip_seconds=10, step_seconds=2.5)
    assert choose_rows_per_shard(asked, None) == DEFAULT_ROWS_PER_SHARD
    assert choose_waveform(asked, None, {}) == WaveformFormat()


def test_what_is_not_asked_comes_from_the_store(store: Store) -> None:
    asked = request()
    assert choose_policy(asked, store) == POLICY
    assert choose_rows_per_shard(asked, store) == 8
    assert choose_waveform(asked, store, store.producers()) == STORED_SOUND


def test_asking_for_what_the_store_has_is_fine(store: Store) -> None:
    asked = request(**asdict(POLICY), rows_per_shard=8, inputs=STORED_SOUND)
    assert choose_policy(asked, store) == POLICY
    assert choose_rows_per_shard(asked, store) == 8
    assert choose_waveform(asked, store, store.producers()) == STORED_SOUND


@pytest.mark.parametrize(
    ("option", "asked", "stored"),
    [
        ("clip_seconds", 6.0, "4"),
        ("step_seconds", 1.0, "2"),
        ("frames_per_step", 1, "3"),
        ("tail", "keep", "drop"),
    ],
)
def test_another_policy_is_refused_with_both_values(
    store: Store, option: str, asked: object, stored: str
) -> None:
    with pytest.raises(InvalidValueError, match=f"{option} {asked} differs from {stored}"):
        choose_policy(request(**{option: asked}), store)


def test_other_shards_are_refused_with_both_values(store: Store) -> None:
    with pytest.raises(InvalidValueError, match="rows_per_shard 9 differs from 8 of the store"):
        choose_rows_per_shard(request(rows_per_shard=9), store)


@pytest.mark.parametrize("asked", ["none", WaveformFormat(sample_rate=8_000)])
def test_another_input_is_refused_with_both_values(store: Store, asked: Any) -> None:
    with pytest.raises(InvalidValueError, match=r"inputs .* differs from .*sample_rate=16000"):
        choose_waveform(request(inputs=asked, teachers=TEACHERS), store, store.producers())


def test_a_store_without_an_input_gets_one_only_when_asked(store: Store) -> None:
    assert choose_waveform(request(), store, {}) is None
    assert choose_waveform(request(inputs=STORED_SOUND), store, {}) == STORED_SOUND
    assert choose_waveform(request(inputs="none", teachers=TEACHERS), None, {}) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"inputs": "none"}, "neither teachers nor inputs"),
        ({"rows_per_shard": 0}, "rows_per_shard 0 must be 1 or more"),
        ({"num_workers": 0}, "workers 0 must be 1 or more"),
        ({"sparse_top_k": -1}, "sparse_top_k -1 must be 0 or more"),
        ({"max_failure_rate": 1.5}, r"max_failure_rate 1.5 is not in \[0, 1\]"),
        ({"executor": "thread"}, "unknown executor 'thread'"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(options: Any, message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        request(**options)


def test_two_teachers_of_one_name_are_refused() -> None:
    twice = (TeacherRequest(name="t", family="x"), TeacherRequest(name="t", family="y"))
    with pytest.raises(InvalidValueError, match="two teachers of one name among t, t"):
        request(teachers=twice)
