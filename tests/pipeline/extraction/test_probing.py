from collections.abc import Iterator
from pathlib import Path

import pytest

from avkd.pipeline.extraction import probing
from avkd.pipeline.extraction.probing import probe_recordings
from avkd.pipeline.extraction.worker import closing_worker
from avkd.stages.media.limits import DecodeLimits
from avkd.storage.schema import Recording

PATIENT = DecodeLimits(clip_seconds=60)


@pytest.fixture(autouse=True)
def _no_children_left() -> Iterator[None]:
    with closing_worker():
        yield


def test_durations_come_from_the_files_and_failures_get_a_reason(recordings: Path) -> None:
    names = ["a.mp4", "c_broken.mp4", "f_sound.wav", "missing.mp4"]
    asked = [
        Recording(recording_id=name, streams={"rgb": str(recordings / name)}) for name in names
    ]
    told: list[tuple[int, int]] = []
    probed = probe_recordings(
        asked,
        num_workers=1,
        limits=PATIENT,
        on_recording=lambda *counts: told.append(counts),
    )
    assert [each.recording_id for each in probed.recordings] == names
    assert probed.recordings[0].duration_seconds == pytest.approx(5, abs=0.2)
    assert probed.recordings[2].duration_seconds == pytest.approx(2, abs=0.1)
    assert probed.unreadable.keys() == {"c_broken.mp4", "missing.mp4"}
    assert all(status == "decode_error" for status, _ in probed.unreadable.values())
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_where_one_stream_cannot_be_read_another_tells_the_duration(recordings: Path) -> None:
    broken, sound = str(recordings / "c_broken.mp4"), str(recordings / "f_sound.wav")
    asked = [
        Recording(recording_id="heard", streams={"rgb": "/none.mp4", "audio": sound}),
        Recording(recording_id="seen warm", streams={"rgb": broken, "thermal": sound}),
        Recording(recording_id="neither", streams={"rgb": "/none.mp4", "audio": broken}),
        Recording(recording_id="one file", streams={"rgb": broken, "audio": broken}),
    ]
    told: list[tuple[int, int]] = []
    probed = probe_recordings(
        asked,
        num_workers=1,
        limits=PATIENT,
        on_recording=lambda *counts: told.append(counts),
    )
    assert [each.duration_seconds for each in probed.recordings[:2]] == [2.0, 2.0]
    assert probed.unreadable.keys() == {"neither", "one file"}
    assert "/none.mp4" in probed.unreadable["neither"][1]
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_duration_of_the_corpus_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "lend_decode_pool", None)
    asked = [Recording(recording_id="x", streams={"rgb": "/none.mp4"}, duration_seconds=7.0)]
    probed = probe_recordings(asked, num_workers=1, limits=PATIENT)
    assert probed.recordings == tuple(asked)
    assert not probed.unreadable


@pytest.mark.parametrize("nonsense", [float("nan"), float("inf"), -1.0, 0.0])
def test_a_duration_that_cannot_be_is_asked_of_the_file(recordings: Path, nonsense: float) -> None:
    asked = Recording(recording_id="f", streams={"audio": str(recordings / "f_sound.wav")})
    believed = Recording(recording_id="f", streams=asked.streams, duration_seconds=nonsense)
    probed = probe_recordings([believed], num_workers=1, limits=PATIENT)
    assert probed.recordings[0].duration_seconds == pytest.approx(2, abs=0.1)
