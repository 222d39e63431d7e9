import math

import pytest

from avkd.errors import InvalidValueError, MediaError
from avkd.stages.media import limits as limits_module
from avkd.stages.media.audio import read_audio_file
from avkd.stages.media.frames import read_frames
from avkd.stages.media.limits import DecodeLimits, limits_in_force
from avkd.stages.media.probe import probe
from avkd.stages.types import FrameFormat, WaveformFormat

SMALL = FrameFormat(height=24, width=24)


@pytest.fixture
def impose(monkeypatch):
    """Puts limits in force for one test, but for that on this process's memory."""

    def put(**limits):
        monkeypatch.setattr(limits_module._InForce, "limits", DecodeLimits(**limits))

    return put


@pytest.mark.parametrize(
    "wrong", [{"clip_seconds": 0}, {"memory_bytes": -1}, {"no_progress_seconds": math.inf}]
)
def test_a_limit_is_a_number_above_zero(wrong):
    with pytest.raises(InvalidValueError, match=f"{next(iter(wrong))} .* above 0"):
        DecodeLimits(**wrong)


def test_pictures_over_the_limit_are_refused_by_their_header(recordings, impose):
    path = str(recordings / "h264.mp4")
    impose(num_pixels=128 * 48)
    read_frames(path, [0.5], [SMALL])
    impose(num_pixels=128 * 48 - 1)
    with pytest.raises(MediaError, match="pictures of 128 x 48 are over the limit of 6143 pix"):
        read_frames(path, [0.5], [SMALL])
    assert read_audio_file(path, WaveformFormat()).any()


def test_a_recording_over_the_limit_is_refused_by_its_header(recordings, impose):
    path = str(recordings / "h264.mp4")
    impose(duration_seconds=2.5)
    assert probe(path).duration_seconds == pytest.approx(2.0, abs=0.1)
    impose(duration_seconds=1.5)
    with pytest.raises(MediaError, match=r"h264.mp4 declares 2\S* s, over the limit of 1.5 s"):
        probe(path)


def test_a_process_that_was_told_nothing_has_the_defaults():
    assert limits_in_force() == DecodeLimits()
