import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avkd.errors import (
    CorpusError,
    FingerprintMismatchError,
    InterruptedRunError,
    InvalidValueError,
    TooManyFailuresError,
)
from avkd.pipeline.extract import extract_teacher
from avkd.pipeline.extraction import probing
from avkd.pipeline.extraction.progress import ProgressEvent
from avkd.pipeline.extraction.request import ExtractRequest
from avkd.stages.teachers.request import TeacherRequest
from avkd.stages.types import WaveformFormat
from avkd.storage.store import Store

ALL = ("a.mp4", "b.mp4", "c_broken.mp4", "d.mp4", "e_silent.mp4", "f_sound.wav")
WHOLE = ("a.mp4", "b.mp4", "d.mp4")
WriteCorpus = Callable[..., str]
Extract = Callable[..., Any]


@pytest.fixture
def extract(write_corpus: WriteCorpus, bright_request: TeacherRequest, tmp_path: Path) -> Extract:
    """Extract some recordings into a store of 3 rows a shard, clips of 2 s, steps of 1 s."""

    def run(names: tuple[str, ...] = ALL, *, on_progress: Any = None, **options: Any) -> Any:
        request = ExtractRequest(
            corpus=write_corpus(names),
            store=str(tmp_path / options.pop("store", "store")),
            teachers=options.pop("teachers", (bright_request,)),
            num_decode_workers=1,
            **{
                "clip_seconds": 2.0,
                "step_seconds": 1.0,
                "rows_per_shard": 3,
                "inputs": WaveformFormat(sample_rate=8_000),
                **options,
            },
        )
        return extract_teacher(request, on_progress=on_progress or (lambda event: None))

    return run


def rows_by_clip(url: Path, name: str, output: str) -> dict[str, bytes]:
    store = Store.open(str(url))
    return {
        clip.recording_id + f"@{clip.start_seconds:g}": store.read_rows(
            name, output, clip.row, clip.row + 1
        ).tobytes()
        for shard in store.shards()
        for clip in store.read_clips(shard)
    }


def failures_by_recording(url: Path, name: str) -> dict[str, tuple[str, str]]:
    store = Store.open(str(url))
    ids = {clip.row: clip.recording_id for s in store.shards() for clip in store.read_clips(s)}
    return {
        ids[row]: failure
        for commit in store.commits(name)
        for row, failure in commit.failures.items()
    }


def files_of(url: Path) -> dict[str, bytes]:
    """All but the commits, which hold times and hosts."""
    return {
        str(path.relative_to(url)): path.read_bytes()
        for path in url.rglob("*")
        if path.is_file() and "commits" not in path.parts
    }


def test_every_file_is_accounted_for(extract: Extract, tmp_path: Path) -> None:
    report = extract()
    # a: 2 + 2 + 1 steps, b and e: 2, c: a row of its own, d: 2 + 1, f: 2.
    assert (report.num_recordings, report.num_clips, report.num_shards_done) == (6, 9, 3)
    assert report.status["bright"] == {"ok": 7, "decode_error": 1, "no_video": 1}
    assert report.status["waveform"] == {"ok": 7, "decode_error": 1, "no_audio": 1}
    failures = failures_by_recording(tmp_path / "store", "bright")
    assert failures.keys() == {"c_broken.mp4", "f_sound.wav"}
    assert all(reason for _, reason in failures.values())


def test_a_teacher_sees_the_middle_of_each_step(extract: Extract, tmp_path: Path) -> None:
    extract(("a.mp4",))
    store = Store.open(str(tmp_path / "store"))
    seen = store.read_rows("bright", "embedding", 0, 3)[..., 0].astype(float) * 255
    # The pictures brighten by one a second; the last clip has one step, the other is zero.
    expected = np.array([[40, 41], [42, 43], [44, 0]])
    # float16 keeps 11 bits, and video is not exact.
    np.testing.assert_allclose(seen, expected, atol=2)
    assert np.all(np.diff(seen.ravel()[:5]) > 0.3)
    assert seen[2, 1] == 0


