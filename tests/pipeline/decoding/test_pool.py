import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import wave
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from avkd.errors import AvkdError, MediaError
from avkd.pipeline.decoding import pool as pool_module
from avkd.pipeline.decoding.pool import DecodePool
from avkd.stages.media.limits import DecodeLimits
from avkd.stages.media.shared_region import SharedRegion
from avkd.stages.media.wire import ClipRequest, DecodeJob
from avkd.stages.types import FrameFormat, MediaInfo, WaveformFormat

SMALL = FrameFormat(height=16, width=16)

# The real child, except that it does something terrible when it comes to certain clips.
FAULTY_CHILD = """
import os, signal, sys, time
from avkd.stages.media import child, serving
from avkd.stages.media.progress import note_fetched, note_progress
decode_clips = serving.decode_clips
def decode(job):
    for clip in decode_clips(job):
        if "once" in clip.clip_id and not os.path.exists(sys.argv[1]):
            open(sys.argv[1], "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        if "segfault" in clip.clip_id:
            os.kill(os.getpid(), signal.SIGSEGV)
        if "hang" in clip.clip_id:
            time.sleep(1000)
        if "exit" in clip.clip_id:
            os._exit(3)
        if "slow" in clip.clip_id:
            for _ in range(7):
                time.sleep(0.6)
                note_progress()
        if "far" in clip.clip_id:
            for _ in range(7):
                time.sleep(0.6)
                note_fetched()
        if "hungry" in clip.clip_id:
            bytearray(2**31)
        if "starved" in clip.clip_id:
            raise MemoryError
        yield clip
serving.decode_clips = decode
probe = serving.probe
def crash_or_probe(path):
    if "segfault" in path:
        os.kill(os.getpid(), signal.SIGSEGV)
    return probe(path)
serving.probe = crash_or_probe
child.main()
"""


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """Three seconds of pictures and sound."""
    path = tmp_path_factory.mktemp("pool") / "recording.mkv"
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=10)
        video.width = video.height = 32
        video.pix_fmt = "yuv420p"
        sound = container.add_stream("pcm_s16le", rate=8000)
        sound.layout = "mono"
        for number in range(30):
            picture = np.full((32, 32, 3), 8 * number, dtype=np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            samples = np.full((1, 800), 1000 + number, dtype=np.int16)
            frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            frame.sample_rate, frame.time_base = 8000, Fraction(1, 8000)
            frame.pts = number * 800
            container.mux(sound.encode(frame))
        container.mux(video.encode(None))
    return str(path)


@pytest.fixture
def faulty_child(tmp_path):
    """The command of a child that dies or hangs at clips whose names say so."""
    return (sys.executable, "-c", FAULTY_CHILD, str(tmp_path / "died_once"))


def job_of(recording, *clip_ids, clip_seconds=0.5):
    return DecodeJob(
        streams={"rgb": recording, "audio": recording},
        clips=tuple(
            ClipRequest(
                clip_id=clip_id,
                start_seconds=0.5 * number,
                duration_seconds=0.5,
                instants=(0.5 * number + 0.25,),
            )
            for number, clip_id in enumerate(clip_ids)
        ),
        clip_seconds=clip_seconds,
        frame_formats=(SMALL,),
        waveform=WaveformFormat(sample_rate=8000),
    )


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until(condition, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


@pytest.mark.parametrize("num_workers", [1, 3])
def test_clips_come_in_the_order_of_the_jobs(recording, num_workers):
    names = [[f"{job}-{clip}" for clip in range(1 + job % 4)] for job in range(12)]
    with DecodePool(num_workers) as pool:
        decoded = list(pool.decode(job_of(recording, *each) for each in names))
    assert [clip.clip_id for clip in decoded] == [name for each in names for name in each]
    for clip in decoded:
        assert (clip.frames_status, clip.waveform_status) == ("ok", "ok")
        number = int(clip.clip_id.split("-")[1])
        assert clip.waveform[0, 0] == 1000 + 5 * number
        assert clip.frames[SMALL].mean() == pytest.approx(8 * (5 * number + 2), abs=3)


def test_a_child_that_dies_costs_the_clip_it_held(recording, faulty_child):
    jobs = [job_of(recording, "a", "segfault", "b"), job_of(recording, "c", "exit")]
    with DecodePool(2, child_command=faulty_child) as pool:
        decoded = {clip.clip_id: clip for clip in pool.decode(jobs)}
    assert list(decoded) == ["a", "segfault", "b", "c", "exit"]
    assert [decoded[name].frames_status for name in "abc"] == ["ok"] * 3
    assert decoded["b"].waveform[0, 0] == 1010
    lost = decoded["segfault"]
    assert (lost.frames_status, lost.waveform_status) == ("crashed", "crashed")
    assert lost.frames_reason == lost.waveform_reason == "the decoder died of SIGSEGV"
    assert "exit code 3" in decoded["exit"].frames_reason


def test_a_clip_is_tried_again_in_a_fresh_child(recording, faulty_child):
    with DecodePool(1, child_command=faulty_child) as pool:
        decoded = list(pool.decode([job_of(recording, "a", "once", "b")]))
    assert [clip.frames_status for clip in decoded] == ["ok", "ok", "ok"]
    assert [clip.waveform[0, 0] for clip in decoded] == [1000, 1005, 1010]


def test_a_child_that_hangs_is_killed_at_the_time_limit(recording, faulty_child):
    with DecodePool(1, DecodeLimits(clip_seconds=1.0), child_command=faulty_child) as pool:
        before = time.monotonic()
        decoded = list(pool.decode([job_of(recording, "a", "hang", "b")]))
        assert time.monotonic() - before < 20
    assert [clip.frames_status for clip in decoded] == ["ok", "timeout", "ok"]
    assert decoded[1].waveform_reason == "decoding took over 1 s"


def test_a_child_that_gets_on_may_take_longer_than_one_that_does_not(recording, faulty_child):
    patient = DecodeLimits(no_progress_seconds=2.5, clip_seconds=60)
    with DecodePool(1, patient, child_command=faulty_child) as pool:
        decoded = list(pool.decode([job_of(recording, "a", "slow", "hang", "b")]))
    assert [clip.frames_status for clip in decoded] == ["ok", "ok", "timeout", "ok"]
    assert decoded[2].frames_reason == "nothing was decoded for 2.5 s"


def test_a_child_that_gets_on_for_ever_is_killed_as_well(recording, faulty_child):
    strict = DecodeLimits(no_progress_seconds=2.5, clip_seconds=2.6)
    with DecodePool(1, strict, child_command=faulty_child) as pool:
        decoded = list(pool.decode([job_of(recording, "slow", "b")]))
    assert [clip.frames_status for clip in decoded] == ["timeout", "ok"]
    assert decoded[0].frames_reason == "decoding took over 2.6 s"


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="signals")
def test_a_child_that_is_stopped_is_a_child_that_hangs(recording):
    limits = DecodeLimits(no_progress_seconds=2.0)
    with DecodePool(1, limits) as pool:
        clips = pool.decode([job_of(recording, *"abcdefghijkl")])
        first = next(clips)
        # Clips that were decoded ahead are whole; the one in hand is tried again and is whole too.
        (child,) = pool._busy
        os.kill(child._process.pid, signal.SIGSTOP)
        decoded = [first, *clips]
        assert child._process.returncode == -signal.SIGKILL
        assert child._overrun == "nothing was decoded for 2 s"
    assert [clip.clip_id for clip in decoded] == list("abcdefghijkl")
    assert {clip.waveform_status for clip in decoded} <= {"ok", "too_short"}


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="signals")
def test_a_child_that_does_not_even_listen_is_a_child_that_hangs(recording):
    with DecodePool(1, DecodeLimits(no_progress_seconds=3.0)) as pool:
        list(pool.decode([job_of(recording, "a")]))
        (child,) = pool._idle
        os.kill(child._process.pid, signal.SIGSTOP)
        # More than fits into a pipe: whoever sends it waits for a reader.
        long_name = "b" * 2**20
        (clip,) = pool.decode([job_of(recording, long_name)])
        assert child._overrun == "nothing was heard for 3 s"
    assert (clip.clip_id, clip.frames_status) == (long_name, "ok")


