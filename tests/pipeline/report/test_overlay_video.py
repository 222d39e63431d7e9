from pathlib import Path

import numpy as np
import pytest

from avkd.errors import InvalidValueError, MediaError, StoreUnwritableError
from avkd.pipeline.report.overlay_video import write_overlay
from avkd.pipeline.report.overlays import track_colour
from avkd.stages.media.audio import read_audio_file
from avkd.stages.media.frames import read_frames
from avkd.stages.media.probe import probe
from avkd.stages.metrics.boxes import FrameBoxes
from avkd.stages.simulation.files import write_movie
from avkd.stages.types import FrameFormat, WaveformFormat

RATE = 8
SIZE = (160, 90)


@pytest.fixture(scope="module")
def movie(tmp_path_factory) -> str:
    """Two seconds of grey, that sound in the first alone."""
    path = tmp_path_factory.mktemp("movie") / "grey.mp4"
    sound = np.zeros(2 * 16_000)
    sound[:16_000] = 0.5 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    grey = np.full((SIZE[1], SIZE[0], 3), 60, np.uint8)
    frames = [grey] * (2 * RATE)
    write_movie(path, frames, sound, frame_size=SIZE, frame_rate=RATE, sample_rate=16_000)
    return str(path)


def steps() -> list[FrameBoxes]:
    """A box in the second of three steps of half a second."""
    boxes = [[], [[0.25, 0.25, 0.75, 0.75]], []]
    return [
        FrameBoxes(
            time_seconds=0.5 * number + 0.25,
            boxes=np.array(each, np.float32).reshape(-1, 4),
            scores=np.full(len(each), 0.9, np.float32),
            classes=np.zeros(len(each), np.int32),
            track_ids=np.zeros(len(each), np.int64),
        )
        for number, each in enumerate(boxes)
    ]


def test_boxes_are_on_the_pictures_of_their_step_and_the_sound_is_kept(movie, tmp_path):
    out = str(tmp_path / "new" / "overlay.mp4")
    assert write_overlay(movie, movie, out, steps(), 0.5) == 2 * RATE
    info = probe(out)
    assert (info.frame_rate, info.has_audio) == (RATE, True)
    assert info.duration_seconds == pytest.approx(2.0, abs=0.1)
    # Small pictures are enlarged, and both sides stay even.
    assert (info.width, info.height) == (640, 360)
    size = FrameFormat(height=360, width=640, crop_fraction=1.0)
    instants = [(number + 0.5) / RATE for number in range(2 * RATE)]
    pictures = read_frames(out, instants, [size])[size].astype(int)
    left_side = pictures[:, 180, 160:163].mean(axis=1)
    is_coloured = np.abs(left_side - track_colour(0)).max(axis=1) < 60
    assert is_coloured.tolist() == [4 <= number < 8 for number in range(16)]
    assert np.abs(pictures[:, 180, 320] - 60).max() < 12
    heard = read_audio_file(out, WaveformFormat(sample_rate=8_000)).astype(float)[0]
    loudness = np.sqrt([np.mean(heard[a : a + 4_000] ** 2) for a in (2_000, 11_000)])
    assert loudness[0] > 5_000
    assert loudness[1] < 50


def test_what_cannot_be_written_leaves_nothing_behind(movie, tmp_path):
    with pytest.raises(InvalidValueError, match=r"must end in \.mp4"):
        write_overlay(movie, movie, str(tmp_path / "overlay.avi"), steps(), 0.5)
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnwritableError, match="choose another place"):
        write_overlay(movie, movie, str(tmp_path / "file" / "overlay.mp4"), steps(), 0.5)
    with pytest.raises(MediaError):
        write_overlay(str(tmp_path / "none.mp4"), movie, str(tmp_path / "a.mp4"), steps(), 0.5)
    assert [path.name for path in Path(tmp_path).iterdir()] == ["file"]
