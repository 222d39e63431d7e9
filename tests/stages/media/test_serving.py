import io

import pytest

from avkd.stages.media import serving
from avkd.stages.media.wire import (
    ClipRequest,
    DecodeJob,
    decode_clip,
    decode_probe,
    encode_job,
    read_message,
)
from avkd.stages.types import FrameFormat


def replies_to(request):
    pipe = io.BytesIO()
    serving.answer(request, pipe)
    pipe.seek(0)
    replies = []
    while (reply := read_message(pipe)) is not None:
        replies.append(reply)
    return replies


def test_a_job_is_answered_clip_by_clip(recordings):
    clips = tuple(
        ClipRequest(clip_id=name, start_seconds=start, duration_seconds=1, instants=(start + 0.5,))
        for name, start in (("a", 0.0), ("b", 1.0))
    )
    job = DecodeJob(
        streams={"rgb": str(recordings / "h264.mp4")},
        clips=clips,
        clip_seconds=1.0,
        frame_formats=(FrameFormat(height=16, width=16),),
    )
    decoded = [decode_clip(*reply) for reply in replies_to(encode_job(job))]
    assert [(clip.clip_id, clip.frames_status) for clip in decoded] == [("a", "ok"), ("b", "ok")]


@pytest.mark.parametrize("name", ["text.mp4", "missing.mp4"])
def test_a_probe_is_answered_by_what_is_wrong(recordings, name):
    ((header, _),) = replies_to({"kind": "probe", "path": str(recordings / name)})
    assert decode_probe(header).status == "decode_error"


def test_an_unforeseen_error_in_a_probe_costs_the_file(recordings, monkeypatch):
    def fail(path):
        raise KeyError(path)

    monkeypatch.setattr(serving, "probe", fail)
    ((header, _),) = replies_to({"kind": "probe", "path": "x.mp4"})
    assert "x.mp4: KeyError" in decode_probe(header).reason
