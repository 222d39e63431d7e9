import io
import json
import struct
from types import MappingProxyType

import numpy as np
import pytest

from avkd.errors import MediaError
from avkd.stages.media.wire import (
    ClipRequest,
    DecodeJob,
    decode_clip,
    decode_job,
    decode_probe,
    encode_clip,
    encode_job,
    encode_probe,
    read_message,
    write_message,
)
from avkd.stages.types import (
    DecodedClip,
    DecodedSound,
    FrameFormat,
    MediaInfo,
    WaveformFormat,
)

FORMAT = FrameFormat(height=8, width=6)


def through_a_pipe(header, arrays=()):
    pipe = io.BytesIO()
    write_message(pipe, header, arrays)
    pipe.seek(0)
    received = read_message(pipe)
    assert read_message(pipe) is None
    return received


def test_a_job_survives_the_pipe():
    job = DecodeJob(
        streams=MappingProxyType({"rgb": "a.mp4", "audio": "s3://b/c.wav"}),
        clips=(
            ClipRequest(
                clip_id="c", start_seconds=0.1, duration_seconds=1.0, instants=(0.1, 1 / 3)
            ),
        ),
        clip_seconds=5.0,
        frame_formats=(FORMAT,),
        waveform=WaveformFormat(),
        decoder="decord",
    )
    received, _ = through_a_pipe(encode_job(job))
    assert decode_job(received) == job


def test_a_decoded_clip_survives_the_pipe():
    rng = np.random.default_rng(0)
    clip = DecodedClip(
        clip_id="c",
        frames_status="partial",
        frames_reason="pictures end",
        num_frames=1,
        frames={FORMAT: rng.integers(0, 256, (2, 8, 6, 3), dtype=np.uint8)},
        waveform_status="ok",
        waveform=rng.integers(-9, 9, (1, 30), dtype=np.int16),
    )
    received = decode_clip(*through_a_pipe(*encode_clip(clip)))
    assert np.array_equal(received.frames[FORMAT], clip.frames[FORMAT])
    assert np.array_equal(received.waveform, clip.waveform)
    assert (received.frames_status, received.frames_reason) == ("partial", "pictures end")
    assert (received.num_frames, received.waveform_status) == (1, "ok")


def test_a_clip_with_nothing_in_it_survives_the_pipe():
    clip = DecodedClip(clip_id="c", frames_status="no_video", frames_reason="none")
    assert decode_clip(*through_a_pipe(*encode_clip(clip))) == clip


def test_what_a_probe_found_survives_the_pipe():
    info = MediaInfo(duration_seconds=1.5, has_video=True, has_audio=False, width=3)
    assert decode_probe(through_a_pipe(encode_probe(info))[0]) == info
    error = decode_probe(through_a_pipe(encode_probe(MediaError("no_video", "none")))[0])
    assert isinstance(error, MediaError)
    assert (error.status, error.reason) == ("no_video", "none")


@pytest.mark.parametrize("length", [0, 2, 30])
def test_a_message_that_breaks_off_is_the_end(length):
    pipe = io.BytesIO()
    write_message(pipe, {"a": 1}, [np.zeros(100, dtype=np.int16)])
    assert read_message(io.BytesIO(pipe.getvalue()[:length])) is None
    assert read_message(io.BytesIO(pipe.getvalue()[:-1])) is None


@pytest.mark.parametrize(
    "arrays",
    [[{"dtype": "object", "shape": [1]}], [{"dtype": "uint8", "shape": [1 << 20, 1 << 20]}]],
)
def test_arrays_that_avkd_does_not_write_are_refused(arrays):
    encoded = json.dumps({"arrays": arrays}).encode()
    with pytest.raises(ValueError, match=r"avkd writes|not one of"):
        read_message(io.BytesIO(struct.pack(">I", len(encoded)) + encoded))


def test_16_bit_pictures_survive_the_pipe():
    gray = FrameFormat(height=2, width=3, crop_fraction=1, fit="stretch", pixels="gray16")
    levels = np.arange(65_530, 65_536, dtype=np.uint16).reshape(1, 2, 3, 1)
    clip = DecodedClip(clip_id="c", frames_status="ok", num_frames=1, frames={gray: levels})
    received = decode_clip(*through_a_pipe(*encode_clip(clip)))
    assert received.frames[gray].dtype == np.uint16
    assert (received.frames[gray] == levels).all()


@pytest.mark.parametrize("first", [None, np.ones((1, 4), np.int16)])
def test_sound_in_many_formats_survives_the_pipe(first):
    slow, many = WaveformFormat(sample_rate=8), WaveformFormat(num_channels=2, channels="all")
    job = DecodeJob(
        streams={"audio": "a.wav"},
        clips=(),
        clip_seconds=1.0,
        waveform=WaveformFormat(),
        more_waveforms=(slow, many),
    )
    assert decode_job(through_a_pipe(encode_job(job))[0]) == job
    clip = DecodedClip(
        clip_id="c",
        waveform_status="ok" if first is not None else "decode_error",
        waveform=first,
        more_sound={
            many: DecodedSound(status="decode_error", reason="1 channel"),
            slow: DecodedSound(status="ok", waveform=np.arange(8, dtype=np.int16)[None]),
        },
    )
    received = decode_clip(*through_a_pipe(*encode_clip(clip)))
    assert received.sound(many) == clip.more_sound[many]
    assert received.sound(slow).waveform.tolist() == [list(range(8))]
    assert (received.waveform is None) == (first is None)
    assert received.sound(WaveformFormat()).status == clip.waveform_status
