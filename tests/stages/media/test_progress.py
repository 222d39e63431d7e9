import io

import fsspec
import pytest

from avkd.stages.media import progress
from avkd.stages.media.audio import read_audio_file
from avkd.stages.media.local_files import local_file
from avkd.stages.media.probe import probe
from avkd.stages.media.pyav_reader import PyavReader
from avkd.stages.media.wire import read_message
from avkd.stages.types import WaveformFormat


@pytest.fixture
def pipe(monkeypatch):
    """Where this process tells that it gets on, every time it may."""
    monkeypatch.setattr(progress._Listener, "pipe", None)
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN", 0.0)
    pipe = io.BytesIO()
    progress.tell_progress_to(pipe)
    return pipe


def messages(pipe):
    pipe.seek(0)
    found = []
    while (message := read_message(pipe)) is not None:
        found.append(message)
    return found


def test_progress_is_told_at_most_once_a_second(pipe, monkeypatch):
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN", 1.0)
    clock = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    progress.tell_progress_to(pipe)
    for now in (100.1, 100.9, 101.2, 101.3, 102.1, 102.3):
        clock[0] = now
        progress.note_progress()
    assert messages(pipe) == [({"progress": "decoded"}, [])] * 2


def test_a_process_that_nobody_listens_to_says_nothing(pipe):
    progress._Listener.pipe = None
    progress.note_progress()
    assert pipe.getvalue() == b""


@pytest.mark.parametrize(
    "read",
    [
        lambda path: PyavReader(path).read([1.5]).__next__(),
        lambda path: read_audio_file(path, WaveformFormat()),
    ],
)
def test_reading_tells_progress_all_along(recordings, pipe, read):
    read(str(recordings / "h264.mp4"))
    # Some tens of packets lie on the way.
    assert len(messages(pipe)) > 30


def test_measuring_a_length_tells_progress(tmp_path, pipe, write, media):
    path = str(write(tmp_path / "raw.h264", media.Video()))
    assert not messages(pipe)
    probe(path)
    assert len(messages(pipe)) > 30


def test_fetching_tells_progress_for_every_part(pipe):
    with fsspec.open("memory://far/large.mp4", "wb") as remote:
        remote.write(bytes(3 << 20))
    with local_file("memory://far/large.mp4"):
        assert messages(pipe) == [({"progress": "fetched"}, [])] * 3
