from pathlib import Path

import pytest

from avkd.errors import CorpusError
from avkd.pipeline.training.overlap import refuse_overlap
from avkd.storage.clips import clip_id
from avkd.storage.schema import ClipRow
from avkd.storage.store import Store


def build(folder: Path, *recordings: tuple[str, str, str]) -> Store:
    """A store of recordings, each with file, split and speaker."""
    store = Store.create(str(folder / "store"), clip_policy={}, rows_per_shard=4)
    clips = [
        ClipRow(
            row=row,
            clip_id=clip_id(f"r{row}", 0.0, 1.0),
            recording_id=f"r{row}",
            streams={"audio": file},
            start_seconds=0.0,
            duration_seconds=1.0,
            num_steps=1,
            metadata={"split": split, "speaker": speaker},
        )
        for row, (file, split, speaker) in enumerate(recordings)
    ]
    store.plan_clips(clips)
    return store


def test_splits_of_their_own_are_accepted(tmp_path: Path) -> None:
    store = build(tmp_path, ("a.wav", "train", "ann"), ("b.wav", "test", "bob"))
    refuse_overlap(store, "train", "speaker")
    shared = build(tmp_path / "shared", ("a.wav", "train", "ann"), ("b.wav", "test", "ann"))
    with pytest.raises(CorpusError):
        refuse_overlap(shared, "train", "speaker")


def test_a_speaker_on_both_sides_is_refused(tmp_path: Path) -> None:
    store = build(tmp_path, ("a.wav", "train", "ann"), ("b.wav", "test", "ann"))
    with pytest.raises(CorpusError, match="speaker 'ann' is in split 'train' and in 'test'"):
        refuse_overlap(store, "train", "speaker")
    refuse_overlap(store, "train", None)


def test_a_file_on_both_sides_is_refused_under_two_ids(tmp_path: Path) -> None:
    store = build(tmp_path, ("a.wav", "train", "ann"), ("a.wav", "test", "bob"))
    with pytest.raises(CorpusError, match=r"file a\.wav"):
        refuse_overlap(store, "train", None)


def test_an_overlap_that_does_not_touch_the_split_is_none_of_its_business(tmp_path: Path) -> None:
    store = build(
        tmp_path, ("a.wav", "train", "ann"), ("b.wav", "test", "bob"), ("c.wav", "dev", "bob")
    )
    refuse_overlap(store, "train", "speaker")
    refuse_overlap(store, None, "speaker")
    with pytest.raises(CorpusError, match="speaker 'bob' is in split 'test' and in 'dev'"):
        refuse_overlap(store, "test", "speaker")


def test_recordings_of_nobody_share_no_speaker(tmp_path: Path) -> None:
    store = build(tmp_path, ("a.wav", "train", ""), ("b.wav", "test", ""), ("b.wav", "dev", ""))
    refuse_overlap(store, "train", "speaker")
    with pytest.raises(CorpusError, match=r"file b\.wav is in split 'test' and in 'dev'"):
        refuse_overlap(store, "test", "speaker")
