"""Which recordings of a corpus a store knows, and whether from another place."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from avkd.pipeline.extraction.known import find_known
from avkd.storage.clips import clip_id
from avkd.storage.schema import ClipRow, Recording
from avkd.storage.store import Store

STORED: Mapping[str, Mapping[str, str]] = {
    "a": {"rgb": "/here/a.mp4", "audio": "/here/a.mp4"},
    "b": {"rgb": "/here/b.mp4"},
    "c": {"rgb": "s3://bucket/c.mp4"},
    "d": {},
}


def corpus(**streams: Mapping[str, str]) -> list[Recording]:
    return [Recording(recording_id=name, streams=each) for name, each in streams.items()]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two clips of each recording, over three shards."""
    made = Store.create(str(tmp_path / "store"), clip_policy={}, rows_per_shard=3)
    rows = [(name, start) for name in STORED for start in (0.0, 2.0)]
    made.plan_clips(
        [
            ClipRow(
                row=row,
                clip_id=clip_id(name, start, 2.0),
                recording_id=name,
                streams=STORED[name],
                start_seconds=start,
                duration_seconds=2.0,
                num_steps=1,
            )
            for row, (name, start) in enumerate(rows)
        ]
    )
    return made


def test_ids_are_those_of_the_store(store: Store) -> None:
    assert find_known(store, ()).ids == store.recording_ids() == set(STORED)


def test_equal_places_are_silent(store: Store) -> None:
    assert not find_known(store, corpus(**STORED)).note
    assert not find_known(store, corpus(e={"rgb": "/elsewhere/e.mp4"})).note


def test_one_place_said_in_two_ways_is_silent(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    for place in ("/there/../here/a.mp4", "/here//./a.mp4", "file:///here/a.mp4", "here/a.mp4"):
        assert not find_known(store, corpus(a={"rgb": place, "audio": "/here/a.mp4"})).note


def test_a_stream_that_one_of_them_lacks_is_no_other_place(store: Store) -> None:
    assert not find_known(store, corpus(a={"rgb": "/here/a.mp4"})).note
    assert not find_known(store, corpus(b={"rgb": "/here/b.mp4", "depth": "/far/b.mkv"})).note
    assert not find_known(store, corpus(d={"rgb": "/here/d.mp4"})).note


def test_recordings_are_counted_once_and_the_first_is_told_with_both_places(store: Store) -> None:
    other = corpus(
        c={"rgb": "s3://bucket/old/c.mp4"},
        b={"rgb": "/there/b.mp4"},
        a={"rgb": "/here/a.mp4", "audio": "/here/a.wav"},
    )
    note = find_known(store, other).note
    assert note.startswith("3 recordings of the corpus are ")
    for words in ("'a'", "'/here/a.mp4'", "'/here/a.wav'", "corpus table", "another store"):
        assert words in note
    assert find_known(store, other[:1]).note.startswith("1 recording of the corpus is ")
