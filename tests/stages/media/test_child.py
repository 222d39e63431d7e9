import json
import os
import signal
import subprocess
import sys
import time

import pytest

from avkd.stages.media.wire import (
    ClipRequest,
    DecodeJob,
    decode_clip,
    decode_probe,
    encode_job,
    write_message,
)
from avkd.stages.media.wire import read_message as read_any_message
from avkd.stages.types import FrameFormat, WaveformFormat

# The real child, with something done to it before it starts.
TAMPERED = "from avkd.stages.media import child, serving\n{}\nchild.main()"


def read_message(pipe):
    """The next reply: on a busy machine a child may have to say that it gets on before it."""
    while (message := read_any_message(pipe)) is not None and "progress" in message[0]:
        pass
    return message


def start(*command):
    child = subprocess.Popen(
        [sys.executable, *(command or ("-m", "avkd.stages.media.child"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    header, _ = read_message(child.stdout)
    assert header == {"pid": child.pid}
    return child


def end(child):
    child.stdin.close()
    assert child.wait(10) == 0
    noise = child.stderr.read()
    assert child.stdout.read() == b""
    child.stdout.close()
    child.stderr.close()
    return noise


def a_job(path):
    return DecodeJob(
        streams={"rgb": str(path), "audio": str(path)},
        clips=(ClipRequest(clip_id="c", start_seconds=0, duration_seconds=1.0, instants=(0.5,)),),
        clip_seconds=1.0,
        frame_formats=(FrameFormat(height=16, width=16),),
        waveform=WaveformFormat(),
    )


def test_a_child_answers_in_order_and_ends_when_its_pipe_closes(recordings):
    child = start()
    for name in ("h264.mp4", "flipped.mp4", "text.mp4"):
        write_message(child.stdin, {"kind": "probe", "path": str(recordings / name)})
        write_message(child.stdin, encode_job(a_job(recordings / name)))
    answers = [read_message(child.stdout) for _ in range(6)]
    assert decode_probe(answers[0][0]).has_video
    assert decode_clip(*answers[1]).frames_status == "ok"
    assert decode_clip(*answers[3]).waveform_status == "partial"
    assert decode_probe(answers[4][0]).status == "decode_error"
    assert decode_clip(*answers[5]).frames_status == "decode_error"
    # Decoders complain loudly about the flipped bytes: none of it may reach a terminal.
    assert end(child) == b""


def test_a_child_never_imports_torch(recordings):
    report = (
        "import atexit, json, os, sys\n"
        "real = serving.answer\n"
        "def answer(request, replies):\n"
        "    real(request, replies)\n"
        "    serving.write_message(replies, {'modules': sorted(sys.modules)})\n"
        "serving.answer = answer"
    )
    child = start("-c", TAMPERED.format(report))
    write_message(child.stdin, encode_job(a_job(recordings / "h264.mp4")))
    read_message(child.stdout)
    modules = set(read_message(child.stdout)[0]["modules"])
    assert "av" in modules
    assert modules.isdisjoint({"torch", "torchvision", "zarr", "pyarrow", "dask"})
    end(child)


def test_nothing_but_replies_reaches_stdout(recordings):
    noise = (
        "import os\n"
        "real = serving.answer\n"
        "def answer(request, replies):\n"
        "    print('noise', flush=True); os.write(1, b'more noise'); os.write(2, b'and more')\n"
        "    real(request, replies)\n"
        "serving.answer = answer"
    )
    child = start("-c", TAMPERED.format(noise))
    write_message(child.stdin, {"kind": "probe", "path": str(recordings / "h264.mp4")})
    assert decode_probe(read_message(child.stdout)[0]).has_audio
    assert end(child) == b""


def test_a_child_that_hangs_ends_with_its_parent():
    child = start(
        "-c", TAMPERED.format("import time\nserving.answer = lambda *_: time.sleep(1000)")
    )
    write_message(child.stdin, {"kind": "probe", "path": "x"})
    time.sleep(0.1)
    assert child.poll() is None
    end(child)
    assert child.poll() is not None


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C is another thing on Windows")
def test_ctrl_c_is_left_to_the_parent(recordings):
    child = start()
    os.kill(child.pid, signal.SIGINT)
    write_message(child.stdin, {"kind": "probe", "path": str(recordings / "h264.mp4")})
    assert decode_probe(read_message(child.stdout)[0]).has_video
    assert end(child) == b""


def test_requests_are_json_that_anyone_can_read(recordings):
    assert json.loads(json.dumps(encode_job(a_job("x"))))["job"]["streams"]["rgb"] == "x"