def test_a_file_may_take_longer_to_come_than_to_decode(recording, faulty_child):
    limits = DecodeLimits(no_progress_seconds=2.9, clip_seconds=3.0, fetch_seconds=60.0)
    with DecodePool(1, limits, child_command=faulty_child) as pool:
        (clip,) = pool.decode([job_of(recording, "far")])
    assert clip.frames_status == "ok"


def test_a_file_that_never_comes_is_given_up(recording, faulty_child):
    limits = DecodeLimits(no_progress_seconds=10.0, clip_seconds=10.0, fetch_seconds=1.5)
    with DecodePool(1, limits, child_command=faulty_child) as pool:
        far, near = pool.decode([job_of(recording, "far", "b")])
    assert (far.frames_status, near.frames_status) == ("timeout", "ok")
    assert far.frames_reason == "fetching took over 1.5 s"


@pytest.mark.skipif(sys.platform != "linux", reason="no limit is kept elsewhere")
def test_a_clip_that_needs_too_much_memory_says_so(recording, faulty_child):
    limits = DecodeLimits(memory_bytes=2**30)
    jobs = [job_of(recording, "a", "hungry", "b"), job_of(recording, "starved")]
    with DecodePool(1, limits, child_command=faulty_child) as pool:
        decoded = {clip.clip_id: clip for clip in pool.decode(jobs)}
    assert [decoded[name].frames_status for name in "ab"] == ["ok", "ok"]
    for name in ("hungry", "starved"):
        assert decoded[name].frames_status == "crashed"
        assert decoded[name].waveform_reason == "the decoder needed more than 1024 MB of memory"


