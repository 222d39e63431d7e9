import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from avkd.errors import InterruptedRunError, StoreUnwritableError, UnknownNameError
from avkd.pipeline.extract import extract_teacher
from avkd.pipeline.extraction.request import ExtractRequest
from avkd.pipeline.removal import readmit_recordings, remove_recordings
from avkd.pipeline.retry import FAILED_STATUSES, ask_again
from avkd.pipeline.sweeping import sweep_store
from avkd.pipeline.training.examples import find_examples
from avkd.stages.teachers.request import TeacherRequest
from avkd.stages.types import WaveformFormat
from avkd.storage.store import Store
from avkd.storage.verify import verify_store

NAMES = ("a.mp4", "b.mp4", "c_broken.mp4")
Extract = Callable[..., Any]


@pytest.fixture
def extract(
    write_corpus: Callable[..., str], bright_request: TeacherRequest, tmp_path: Path
) -> Extract:
    def run(names: tuple[str, ...] = NAMES, store: str = "store") -> Any:
        request = ExtractRequest(
            corpus=write_corpus(names),
            store=str(tmp_path / store),
            teachers=(bright_request,),
            clip_seconds=2.0,
            step_seconds=1.0,
            rows_per_shard=3,
            inputs=WaveformFormat(sample_rate=8_000),
            num_decode_workers=1,
        )
        return extract_teacher(request)

    return run


def test_a_removed_recording_is_not_planned_again_until_it_is_let_in(
    extract: Extract, tmp_path: Path
) -> None:
    first = extract()
    store = Store.open(str(tmp_path / "store"))
    report = remove_recordings(store, ["a.mp4"])
    assert (report.changed, report.unchanged, report.num_clips) == (("a.mp4",), (), 3)
    again = extract()
    assert (again.forecast.num_new_recordings, again.num_shards_done) == (0, 0)
    assert again.forecast.num_removed_recordings == 1
    assert again.num_recordings == 2
    assert again.content_digest == extract(("b.mp4", "c_broken.mp4"), "never").content_digest
    assert readmit_recordings(store, ["a.mp4"]).changed == ("a.mp4",)
    back = extract()
    assert (back.forecast.num_new_clips, back.forecast.num_removed_recordings) == (3, 0)
    assert back.content_digest == first.content_digest
    assert [c.row for c in Store.open(store.url).read_clips(2)] == [6, 7, 8]
    assert verify_store(store.url) == ()


def test_a_removal_again_is_fine_and_writes_nothing(extract: Extract, tmp_path: Path) -> None:
    extract()
    store = Store.open(str(tmp_path / "store"))
    remove_recordings(store, ["a.mp4", "a.mp4"])
    report = remove_recordings(store, ["b.mp4", "a.mp4"])
    assert (report.changed, report.unchanged, report.num_clips) == (("b.mp4",), ("a.mp4",), 1)
    assert remove_recordings(store, ["a.mp4"]).changed == ()
    assert len(list((tmp_path / "store/removals").iterdir())) == 2
    assert readmit_recordings(store, ["a.mp4"]).changed == ("a.mp4",)
    assert readmit_recordings(store, ["a.mp4"]).unchanged == ("a.mp4",)


def test_an_unknown_recording_is_told_with_close_matches_and_removes_nothing(
    extract: Extract, tmp_path: Path
) -> None:
    extract()
    store = Store.open(str(tmp_path / "store"))
    with pytest.raises(UnknownNameError, match=r"'b\.mp'; did you mean b\.mp4"):
        remove_recordings(store, ["a.mp4", "b.mp"])
    with pytest.raises(UnknownNameError, match="removed recording"):
        readmit_recordings(store, ["a.mp4"])
    assert not store.removals()


def test_a_student_learns_nothing_of_a_removed_recording(extract: Extract, tmp_path: Path) -> None:
    extract()
    store = Store.open(str(tmp_path / "store"))
    assert set(find_examples(store, ["bright", "waveform"]).recording_ids) == {"a.mp4", "b.mp4"}
    remove_recordings(store, ["a.mp4"])
    assert set(find_examples(store, ["bright", "waveform"]).recording_ids) == {"b.mp4"}


def test_a_failed_clip_of_a_removed_recording_is_not_retried(
    extract: Extract, tmp_path: Path
) -> None:
    extract()
    url = str(tmp_path / "store")
    remove_recordings(Store.open(url), ["c_broken.mp4"])
    report = extract_teacher(ask_again(url, FAILED_STATUSES, num_decode_workers=1))
    assert report.forecast.num_new_clips == 0


def test_a_removal_before_anything_is_computed_leaves_nothing_to_decode(
    extract: Extract, tmp_path: Path
) -> None:
    first = extract()
    url = tmp_path / "store"
    for commits in (url / "commits").iterdir():
        shutil.rmtree(commits)
    remove_recordings(Store.open(str(url)), list(NAMES))
    report = extract()
    assert report.num_shards_done == 2
    assert (report.num_recordings, report.num_clips) == (0, 0)
    assert report.content_digest != first.content_digest
    assert verify_store(str(url)) == ()


def test_sweeping_writes_removed_rows_out_only_when_asked_to(
    extract: Extract, tmp_path: Path
) -> None:
    extract()
    url = str(tmp_path / "store")
    assert sweep_store(url, rewrites=True).rewritten == ()
    remove_recordings(Store.open(url), ["b.mp4"])
    digest = Store.open(url).content_digest()
    assert sweep_store(url).num_shards_to_rewrite == 2
    dry = sweep_store(url, rewrites=True, dry_run=True)
    assert dry.rewritten == (("bright", 1), ("waveform", 1))
    assert dry.erased == (1,)
    seen: list[tuple[str, int]] = []
    done = sweep_store(url, rewrites=True, on_shard=lambda *shard: seen.append(shard))
    assert (done.rewritten, done.erased) == (dry.rewritten, dry.erased)
    assert seen == [("bright", 1), ("waveform", 1)]
    assert sweep_store(url).num_shards_to_rewrite == 0
    assert Store.open(url).content_digest() == digest
    assert verify_store(url) == ()


def test_a_signal_ends_a_rewrite_between_two_shards_and_gives_the_lock_back(
    extract: Extract, tmp_path: Path
) -> None:
    extract()
    url = str(tmp_path / "store")
    remove_recordings(Store.open(url), ["b.mp4"])
    with pytest.raises(InterruptedRunError, match="with 1 shard rewritten"):
        sweep_store(
            url, rewrites=True, on_shard=lambda *shard: os.kill(os.getpid(), signal.SIGTERM)
        )
    assert not Path(url, "rewrite.lock").exists()
    assert verify_store(url) == ()
    assert sweep_store(url, rewrites=True).rewritten == (("waveform", 1),)


def test_two_sweeps_do_not_rewrite_at_once(extract: Extract, tmp_path: Path) -> None:
    extract()
    url = str(tmp_path / "store")
    remove_recordings(Store.open(url), ["b.mp4"])
    Path(url, "rewrite.lock").write_bytes(b"")
    with pytest.raises(StoreUnwritableError, match="remove that file"):
        sweep_store(url, rewrites=True)
    assert sweep_store(url).leftovers == ()
