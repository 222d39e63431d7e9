"""The same store whoever computes it."""

import multiprocessing
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avkd.pipeline import cores
from avkd.pipeline.extract import extract_teacher
from avkd.pipeline.extraction.progress import ProgressEvent
from avkd.pipeline.extraction.request import ExtractReport, ExtractRequest
from avkd.stages.teachers.request import TeacherRequest
from avkd.stages.types import WaveformFormat
from avkd.storage.store import Store

TINY = TeacherRequest(
    name="tiny", family="timm/test_resnet", weights="random", runtime="torch", batch_size=4
)
EXPORTED = replace(TINY, name="exported", runtime="onnxruntime")
FLOAT16_STEP = 2.0**-10
Extract = Callable[..., ExtractReport]


@pytest.fixture
def extract(write_corpus: Callable[..., str], tmp_path: Path) -> Extract:
    """Extract four recordings into shards of 2 rows, each executor into a store of its own."""
    corpus = write_corpus(["a.mp4", "c_broken.mp4", "d.mp4", "b.mp4"])

    def run(
        executor: Any,
        on_progress: Callable[[ProgressEvent], None] = lambda event: None,
        teachers: tuple[TeacherRequest, ...] = (TINY,),
        num_workers: int = 2,
        store: str = "",
    ) -> ExtractReport:
        request = ExtractRequest(
            corpus=corpus,
            store=str(tmp_path / (store or executor)),
            teachers=teachers,
            clip_seconds=2,
            step_seconds=1,
            rows_per_shard=2,
            inputs=WaveformFormat(sample_rate=8_000),
            frames_size=(16, 12),
            executor=executor,
            num_workers=num_workers,
            num_decode_workers=1,
        )
        return extract_teacher(request, on_progress=on_progress)

    return run


def test_processes_and_dask_give_the_store_that_serial_gives(extract: Extract) -> None:
    serial, processes, dask = (extract(name) for name in ("serial", "processes", "dask"))
    assert serial.status["tiny"] == {"ok": 6, "decode_error": 1}
    assert serial.num_shards_done == processes.num_shards_done == dask.num_shards_done == 4
    assert serial.content_digest == processes.content_digest == dask.content_digest


@pytest.mark.slow
@pytest.mark.parametrize(("executor", "nums_workers"), [("processes", (1, 4)), ("dask", (4,))])
def test_one_worker_of_four_threads_or_four_of_one_give_the_store_that_serial_gives(
    extract: Extract,
    executor: str,
    nums_workers: tuple[int, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # So that one worker's teachers have four threads, and each of four has one.
    monkeypatch.setattr(cores, "count_cores", lambda: 4)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    teachers = (TINY, EXPORTED)
    digests = {extract("serial", teachers=teachers).content_digest} | {
        extract(
            executor, teachers=teachers, num_workers=num_workers, store=f"store{num_workers}"
        ).content_digest
        for num_workers in nums_workers
    }
    assert len(digests) == 1


@pytest.mark.parametrize("teacher", [TINY, EXPORTED], ids=["torch", "onnxruntime"])
def test_another_batch_size_changes_what_a_teacher_says_by_a_step_of_float16_at_most(
    extract: Extract, tmp_path: Path, teacher: TeacherRequest
) -> None:
    """Its kernels may add in another order; so the batch size is part of the fingerprint."""
    said = []
    for size in (1, 4, 7):
        name = f"batches{size}"
        extract("serial", teachers=(replace(teacher, batch_size=size),), store=name)
        store = Store.open(str(tmp_path / name))
        said.append(store.read_rows(teacher.name, "embedding", 0, 7).astype(np.float64))
    assert np.ptp(said[0]) > 0
    for other in said[1:]:
        largest = np.abs(said[0]).max()
        np.testing.assert_allclose(
            other, said[0], rtol=FLOAT16_STEP, atol=FLOAT16_STEP * largest / 16
        )


@pytest.mark.parametrize("executor", ["processes", "dask"])
def test_a_worker_that_is_killed_changes_nothing(extract: Extract, executor: str) -> None:
    def kill_one(event: ProgressEvent) -> None:
        workers = multiprocessing.active_children()
        if event.phase == "extract" and len(killed) == 0:
            workers[0].kill()
            killed.append(workers[0])

    killed: list[Any] = []
    disturbed = extract(executor, kill_one, teachers=())
    assert killed
    # A shard whose worker died between the commit and the receipt was there the second time.
    assert disturbed.num_shards_done + disturbed.num_shards_skipped == 4
    assert disturbed.content_digest == extract("serial", teachers=()).content_digest
