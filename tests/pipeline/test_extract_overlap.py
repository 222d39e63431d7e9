"""A shard is finished while the next one is decoded and computed, and all ends as it should."""

import gc
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from avkd.errors import StoreUnwritableError
from avkd.pipeline.decoding import pool
from avkd.pipeline.extract import extract_teacher
from avkd.pipeline.extraction import worker
from avkd.pipeline.extraction.progress import ProgressEvent
from avkd.pipeline.extraction.request import ExtractReport, ExtractRequest
from avkd.stages.teachers.request import TeacherRequest
from avkd.stages.types import WaveformFormat
from avkd.storage.store import Store

WAIT_SECONDS = 60.0
Extract = Callable[..., ExtractReport]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert not [each.name for each in threading.enumerate() if each.name.startswith("avkd")]


@pytest.fixture
def extract(
    write_corpus: Callable[..., str], tmp_path: Path, bright_request: TeacherRequest
) -> Extract:
    """Extract six clips in three shards of two."""
    corpus = write_corpus(["a.mp4", "b.mp4", "d.mp4"])

    def run(
        on_progress: Callable[[ProgressEvent], None] = lambda event: None,
    ) -> ExtractReport:
        request = ExtractRequest(
            corpus=corpus,
            store=str(tmp_path / "store"),
            teachers=(bright_request,),
            clip_seconds=2,
            step_seconds=1,
            rows_per_shard=2,
            inputs=WaveformFormat(sample_rate=8_000),
            num_decode_workers=1,
            stop_seconds=0.1,
        )
        return extract_teacher(request, on_progress=on_progress)

    return run


def test_a_shard_is_written_while_the_next_one_is_decoded(
    extract: Extract, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on = threading.Event()
    write_shard = Store.write_shard
    waited: list[bool] = []

    def write(self: Store, name: str, shard: int, *arguments: Any, **options: Any) -> Any:
        if shard == 0:
            waited.append(goes_on.wait(WAIT_SECONDS))
        return write_shard(self, name, shard, *arguments, **options)

    def tell(event: ProgressEvent) -> None:
        if event.phase == "extract" and event.num_done == 4:
            goes_on.set()

    monkeypatch.setattr(Store, "write_shard", write)
    report = extract(tell)
    assert waited == [True, True]
    assert (report.num_shards_done, report.status["bright"]) == (3, {"ok": 6})


def test_clips_are_decoded_while_a_teacher_is_loaded(
    extract: Extract, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_decoded = threading.Event()
    understand, load = pool.decode_clip, worker.load_teacher
    waited: list[bool] = []

    def understand_clip(*arguments: Any) -> Any:
        is_decoded.set()
        return understand(*arguments)

    def load_slowly(request: TeacherRequest) -> Any:
        waited.append(is_decoded.wait(WAIT_SECONDS))
        return load(request)

    monkeypatch.setattr(pool, "decode_clip", understand_clip)
    monkeypatch.setattr(worker, "load_teacher", load_slowly)
    report = extract()
    assert waited == [True]
    assert report.status["bright"] == {"ok": 6}


def test_a_disk_that_fills_is_told_and_leaves_whole_commits_alone(
    extract: Extract, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_shard = Store.write_shard

    def write(self: Store, name: str, shard: int, *arguments: Any, **options: Any) -> Any:
        if shard == 1:
            raise StoreUnwritableError("no space left on device")
        return write_shard(self, name, shard, *arguments, **options)

    with monkeypatch.context() as full:
        full.setattr(Store, "write_shard", write)
        with pytest.raises(StoreUnwritableError, match="no space left"):
            extract()
    store = Store.open(str(tmp_path / "store"))
    for name in ("bright", "waveform"):
        assert 1 not in store.committed_shards(name)
    assert extract().status == {"bright": {"ok": 6}, "waveform": {"ok": 6}}


def test_an_error_of_a_teacher_is_told_as_it_is(extract: Extract, brightness: Any) -> None:
    def fail(self: Any, frames: Any) -> Any:
        raise ZeroDivisionError("the teacher is broken")

    with pytest.MonkeyPatch.context() as broken:
        broken.setattr(brightness, "predict", fail)
        with pytest.raises(ZeroDivisionError, match="the teacher is broken"):
            extract()
    assert extract().num_shards_done == 3


@pytest.mark.skipif(sys.platform != "linux", reason="descriptors are found in /proc")
def test_no_descriptor_is_left_whether_a_run_ends_well_or_not(
    extract: Extract, tmp_path: Path, brightness: Any
) -> None:
    def fail(self: Any, frames: Any) -> Any:
        raise ZeroDivisionError

    def list_open() -> list[str]:
        gc.collect()
        found = []
        for each in Path("/proc/self/fd").iterdir():
            with suppress(FileNotFoundError):
                found.append(str(each.readlink()))
        return sorted(found)

    extract()  # what is imported late may stay open
    before = list_open()
    for number in range(3):
        (tmp_path / "store").rename(tmp_path / f"store{number}")
        with pytest.MonkeyPatch.context() as broken:
            broken.setattr(brightness, "predict", fail)
            with pytest.raises(ZeroDivisionError):
                extract()
        extract()
    assert list_open() == before


def test_what_a_worker_waited_for_adds_up_to_its_time(
    extract: Extract, brightness: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = brightness.predict

    def predict(self: Any, frames: Any) -> Any:
        time.sleep(0.3)
        return whole(self, frames)

    monkeypatch.setattr(brightness, "predict", predict)
    report = extract()
    spent = sum(report.stalls.values())
    # Planning and the report are not of a worker with a shard in hand.
    assert 0 < spent <= report.wall_seconds
    assert report.stalls["model"] >= 0.3 * brightness.num_batches
    assert list(report.stalls) == [
        *("model", "transfer", "decode", "disk", "encode", "load", "other")
    ]
