"""Student inputs beside the waveform: columns of the corpus, and pictures."""

import csv
import json
import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avkd.errors import CorpusError, FingerprintMismatchError, InvalidValueError
from avkd.pipeline.extract import extract_teacher
from avkd.pipeline.extraction import probing, shard
from avkd.pipeline.extraction.progress import ProgressEvent
from avkd.pipeline.extraction.request import ExtractReport, ExtractRequest
from avkd.pipeline.extraction.task import ShardReceipt, ShardTask
from avkd.stages.teachers.request import TeacherRequest
from avkd.stages.types import WaveformFormat
from avkd.storage.store import Store
from avkd.storage.verify import verify_store

ALPHA = [0.1, -2.5, None, 3.25, 1e-7]
BETA = [[1.0, 2.0], [0.5, float("nan")], [3, 4], [5, 6], [7, 8]]


@pytest.fixture
def points(tmp_path: Path) -> str:
    """Five points: one lacks its alpha, one has a beta that is not finite."""
    rows = [
        {"recording_id": f"p{n}", "alpha": alpha, "beta": beta, "split": "test"}
        for n, (alpha, beta) in enumerate(zip(ALPHA, BETA, strict=True))
    ]
    path = tmp_path / "points.jsonl"
    path.write_text("".join(json.dumps(row).replace("NaN", "null") + "\n" for row in rows))
    return str(path)


def extract(corpus: str, store: Path, **options: Any) -> ExtractReport:
    on_progress = options.pop("on_progress", lambda event: None)
    request = ExtractRequest(corpus=corpus, store=str(store), **{"rows_per_shard": 2, **options})
    return extract_teacher(request, on_progress=on_progress)


BOTH = ("alpha", "beta")


def test_points_become_rows_without_anything_to_decode(
    points: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probing, "lend_decode_pool", None)
    monkeypatch.setattr(shard, "gather_decoded", None)
    report = extract(points, tmp_path / "store", vectors=BOTH)
    assert (report.num_recordings, report.num_clips, report.num_shards_done) == (5, 5, 3)
    assert report.status == {
        "alpha": {"ok": 4, "skipped": 1},
        "beta": {"ok": 4, "not_finite": 1},
    }
    store = Store.open(str(tmp_path / "store"))
    assert store.clip_policy == {}
    assert [c.num_steps for s in store.shards() for c in store.read_clips(s)] == [1] * 5
    alpha, beta = (store.read_rows(name, name, 0, 5) for name in BOTH)
    expected = np.array([[0.1], [-2.5], [0], [3.25], [1e-7]], np.float32)
    np.testing.assert_array_equal(alpha, expected)
    np.testing.assert_array_equal(beta, [[1, 2], [0, 0], [3, 4], [5, 6], [7, 8]])
    assert alpha.dtype == np.float32
    assert {spec.kind for spec in store.producers().values()} == {"input"}
    assert verify_store(store.url) == ()


def test_points_are_extracted_once_and_appended_to(points: str, tmp_path: Path) -> None:
    first = extract(points, tmp_path / "store", vectors=BOTH)
    again = extract(points, tmp_path / "store", vectors=BOTH)
    assert (again.num_shards_done, again.num_shards_skipped) == (0, 3)
    assert again.content_digest == first.content_digest
    more = tmp_path / "more.jsonl"
    more.write_text('{"recording_id": "q", "alpha": 9.0, "beta": [9, 9]}\n')
    # What the store has of every row, new rows get as well.
    report = extract(str(more), tmp_path / "store")
    assert report.num_shards_done == 1
    assert report.status["beta"]["ok"] == 5


def test_progress_counts_points_and_those_that_failed(points: str, tmp_path: Path) -> None:
    events: list[ProgressEvent] = []
    extract(points, tmp_path / "store", vectors=BOTH, on_progress=events.append)
    assert [event.num_done for event in events] == [1, 2, 3, 4, 5]
    assert events[-1].num_failed == 2


def test_a_dry_run_counts_the_bytes_of_vectors(points: str, tmp_path: Path) -> None:
    report = extract(points, tmp_path / "store", vectors=BOTH, dry_run=True)
    assert report.forecast.bytes_to_come == {"alpha": 5 * 4, "beta": 5 * 8}
    assert not (tmp_path / "store").exists()


def test_whoever_gathers_points_the_store_is_the_same(points: str, tmp_path: Path) -> None:
    digests = {
        extract(points, tmp_path / name, vectors=BOTH, executor=name, num_workers=2).content_digest
        for name in ("serial", "processes", "dask")
    }
    assert len(digests) == 1
    assert not multiprocessing.active_children()


