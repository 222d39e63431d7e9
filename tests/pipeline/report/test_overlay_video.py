from pathlib import Path

import numpy as np
import pytest

from avkd.errors import InvalidValueError, MediaError, StoreUnwritableError
from avkd.pipeline.report.overlay_video import DrawnBoxes, OverlayFormat, write_overlay
from avkd.pipeline.report.overlays import TRUTH, track_colour
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


def test_an_excerpt_has_its_own_boxes_and_its_own_sound(movie, tmp_path):
    out = str(tmp_path / "excerpt.mp4")
    written = OverlayFormat(start_seconds=0.75, duration_seconds=0.5)
    assert write_overlay(movie, movie, out, steps(), 0.5, written) == RATE // 2
    size = FrameFormat(height=360, width=640, crop_fraction=1.0)
    instants = [(number + 0.5) / RATE for number in range(RATE // 2)]
    pictures = read_frames(out, instants, [size])[size].astype(int)
    left_side = pictures[:, 180, 160:163].mean(axis=1)
    is_coloured = np.abs(left_side - track_colour(0)).max(axis=1) < 60
    # The step with the box lasts from 0.5 to 1 s.
    assert is_coloured.tolist() == [True, True, False, False]
    heard = read_audio_file(out, WaveformFormat(sample_rate=8_000)).astype(float)[0]
    # The sound ends at 1 s of the movie.
    assert np.abs(heard[400:1_600]).max() > 5_000
    assert np.abs(heard[3_000:]).max() < 500


def test_true_boxes_are_drawn_and_wide_pictures_made_smaller(movie, tmp_path):
    out = str(tmp_path / "small.mp4")
    truth = [DrawnBoxes(truth=step) for step in steps()]
    write_overlay(movie, movie, out, truth, 0.5, OverlayFormat(largest_width=80))
    info = probe(out)
    # 80 x 45, enlarged eight times.
    assert (info.width, info.height) == (640, 360)
    size = FrameFormat(height=360, width=640, crop_fraction=1.0)
    (picture,) = read_frames(out, [0.75], [size])[size].astype(int)
    assert np.abs(picture[180, 160] - TRUTH).max() < 90


def test_the_size_of_a_video_can_be_limited(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (16, 90, 160, 3), dtype=np.uint8)
    path = str(tmp_path / "noise.mp4")
    silence = np.zeros(2 * 16_000)
    write_movie(
        Path(path), list(noise), silence, frame_size=SIZE, frame_rate=RATE, sample_rate=16_000
    )
    sizes = {}
    for bits in (None, 200_000):
        out = str(tmp_path / f"{bits}.mp4")
        write_overlay(path, path, out, steps(), 0.5, OverlayFormat(bits_per_second=bits))
        sizes[bits] = Path(out).stat().st_size
    assert sizes[200_000] < 0.5 * sizes[None]


def test_what_cannot_be_written_leaves_nothing_behind(movie, tmp_path):
    with pytest.raises(InvalidValueError, match=r"must end in \.mp4"):
        write_overlay(movie, movie, str(tmp_path / "overlay.avi"), steps(), 0.5)
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnwritableError, match="choose another place"):
        write_overlay(movie, movie, str(tmp_path / "file" / "overlay.mp4"), steps(), 0.5)
    with pytest.raises(MediaError):
        write_overlay(str(tmp_path / "none.mp4"), movie, str(tmp_path / "a.mp4"), steps(), 0.5)
    assert [path.name for path in Path(tmp_path).iterdir()] == ["file"]