@pytest.mark.skipif(sys.platform != "linux", reason="no limit is kept elsewhere")
def test_pictures_that_do_not_fit_into_memory_cost_the_clip_and_not_the_child(tmp_path):
    path = tmp_path / "large.mkv"
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=2)
        video.width, video.height, video.pix_fmt = 4096, 4096, "yuv420p"
        picture = av.VideoFrame(4096, 4096, "yuv420p")
        for packet in (*video.encode(picture), *video.encode(None)):
            container.mux(packet)
    # The libraries alone take some of it; a picture of RGB is 48 MB.
    for memory, expected in ((2**30, "ok"), (2**27 + 2**25, "decode_error")):
        with DecodePool(1, DecodeLimits(memory_bytes=memory)) as pool:
            (clip,) = pool.decode([replace(job_of(str(path), "a"), waveform=None)])
            assert clip.frames_status == expected, clip.frames_reason
    assert "more memory than 160 MB" in clip.frames_reason


def test_a_lost_clip_has_a_status_only_for_what_was_asked(recording, faulty_child):
    request = ClipRequest(clip_id="exit", start_seconds=0, duration_seconds=1, instants=())
    job = DecodeJob(
        streams={"audio": recording}, clips=(request,), clip_seconds=1, waveform=WaveformFormat()
    )
    with DecodePool(1, child_command=faulty_child) as pool:
        (clip,) = pool.decode([job])
    assert (clip.frames_status, clip.waveform_status) == ("skipped", "crashed")


def test_files_are_probed_in_order(recording, faulty_child, tmp_path):
    bad = tmp_path / "bad.mp4"
    bad.write_text("nothing")
    paths = [recording, str(bad), "segfault.mp4", recording]
    with DecodePool(2, child_command=faulty_child) as pool:
        first, second, third, fourth = pool.probe(paths)
    assert isinstance(first, MediaInfo)
    assert first.duration_seconds == pytest.approx(3.0, abs=0.1)
    assert first == fourth
    assert isinstance(second, MediaError)
    assert second.status == "decode_error"
    assert isinstance(third, MediaError)
    assert (third.status, third.reason) == ("crashed", "segfault.mp4: the decoder died of SIGSEGV")


def test_jobs_are_taken_only_a_little_ahead(recording):
    taken = []

    def endless():
        while True:
            taken.append(len(taken))
            yield job_of(recording, *"abcdef")

    with DecodePool(2) as pool:
        clips = pool.decode(endless())
        for _ in range(5):
            next(clips)
        time.sleep(0.5)
        assert len(taken) <= 10
        clips.close()


BIG = FrameFormat(height=512, width=512)
BIG_BYTES = 512 * 512 * 3


def big_job(recording, *clip_ids):
    return replace(job_of(recording, *clip_ids), frame_formats=(BIG,), waveform=None)


@pytest.mark.parametrize("num_workers", [1, 3])
@pytest.mark.parametrize("bytes_ahead", [0, BIG_BYTES * 3, 2**30])
def test_clips_come_in_order_whatever_may_wait(recording, num_workers, bytes_ahead):
    # Also where not one clip fits: the one whose turn it is always may.
    names = [[f"{job}-{clip}" for clip in range(3)] for job in range(5)]
    with DecodePool(num_workers, bytes_ahead=bytes_ahead) as pool:
        decoded = list(pool.decode(big_job(recording, *each) for each in names))
    assert [clip.clip_id for clip in decoded] == [name for each in names for name in each]
    assert all(clip.frames[BIG].nbytes == BIG_BYTES for clip in decoded)