def test_a_receipt_that_is_lost_after_the_last_commit_is_no_interruption(
    points: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = extract(points, tmp_path / "whole", vectors=BOTH)

    def extract_shard(task: ShardTask, **options: Any) -> ShardReceipt:
        receipt = shard.extract_shard(task, **options)
        if task.shard == 2:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
        return receipt

    monkeypatch.setattr("avkd.pipeline.extract.extract_shard", extract_shard)
    report = extract(points, tmp_path / "store", vectors=BOTH)
    assert (report.num_shards_done, report.num_shards_skipped) == (3, 0)
    assert report.content_digest == whole.content_digest


def test_other_numbers_under_a_vectors_name_are_refused(points: str, tmp_path: Path) -> None:
    extract(points, tmp_path / "store", vectors=BOTH)
    longer = tmp_path / "longer.jsonl"
    longer.write_text('{"recording_id": "q", "alpha": [9.0, 1.0], "beta": [9, 9]}\n')
    with pytest.raises(FingerprintMismatchError, match="size: stored 1, given 2"):
        extract(str(longer), tmp_path / "store")


def test_a_teacher_of_pictures_is_refused_where_there_are_none(
    points: str, tmp_path: Path, bright_request: TeacherRequest
) -> None:
    with pytest.raises(InvalidValueError, match="'bright' looks at pictures, but the recordings"):
        extract(points, tmp_path / "store", vectors=BOTH, teachers=(bright_request,))
    with pytest.raises(CorpusError, match="did you mean 'alpha'"):
        extract(points, tmp_path / "store", vectors=("alhpa",))
    assert not (tmp_path / "store").exists()


@pytest.fixture
def movies(recordings: Path, tmp_path: Path) -> str:
    """Recordings with a column of numbers; one cannot be decoded, one has no pictures."""
    path = tmp_path / "movies.csv"
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "recording_id", "pose"])
        names = ("a.mp4", "c_broken.mp4", "f_sound.wav")
        table.writerows([recordings / name, name, n / 8] for n, name in enumerate(names))
    return str(path)


def extract_movies(corpus: str, store: Path, **options: Any) -> ExtractReport:
    clips = {"clip_seconds": 2.0, "step_seconds": 1.0, "num_decode_workers": 1}
    sound = {"inputs": WaveformFormat(sample_rate=8_000)}
    return extract(corpus, store, **{**clips, **sound, **options})


def test_the_clips_of_a_recording_share_its_vector_whatever_its_file(
    movies: str, tmp_path: Path
) -> None:
    report = extract_movies(movies, tmp_path / "store", vectors=("pose",))
    assert report.status["pose"] == {"ok": 5}
    pose = Store.open(str(tmp_path / "store")).read_rows("pose", "pose", 0, 5)
    np.testing.assert_array_equal(pose[:, 0], [0, 0, 0, 0.125, 0.25])


def test_pictures_are_those_that_a_teacher_sees(
    movies: str, tmp_path: Path, bright_request: TeacherRequest
) -> None:
    report = extract_movies(
        movies, tmp_path / "store", frames_size=(8, 4), teachers=(bright_request,)
    )
    assert report.status["frames"] == report.status["bright"]
    assert report.status["frames"] == {"ok": 3, "decode_error": 1, "no_video": 1}
    store = Store.open(str(tmp_path / "store"))
    frames = store.read_rows("frames", "frames", 0, 5)
    assert (frames.shape, frames.dtype) == ((5, 2, 4, 8, 3), np.uint8)
    # Grey pictures: their mean is what the teacher of brightness says, at its own size.
    seen = store.read_rows("bright", "embedding", 0, 5)[..., 0].astype(float) * 255
    np.testing.assert_allclose(frames.mean(axis=(2, 3, 4)), seen, atol=0.6)
    # Of the third clip one step is real; of the others nothing could be decoded.
    assert not frames[2, 1].any()
    assert not frames[3:].any()
    assert verify_store(store.url) == ()


def test_several_pictures_a_step_lie_one_after_the_other(
    write_corpus: Callable[[Sequence[str]], str], tmp_path: Path
) -> None:
    corpus = write_corpus(["d.mp4"])
    options = {"frames_size": (8, 6), "frames_per_step": 2, "inputs": "none"}
    extract_movies(corpus, tmp_path / "store", **options)
    frames = Store.open(str(tmp_path / "store")).read_rows("frames", "frames", 0, 2)
    assert frames.shape == (2, 4, 6, 8, 3)
    brightness = frames.mean(axis=(2, 3, 4))
    # A picture brightens by one a second from 140 on; the second clip has one step of two.
    np.testing.assert_allclose(brightness[0], [140, 140, 141, 141], atol=1.5)
    assert np.all(brightness[1, :2] > 141)
    assert not brightness[1, 2:].any()


def test_pictures_are_decoded_once_and_go_on_with_the_store(movies: str, tmp_path: Path) -> None:
    first = extract_movies(movies, tmp_path / "store", frames_size=(8, 4))
    again = extract_movies(movies, tmp_path / "store")
    assert again.num_shards_done == 0
    assert again.content_digest == first.content_digest
    with pytest.raises(InvalidValueError, match="frames 8x8 differs from 8x4"):
        extract_movies(movies, tmp_path / "store", frames_size=(8, 8))


def test_pictures_come_later_to_a_store_as_they_would_have_come_at_once(
    movies: str, tmp_path: Path, bright_request: TeacherRequest
) -> None:
    seer = replace(bright_request, name="seer")
    at_once = {"frames_size": (8, 4), "teachers": (seer,), "vectors": ("pose",)}
    together = extract_movies(movies, tmp_path / "together", **at_once)
    extract_movies(movies, tmp_path / "apart", teachers=(seer,))
    apart = extract_movies(movies, tmp_path / "apart", vectors=("pose",), frames_size=(8, 4))
    assert apart.num_shards_done == 3
    assert together.content_digest == apart.content_digest
