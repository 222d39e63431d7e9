"""Depth and heat: 16-bit gray of FFV1 in Matroska."""

from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest

from avkd.errors import MediaError
from avkd.stages.media.clips import decode_clips
from avkd.stages.media.frames import open_frames, read_frames
from avkd.stages.media.wire import ClipRequest, DecodeJob
from avkd.stages.types import FrameFormat

NATIVE = FrameFormat(height=6, width=10, crop_fraction=1, fit="stretch", pixels="gray16")


def draw(number):
    return np.random.default_rng(number).integers(0, 65_536, (6, 10)).astype(np.uint16)


@pytest.fixture(scope="module")
def depth(tmp_path_factory):
    """Two seconds of noise that uses every bit."""
    path = tmp_path_factory.mktemp("depth") / "depth.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=4)
        stream.width, stream.height, stream.pix_fmt = 10, 6, "gray16le"
        for number in range(8):
            picture = av.VideoFrame.from_ndarray(draw(number), "gray16le")
            picture.pts, picture.time_base = number, Fraction(1, 4)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


def test_every_bit_of_a_picture_is_read(depth):
    pictures = read_frames(str(depth), [0.1, 0.6, 1.9], [NATIVE])[NATIVE]
    assert pictures.dtype == np.uint16
    assert (pictures[..., 0] == [draw(0), draw(2), draw(7)]).all()


def test_a_job_reads_the_stream_it_names(depth, recordings):
    job = DecodeJob(
        streams={"rgb": str(recordings / "h264.mp4"), "depth": str(depth)},
        clips=(ClipRequest(clip_id="c", start_seconds=0, duration_seconds=1, instants=(0.3, 5.0)),),
        clip_seconds=1,
        frame_formats=(NATIVE,),
        frame_stream="depth",
    )
    (clip,) = decode_clips(job)
    assert (clip.frames_status, clip.num_frames) == ("partial", 1)
    assert (clip.frames[NATIVE][0, ..., 0] == draw(1)).all()


def test_a_job_does_not_show_the_upper_bits_alone(depth):
    job = DecodeJob(
        streams={"thermal": str(depth)},
        clips=(ClipRequest(clip_id="c", start_seconds=0, duration_seconds=1, instants=(0.3,)),),
        clip_seconds=1,
        frame_formats=(replace(NATIVE, pixels="rgb24"),),
        frame_stream="thermal",
    )
    (clip,) = decode_clips(job)
    assert (clip.frames_status, clip.num_frames) == ("decode_error", 0)
    assert "16-bit gray; say which range to show, as --stream STREAM:LOW:HIGH" in clip.frames_reason


def test_pictures_of_fewer_bits_are_refused(recordings):
    with (
        pytest.raises(MediaError, match="pictures are yuv420p, not 16-bit gray") as caught,
        open_frames(str(recordings / "h264.mp4"), "gray16"),
    ):
        pass
    assert caught.value.status == "decode_error"