def test_clips_wait_only_up_to_a_number_of_bytes(recording, monkeypatch):
    boxes = []

    class Watched(pool_module._Box):
        def __init__(self, room):
            boxes.append(self)
            super().__init__(room)

    monkeypatch.setattr(pool_module, "_Box", Watched)
    most = 5 * BIG_BYTES
    with DecodePool(3, bytes_ahead=most) as pool:
        # No job alone fills the room, however far one child is ahead of the others.
        clips = pool.decode(big_job(recording, *"abc") for _ in range(8))
        next(clips)
        room = boxes[0].room
        # All that fits waits, of several jobs at once, and no more.
        assert wait_until(lambda: room.num_bytes > most - BIG_BYTES - 10_000)
        time.sleep(0.5)
        assert room.num_bytes <= most + BIG_BYTES + 2**10
        assert sum(bool(box._values) for box in boxes) > 1
        assert len(list(clips)) == 23
        assert room.num_bytes == 0


def test_a_recording_in_many_jobs_is_the_recording_in_one(recording):
    whole = job_of(recording, *"abcdef")
    with DecodePool(2) as pool:
        expected = list(pool.decode([whole]))
        parts = list(pool.decode(replace(whole, clips=(clip,)) for clip in whole.clips))
    for one, other in zip(expected, parts, strict=True):
        assert (one.clip_id, one.frames_status) == (other.clip_id, other.frames_status)
        assert np.array_equal(one.frames[SMALL], other.frames[SMALL])
        assert np.array_equal(one.waveform, other.waveform)


@pytest.mark.skipif(sys.platform != "linux", reason="shared memory")
def test_pictures_leave_a_child_through_shared_memory_and_nothing_stays(recording, faulty_child):
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    names = set(Path("/dev/shm").iterdir())
    with DecodePool(1, child_command=faulty_child) as pool:
        seen = list(pool.decode([big_job(recording, "a", "b"), big_job(recording, "segfault")]))
        large = seen[0]
        # Its memory belongs to it: the next message did not change it.
        assert large.frames[BIG].mean() == pytest.approx(8 * 2, abs=3)
        assert [clip.frames_status for clip in seen] == ["ok", "ok", "crashed"]
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors
    assert set(Path("/dev/shm").iterdir()) == names


def test_pictures_come_through_the_pipe_where_memory_cannot_be_shared(recording, monkeypatch):
    monkeypatch.setattr(SharedRegion, "create", classmethod(lambda cls: None))
    with DecodePool(1) as pool:
        first, second = pool.decode([big_job(recording, "a", "b")])
    assert [clip.frames_status for clip in (first, second)] == ["ok", "ok"]
    assert second.frames[BIG].mean() == pytest.approx(8 * 7, abs=3)


def test_an_idle_pool_starts_no_child():
    pool = DecodePool(4, child_command=("/no/such/program",))
    assert list(pool.decode([])) == []
    pool.close()


@pytest.mark.parametrize("until", ["finished", "abandoned"])
def test_closing_leaves_no_process_and_no_thread(recording, until):
    threads = threading.active_count()
    pool = DecodePool(2)
    clips = pool.decode(job_of(recording, *"abcdef") for _ in range(8))
    next(clips)
    with pool._lock:
        pids = [child._process.pid for child in (*pool._busy, *pool._idle)]
    assert pids
    if until == "finished":
        list(clips)
    pool.close()
    assert not any(alive(pid) for pid in pids)
    assert wait_until(lambda: threading.active_count() == threads)


def test_whoever_waits_when_a_pool_is_closed_is_told(recording, faulty_child):
    pool = DecodePool(1, child_command=faulty_child)
    threading.Timer(1.0, pool.close).start()
    with pytest.raises(AvkdError, match="were ended"):
        list(pool.decode([job_of(recording, "hang")]))
    pool.close()


def test_an_abandoned_reading_does_not_confuse_the_next(recording):
    with DecodePool(1) as pool:
        first = pool.decode([job_of(recording, *"abcdef")] * 3)
        next(first)
        first.close()
        decoded = list(pool.decode([job_of(recording, "x", "y")]))
    assert [clip.clip_id for clip in decoded] == ["x", "y"]


