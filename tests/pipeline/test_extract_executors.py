"""The same store whoever computes it."""

import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from avkd.pipeline.extract import extract_teacher
from avkd.pipeline.extraction.progress import ProgressEvent
from avkd.pipeline.extraction.request import ExtractReport, ExtractRequest
from avkd.stages.teachers.request import TeacherRequest
from avkd.stages.types import WaveformFormat

TINY = TeacherRequest(
    name="tiny", family="timm/test_resnet", weights="random", runtime="torch", batch_size=4
)
Extract = Callable[..., ExtractReport]


@pytest.fixture
def extract(write_corpus: Callable[..., str], tmp_path: Path) -> Extract:
    """Extract four recordings into shards of 2 rows, each executor into a store of its own."""
    corpus = write_corpus(["a.mp4", "c_broken.mp4", "d.mp4", "b.mp4"])

    def run(
        executor: Any,
        on_progress: Callable[[ProgressEvent], None] = lambda event: None,
        teachers: tuple[TeacherRequest, ...] = (TINY,),
    ) -> ExtractReport:
        request = ExtractRequest(
            corpus=corpus,
            store=str(tmp_path / executor),
            teachers=teachers,
            clip_seconds=2,
            step_seconds=1,
            rows_per_shard=2,
            inputs=WaveformFormat(sample_rate=8_000),
            executor=executor,
            num_workers=2,
            num_decode_workers=1,
        )
        return extract_teacher(request, on_progress=on_progress)

    return run


def test_processes_and_dask_give_the_store_that_serial_gives(extract: Extract) -> None:
    serial, processes, dask = (extract(name) for name in ("serial", "processes", "dask"))
    assert serial.status["tiny"] == {"ok": 6, "decode_error": 1}
    assert serial.num_shards_done == processes.num_shards_done == dask.num_shards_done == 4
    assert serial.content_digest == processes.content_digest == dask.content_digest


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
    assert disturbed.num_shards_done == 4
    assert disturbed.content_digest == extract("serial", teachers=()).content_digest
