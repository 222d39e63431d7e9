from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.pipeline.extraction import choices
from avkd.pipeline.extraction.choices import (
    DEFAULT_ROWS_PER_SHARD,
    choose_frames,
    choose_policy,
    choose_rows_per_shard,
    choose_vectors,
    choose_waveform,
)
from avkd.pipeline.extraction.producers import describe_frames, describe_waveform, frames_of_size
from avkd.pipeline.extraction.request import ExtractRequest
from avkd.pipeline.extraction.vectors import describe_vector
from avkd.stages.teachers.request import TeacherRequest
from avkd.stages.types import ClipPolicy, WaveformFormat
from avkd.storage.schema import Recording
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
        ("decoder", "decord", "pyav"),
    ],
)
def test_another_policy_is_refused_with_both_values(
    store: Store, option: str, asked: object, stored: str
) -> None:
    with pytest.raises(InvalidValueError, match=f"{option} {asked} differs from {stored}"):
        choose_policy(request(**{option: asked}), store)


def test_a_decoder_nobody_knows_is_refused_with_those_there_are() -> None:
    with pytest.raises(UnknownNameError, match="unknown decoder 'torchcodec'; known: decord, pyav"):
        choose_policy(request(decoder="torchcodec"), None)


def test_decord_is_refused_where_it_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choices, "find_spec", lambda name: None)
    assert choose_policy(request(), None) == ClipPolicy()
    with pytest.raises(InvalidValueError, match="decoder decord is not installed here"):
        choose_policy(request(decoder="decord"), None)


def test_other_shards_are_refused_with_both_values(store: Store) -> None:
    with pytest.raises(InvalidValueError, match="rows_per_shard 9 differs from 8 of the store"):
        choose_rows_per_shard(request(rows_per_shard=9), store)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("none", "none"),
        (WaveformFormat(sample_rate=8_000), "at 8000 Hz with channels first"),
        (
            WaveformFormat(sample_rate=16_000, num_channels=2, channels="all"),
            "at 16000 Hz with num_channels 2",
        ),
    ],
)
def test_another_input_is_refused_with_both_values(store: Store, asked: Any, said: str) -> None:
    words = f"inputs {said} differs from at 16000 Hz with channels first of the store"
    with pytest.raises(InvalidValueError, match=words):
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


POINTS = (Recording(recording_id="p", streams={}),)
FILES = (Recording(recording_id="f", streams={"rgb": "f.mp4"}),)


def store_without_policy(tmp_path: Path) -> Store:
    return Store.create(str(tmp_path / "points"), clip_policy={}, rows_per_shard=8)


def test_recordings_without_files_have_no_policy(tmp_path: Path) -> None:
    asked = request(vectors=("alpha",))
    assert choose_policy(asked, None, POINTS) is None
    assert choose_policy(asked, store_without_policy(tmp_path), POINTS) is None


def test_files_do_not_go_into_a_store_without_a_policy_nor_points_into_one_with(
    tmp_path: Path, store: Store
) -> None:
    with pytest.raises(InvalidValueError, match="c names files, but the recordings of"):
        choose_policy(request(), store_without_policy(tmp_path), FILES)
    with pytest.raises(InvalidValueError, match="c names no files, but"):
        choose_policy(request(vectors=("alpha",)), store, POINTS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clip_seconds": 10.0}, "clip_seconds 10.0 needs recordings with files, but c names none"),
        ({"tail": "drop"}, "tail drop needs"),
        ({"frames_size": (64, 48)}, "frames_size"),
        ({"inputs": WaveformFormat()}, "inputs WaveformFormat"),
    ],
)
def test_what_needs_files_is_refused_without_any(options: Any, message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        choose_policy(request(vectors=("alpha",), **options), None, POINTS)


def test_pictures_go_on_as_the_store_has_them(store: Store) -> None:
    asked = request(frames_size=(64, 48))
    assert choose_frames(asked, None, {}) == frames_of_size(64, 48)
    assert choose_frames(request(), None, {}) is None
    store.declare(describe_frames(frames_of_size(32, 24), POLICY))
    assert choose_frames(request(), store, store.producers()) == frames_of_size(32, 24)
    with pytest.raises(InvalidValueError, match="frames 64x48 differs from 32x24 of the store"):
        choose_frames(asked, store, store.producers())


def test_vectors_of_the_store_go_on_beside_those_asked_for(store: Store) -> None:
    store.declare(describe_vector("alpha", 1))
    asked = request(vectors=("beta", "alpha"))
    assert choose_vectors(asked, store.producers()) == ("alpha", "beta")
    assert choose_vectors(request(), {}) == ()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frames_size": (0, 4)}, "frames 0x4 must be 1 pixel or more"),
        ({"vectors": ("a b",)}, "vector name 'a b' cannot be a folder"),
        ({"vectors": ("frames",)}, "'frames' names two things"),
        ({"vectors": ("a", "a")}, "'a' names two things"),
        ({"vectors": ("t",), "teachers": TEACHERS}, "'t' names two things"),
        ({"teachers": (TeacherRequest(name="waveform", family="x"),)}, "'waveform' names two"),
    ],
)
def test_inputs_that_cannot_be_are_refused(options: Any, message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        request(**options)


@pytest.mark.parametrize("options", [{"frames_size": (4, 4)}, {"vectors": ("alpha",)}])
def test_pictures_or_vectors_are_enough_to_ask_for(options: Any) -> None:
    assert request(inputs="none", **options).teachers == ()