def test_sound_is_stored_as_it_was_heard(extract: Extract, tmp_path: Path) -> None:
    extract(("f_sound.wav",))
    (wave,) = Store.open(str(tmp_path / "store")).read_rows("waveform", "waveform", 0, 1)
    assert wave.shape == (1, 16_000)
    spectrum = np.abs(np.fft.rfft(wave[0].astype(float)))
    assert spectrum.argmax() / 2 == pytest.approx(440, abs=1)


def test_doing_it_again_does_nothing(
    extract: Extract, tmp_path: Path, brightness: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = extract()
    before = files_of(tmp_path / "store")
    brightness.num_loads = 0
    monkeypatch.setattr(probing, "lend_decode_pool", None)
    again = extract()
    assert (again.num_shards_done, again.num_shards_skipped) == (0, 3)
    assert again.content_digest == first.content_digest
    assert again.forecast.num_new_recordings == again.forecast.num_shards == 0
    assert brightness.num_loads == 0
    assert files_of(tmp_path / "store") == before


def test_a_teacher_is_loaded_once_for_all_shards(extract: Extract, brightness: Any) -> None:
    assert extract().num_shards_done == 3
    assert brightness.num_loads == 1


def test_new_recordings_are_appended_in_new_shards(extract: Extract, tmp_path: Path) -> None:
    extract(("a.mp4", "b.mp4"))
    before = files_of(tmp_path / "store")
    report = extract(("a.mp4", "d.mp4", "b.mp4"))
    assert (report.num_shards_done, report.num_shards_skipped) == (1, 2)
    assert report.forecast.num_new_recordings == 1
    store = Store.open(str(tmp_path / "store"))
    assert [clip.row for clip in store.read_clips(2)] == [6, 7]
    assert {clip.recording_id for clip in store.read_clips(2)} == {"d.mp4"}
    after = files_of(tmp_path / "store")
    assert all(after[name] == data for name, data in before.items() if "zarr.json" not in name)


def test_a_later_teacher_computes_its_own_shards_only(
    extract: Extract, tmp_path: Path, bright_request: TeacherRequest
) -> None:
    extract(WHOLE)
    before = files_of(tmp_path / "store")
    second = replace(bright_request, name="second", batch_size=3)
    report = extract(WHOLE, teachers=(bright_request, second))
    assert report.num_shards_done == 2
    after = files_of(tmp_path / "store")
    assert {name: after[name] for name in before} == before
    # Batches of 3 or of 4: what is seen of a frame is the same.
    one, two = (rows_by_clip(tmp_path / "store", name, "logits") for name in ("bright", "second"))
    assert one == two


def test_two_teachers_of_one_pass_store_what_each_would_alone(
    extract: Extract, bright_request: TeacherRequest, tmp_path: Path
) -> None:
    second = replace(bright_request, name="second")
    together = extract(WHOLE, teachers=(bright_request, second), store="together")
    extract(WHOLE, teachers=(bright_request,), store="apart")
    apart = extract(WHOLE, teachers=(second,), store="apart")
    assert together.content_digest == apart.content_digest


def test_a_failed_clip_leaves_the_others_as_they_were(extract: Extract, tmp_path: Path) -> None:
    extract(("a.mp4", "b.mp4", "d.mp4"), store="without")
    extract(("a.mp4", "c_broken.mp4", "b.mp4", "f_sound.wav", "d.mp4"), store="with")
    for name, output in (("bright", "logits"), ("bright", "embedding"), ("waveform", "waveform")):
        without, with_ = (rows_by_clip(tmp_path / url, name, output) for url in ("without", "with"))
        assert without.items() <= with_.items()
        assert not any(with_["c_broken.mp4@0"])


def test_a_file_that_is_gone_at_decode_time_is_a_row_with_a_reason(
    extract: Extract, tmp_path: Path
) -> None:
    corpus = tmp_path / "believed.csv"
    corpus.write_text("path,duration_seconds\ngone.mp4,2\n")
    request = ExtractRequest(
        corpus=str(corpus),
        store=str(tmp_path / "store"),
        teachers=(TeacherRequest(name="bright", family="brightness"),),
        clip_seconds=2,
        step_seconds=1,
        rows_per_shard=2,
    )
    report = extract_teacher(request)
    assert report.status == {"bright": {"decode_error": 1}, "waveform": {"decode_error": 1}}


def test_other_weights_under_one_name_are_refused_and_nothing_is_added(
    extract: Extract, tmp_path: Path, bright_request: TeacherRequest
) -> None:
    extract(("a.mp4",))
    before = files_of(tmp_path / "store")
    other = replace(bright_request, weights="/other.safetensors")
    with pytest.raises(FingerprintMismatchError, match="weights: stored"):
        extract(("a.mp4", "b.mp4"), teachers=(other,))
    assert files_of(tmp_path / "store") == before


def test_weights_that_change_during_a_run_are_refused(
    extract: Extract, monkeypatch: pytest.MonkeyPatch, brightness: Any
) -> None:
    whole = brightness.__init__

    def init(self: Any, declaration: Any) -> None:
        changed = {**declaration.fingerprint, "weights": "overwritten"}
        whole(self, replace(declaration, fingerprint=changed))

    monkeypatch.setattr(brightness, "__init__", init)
    with pytest.raises(FingerprintMismatchError, match="the run began with"):
        extract(("a.mp4",))


def test_sparse_logits_are_remembered_by_the_store(extract: Extract, tmp_path: Path) -> None:
    first = extract(("a.mp4",), sparse_top_k=2)
    again = extract(("a.mp4",))
    assert again.content_digest == first.content_digest
    rows = Store.open(str(tmp_path / "store")).read_rows("bright", "logits", 0, 1)
    assert rows.ids.shape == (1, 2, 2)
    with pytest.raises(FingerprintMismatchError, match="sparse_top_k: stored 2, given 0"):
        extract(("a.mp4",), sparse_top_k=0)


def test_inputs_alone_can_be_cached(extract: Extract) -> None:
    report = extract(("f_sound.wav", "a.mp4"), teachers=())
    assert report.status == {"waveform": {"ok": 4}}


def test_a_dry_run_counts_and_writes_nothing(extract: Extract, tmp_path: Path) -> None:
    report = extract(dry_run=True)
    assert report.is_dry_run
    assert not (tmp_path / "store").exists()
    forecast = report.forecast
    assert (forecast.num_new_recordings, forecast.num_new_clips, forecast.num_shards) == (6, 9, 3)
    # float16: 2 steps of 3 logits and 2 features; int16: 16,000 samples.
    assert forecast.bytes_to_come == {"bright": 9 * 2 * (3 + 2) * 2, "waveform": 9 * 32_000}


def test_a_dry_run_on_a_store_counts_what_is_missing(
    extract: Extract, tmp_path: Path, bright_request: TeacherRequest
) -> None:
    extract(("a.mp4", "b.mp4"))
    before = files_of(tmp_path / "store")
    teachers = (bright_request, replace(bright_request, name="second"))
    forecast = extract(("a.mp4", "d.mp4"), teachers=teachers, dry_run=True).forecast
    assert (forecast.num_new_clips, forecast.num_clips, forecast.num_shards) == (2, 6, 3)
    assert forecast.bytes_to_come["second"] == 3 * forecast.bytes_to_come["bright"]
    assert files_of(tmp_path / "store") == before


def test_progress_counts_clips_and_failures(extract: Extract) -> None:
    events: list[ProgressEvent] = []
    extract(on_progress=events.append)
    probed = [event for event in events if event.phase == "probe"]
    done = [event for event in events if event.phase == "extract"]
    assert [event.num_done for event in probed] == list(range(1, 7))
    assert [event.num_done for event in done] == list(range(1, 10))
    # The broken one, the silent one, and the one without pictures.
    assert done[-1] == ProgressEvent(phase="extract", num_done=9, num_total=9, num_failed=3)


def test_too_many_failures_are_an_error_after_all_is_committed(
    extract: Extract, tmp_path: Path
) -> None:
    extract(max_failure_rate=0.25)
    with pytest.raises(TooManyFailuresError, match="2 of 9 clips failed for bright"):
        extract(max_failure_rate=0.2)
    store = Store.open(str(tmp_path / "store"))
    assert not store.missing_shards("bright")


def test_a_signal_ends_the_run_at_a_shard_and_the_rest_follows_later(
    extract: Extract, tmp_path: Path
) -> None:
    undisturbed = extract(store="undisturbed")
    events: list[ProgressEvent] = []

    def interrupt(event: ProgressEvent) -> None:
        events.append(event)
        if event.phase == "extract" and event.num_done == 4:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(InterruptedRunError, match="2 of 3 shards are committed") as caught:
        extract(on_progress=interrupt)
    assert caught.value.exit_code == 75
    assert events[-1].num_done == 6
    assert events[-1].is_stopping
    report = extract()
    assert (report.num_shards_done, report.num_shards_skipped) == (1, 2)
    assert report.content_digest == undisturbed.content_digest
    assert files_of(tmp_path / "store") == files_of(tmp_path / "undisturbed")


def test_a_second_signal_drops_the_shards_in_hand(extract: Extract) -> None:
    def insist(event: ProgressEvent) -> None:
        if event.phase == "extract" and event.num_done >= 4:
            os.kill(os.getpid(), signal.SIGINT)

    # The first may not be written yet when the second is decoded.
    with pytest.raises(InterruptedRunError, match=r"[01] of 3 shards are committed") as caught:
        extract(on_progress=insist)
    num_done = int(str(caught.value).split(" of 3 ")[0][-1])
    assert extract().num_shards_done == 3 - num_done


def test_a_signal_while_probing_plans_nothing(extract: Extract, tmp_path: Path) -> None:
    def interrupt(event: ProgressEvent) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(InterruptedRunError, match="2 of 6 durations were probed"):
        extract(on_progress=interrupt)
    assert not (tmp_path / "store").exists()


def test_a_missing_corpus_leaves_no_store(tmp_path: Path, bright_request: TeacherRequest) -> None:
    request = ExtractRequest(
        corpus=str(tmp_path / "nowhere"), store=str(tmp_path / "s"), teachers=(bright_request,)
    )
    with pytest.raises(CorpusError):
        extract_teacher(request)
    assert not (tmp_path / "s").exists()


def test_another_policy_than_the_stores_is_refused(extract: Extract) -> None:
    extract(("b.mp4",))
    with pytest.raises(InvalidValueError, match=r"clip_seconds 4.0 differs from 2"):
        extract(("b.mp4",), clip_seconds=4.0)


KILLED_RUN = """
import sys
from avkd.pipeline.extract import extract_teacher
from avkd.pipeline.extraction.request import ExtractRequest
from avkd.stages.types import WaveformFormat

corpus, store = sys.argv[1:]
extract_teacher(
    ExtractRequest(
        corpus=corpus,
        store=store,
        inputs=WaveformFormat(sample_rate=8_000),
        clip_seconds=2.0,
        step_seconds=1.0,
        rows_per_shard=3,
        num_decode_workers=1,
    ),
    on_progress=lambda event: print(event.phase, event.num_done, flush=True),
)
"""


@pytest.mark.parametrize("moment", ["probe 6", "extract 5"])
def test_a_killed_run_goes_on_to_the_same_bytes(
    moment: str, extract: Extract, write_corpus: WriteCorpus, tmp_path: Path
) -> None:
    corpus = write_corpus(ALL)
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED_RUN, corpus, str(tmp_path / "killed")],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    with child.stdout:
        for line in child.stdout:
            if line.strip() == moment:
                break
        child.send_signal(signal.SIGKILL)
        child.wait()
    resumed = extract(store="killed", teachers=())
    undisturbed = extract(store="undisturbed", teachers=())
    assert resumed.content_digest == undisturbed.content_digest
    killed, whole = (files_of(tmp_path / url) for url in ("killed", "undisturbed"))
    leftovers = {name for name in killed.keys() - whole.keys() if name.endswith(".tmp")}
    assert {name: killed[name] for name in killed.keys() - leftovers} == whole


def test_nothing_to_do_imports_no_torch(extract: Extract, recordings: Path, tmp_path: Path) -> None:
    extract(teachers=())
    code = f"{KILLED_RUN}\nassert 'torch' not in sys.modules\n"
    corpus = shutil.copy(tmp_path / "corpus.csv", tmp_path / "again.csv")
    done = subprocess.run(
        [sys.executable, "-c", code, corpus, str(tmp_path / "store")],
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout == done.stderr == ""