def test_an_error_of_the_jobs_reaches_the_caller(recording):
    def jobs():
        yield job_of(recording, "a")
        raise KeyError("no such recording")

    with DecodePool(1) as pool, pytest.raises(KeyError):
        list(pool.decode(jobs()))


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        ((sys.executable, "-c", "raise SystemExit('no decoder here')"), "no decoder here"),
        ((sys.executable, "-c", "print('this is no greeting')"), "does not start"),
        (("/no/such/program",), "/no/such/program"),
    ],
)
def test_children_that_do_not_start_are_an_error_of_the_run(recording, command, complaint):
    with (
        DecodePool(1, child_command=command) as pool,
        pytest.raises(AvkdError, match=complaint),
    ):
        list(pool.decode([job_of(recording, "a")]))


def test_a_child_that_talks_nonsense_is_given_up(recording):
    nonsense = FAULTY_CHILD.replace(
        "serving.decode_clips = decode",
        "serving.answer = lambda request, replies: (replies.write(b'~' * 99), replies.flush())",
    )
    with DecodePool(1, child_command=(sys.executable, "-c", nonsense, "")) as pool:
        (clip,) = pool.decode([job_of(recording, "a")])
    assert clip.frames_status == "crashed"


def test_children_are_replaced_after_many_jobs(recording):
    pids = set()
    with DecodePool(1, DecodeLimits(jobs_per_child=2)) as pool:
        for _ in range(4):
            list(pool.decode([job_of(recording, "a")]))
            pids |= {child._process.pid for child in pool._idle}
        assert len(list(pool.decode([job_of(recording, "a")]))) == 1
    assert len(pids) == 2


IN_A_PROCESS = """
from avkd.pipeline.decoding.pool import DecodePool
with DecodePool(2) as pool:
    results.put([clip.frames_status for clip in pool.decode([job])])
"""


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_daemonic_process_may_have_a_pool(recording, method):
    # dask's workers are daemonic, which forbids children by multiprocessing.
    context = multiprocessing.get_context(method)
    results = context.Queue()
    names = {"results": results, "job": job_of(recording, "a", "b")}
    process = context.Process(target=exec, args=(IN_A_PROCESS, names), daemon=True)
    process.start()
    assert results.get(timeout=30) == ["ok", "ok"]
    process.join(10)
    assert process.exitcode == 0


PARENT = """
import signal, sys
# Tests that a shell runs in the background begin with SIGINT ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.path.insert(0, {folder!r})
from avkd.pipeline.decoding.pool import DecodePool
from avkd.stages.media.wire import ClipRequest, DecodeJob
from avkd.stages.types import FrameFormat
clip = ClipRequest(clip_id="hang", start_seconds=0, duration_seconds=1, instants=(0.5,))
job = DecodeJob(streams={{"rgb": {recording!r}}}, clips=(clip,), clip_seconds=1,
                frame_formats=(FrameFormat(height=16, width=16),))
with DecodePool(2, child_command={command!r}) as pool:
    clips = pool.decode([job] * 2)
    import threading, time
    def tell():
        while len(pool._busy) < 2: time.sleep(0.01)
        time.sleep(0.3)
        print(*(child._process.pid for child in pool._busy), flush=True)
    threading.Thread(target=tell, daemon=True).start()
    next(clips)
"""


@pytest.fixture
def hanging_parent(recording, faulty_child, tmp_path):
    """A parent, in a process group of its own, that waits for two hanging children."""
    script = PARENT.format(folder=str(tmp_path), recording=recording, command=faulty_child)
    parent = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    yield parent
    parent.kill()
    parent.wait()
    parent.stdout.close()
    parent.stderr.close()


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_killed_parent_leaves_no_orphans(hanging_parent):
    pids = [int(pid) for pid in hanging_parent.stdout.readline().split()]
    assert len(pids) == 2
    hanging_parent.kill()
    hanging_parent.wait()
    assert wait_until(lambda: not any(alive(pid) for pid in pids))


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_ctrl_c_is_heard_by_the_parent_alone(hanging_parent):
    pids = [int(pid) for pid in hanging_parent.stdout.readline().split()]
    # A terminal sends it to the whole group.
    os.killpg(hanging_parent.pid, signal.SIGINT)
    said = hanging_parent.stderr.read().decode()
    assert hanging_parent.wait(10) != 0
    assert said.count("Traceback") == 1
    assert said.strip().endswith("KeyboardInterrupt")
    assert wait_until(lambda: not any(alive(pid) for pid in pids))


def test_a_silent_recording_of_the_standard_library_is_read(tmp_path):
    path = tmp_path / "silence.wav"
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(16_000))
    with DecodePool(1) as pool:
        (clip,) = pool.decode([job_of(str(path), "a")])
    assert (clip.frames_status, clip.waveform_status) == ("no_video", "ok")
    assert clip.waveform.shape == (1, 4000)
