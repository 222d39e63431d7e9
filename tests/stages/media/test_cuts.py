"""A clip is the same however its recording is cut into jobs, and wherever a reader jumps in."""

import os
from contextlib import suppress
from dataclasses import replace
from itertools import accumulate
from pathlib import Path

import av
import numpy as np
import pytest
from av.error import InvalidDataError

from avkd.errors import MediaError
from avkd.stages.media import kept_reader
from avkd.stages.media.clips import decode_clips
from avkd.stages.media.file_look import look_at_file
from avkd.stages.media.frames import open_reader
from avkd.stages.media.pyav_reader import PyavReader
from avkd.stages.media.wire import ClipRequest, DecodeJob
from avkd.stages.types import FrameFormat, WaveformFormat

SMALL = FrameFormat(height=24, width=24)
WHOLE = [
    *("long_gop.mp4", "open_gop.mp4", "open_gop.mkv", "open_gop_hevc.mp4", "refreshed.mkv"),
    *("uneven.mp4", "ten_bit.mkv", "h264.ts", "mpeg2.ts", "mpeg2.mpg", "vp8.webm"),
    *("mpeg4.mp4", "mpeg4.avi"),
]
BROKEN = ["cut.mp4", "cut.mkv", "garbled.mp4", "garbled.mkv", "flipped.mp4", "flipped.mkv"]
INSTANTS = [0.3, 1.9, 2.0, 7.31, 12.0, 12.9, 13.1, 13.3, 19.7, 23.6, 23.9]


def job_of(path, num_clips=8, seconds=3.0):
    clips = tuple(
        ClipRequest(
            clip_id=f"clip-{number}",
            start_seconds=seconds * number,
            duration_seconds=seconds,
            instants=tuple(seconds * number + seconds * part / 6 for part in (1, 3, 5)),
        )
        for number in range(num_clips)
    )
    return DecodeJob(
        streams={"rgb": str(path), "audio": str(path)},
        clips=clips,
        clip_seconds=seconds,
        frame_formats=(SMALL,),
        waveform=WaveformFormat(sample_rate=16_000),
    )


def cut(job, size):
    parts = (job.clips[first : first + size] for first in range(0, len(job.clips), size))
    return [replace(job, clips=part) for part in parts]


def assert_same(clip, other):
    for name in ("clip_id", "frames_status", "frames_reason", "num_frames"):
        assert getattr(clip, name) == getattr(other, name)
    assert (clip.waveform_status, clip.waveform_reason) == (
        other.waveform_status,
        other.waveform_reason,
    )
    assert clip.frames.keys() == other.frames.keys()
    assert all(np.array_equal(clip.frames[each], other.frames[each]) for each in clip.frames)
    assert np.array_equal(clip.waveform, other.waveform)


@pytest.fixture(autouse=True)
def nothing_kept():
    kept_reader._close(kept_reader._shelf.swap(None))


@pytest.mark.parametrize("name", [*WHOLE, *BROKEN])
def test_a_clip_is_the_same_however_its_recording_is_cut(jumpy_recordings, name):
    job = job_of(jumpy_recordings / name)
    expected = list(decode_clips(job))
    statuses = [clip.frames_status for clip in expected]
    assert statuses[0] == "ok"
    assert (set(statuses) == {"ok"}) == (name in WHOLE), statuses
    # Backwards, so that no reader goes on where the one before was; forwards, so that all do.
    parts = cut(job, 3)
    backwards = [list(decode_clips(part)) for part in (*reversed(parts), *reversed(cut(job, 1)))]
    forwards = [list(decode_clips(part)) for part in cut(job, 2)]
    by_id = {clip.clip_id: clip for clip in expected}
    for clip in (clip for part in (*backwards, *forwards) for clip in part):
        assert_same(clip, by_id[clip.clip_id])


@pytest.mark.parametrize("name", ["flipped.mp4", "flipped.mkv"])
def test_no_picture_of_a_damaged_group_is_called_whole(jumpy_recordings, name):
    path = str(jumpy_recordings / name)
    frames = []
    with av.open(path) as container:
        for packet in container.demux(video=0):
            with suppress(InvalidDataError):
                frames += [(frame.time, frame.is_corrupt) for frame in packet.decode()]
    # One of them has lost its time, and is behind others that are shown later.
    in_order = zip(frames, accumulate((time for time, _ in frames), max), strict=True)
    corrupt = [time for (time, is_corrupt), latest in in_order if is_corrupt and time == latest]
    assert len(corrupt) > 5
    job = replace(job_of(path), waveform=None)
    for time in corrupt[::2]:
        clip = replace(
            job.clips[0], start_seconds=time, duration_seconds=0.1, instants=(time + 0.01,)
        )
        (decoded,) = decode_clips(replace(job, clips=(clip,)))
        assert decoded.frames_status == "partial"
        assert "damaged pictures on the way" in decoded.frames_reason


def read_plainly(path, instants=INSTANTS):
    reader = PyavReader(path)
    reader._seekable = False
    pictures = list(reader.read(instants))
    reader.close()
    return pictures


def assert_pictures(reader, instants, expected):
    for ours, theirs in zip(reader.read(instants), expected, strict=True):
        assert np.array_equal(ours, theirs)
    reader.close()


@pytest.mark.parametrize("name", WHOLE)
def test_a_jump_does_not_show_in_the_pictures(jumpy_recordings, name):
    path = str(jumpy_recordings / name)
    expected = read_plainly(path)
    keys = look_at_file(path).keys
    assert_pictures(PyavReader(path, keys=keys), INSTANTS, expected)
    for instant, picture in zip(INSTANTS, expected, strict=True):
        assert_pictures(PyavReader(path, keys=keys), [instant], [picture])


AROUND_KEYS = [key + part / 10 + 0.01 for key in (4.0, 6.0) for part in range(-5, 6)]


@pytest.mark.parametrize(
    "name", ["open_gop.mp4", "open_gop.mkv", "open_gop_hevc.mp4", "whole.mp4", "vp8.webm"]
)
def test_pictures_around_a_key_picture_are_those_that_are_shown_there(jumpy_recordings, name):
    # In an open group, some are shown before their key picture and decoded after it.
    path = str(jumpy_recordings / name)
    expected = read_plainly(path, AROUND_KEYS)
    assert_pictures(open_reader(path, "rgb24"), AROUND_KEYS, expected)
    for instant, picture in zip(AROUND_KEYS, expected, strict=True):
        assert_pictures(open_reader(path, "rgb24"), [instant], [picture])


def hide_pictures(source, target, places):
    """Copies a VP8 file and says of some packets that their pictures are never shown."""
    with av.open(str(source)) as whole, av.open(str(target), "w") as copy:
        stream = whole.streams.video[0]
        out = copy.add_stream_from_template(stream)
        packets = [packet for packet in whole.demux(stream) if packet.size]
        for place, packet in enumerate(packets):
            content = bytearray(bytes(packet))
            content[0] &= 0xEF if place in places else 0xFF
            hidden = av.Packet(bytes(content))
            hidden.pts, hidden.dts, hidden.time_base = packet.pts, packet.dts, packet.time_base
            hidden.is_keyframe, hidden.stream = packet.is_keyframe, out
            copy.mux(hidden)
    return str(target)


@pytest.mark.parametrize("place", [43, 237])
def test_a_picture_that_is_never_shown_moves_no_other(jumpy_recordings, tmp_path, place):
    path = hide_pictures(jumpy_recordings / "vp8.webm", tmp_path / "hidden.webm", [place])
    instants = [place / 10 + part / 10 + 0.01 for part in range(-2, 3)]
    expected = read_plainly(path, instants)
    assert np.array_equal(expected[1], expected[2])
    assert not np.array_equal(expected[2], expected[3])
    for instant, picture in zip(instants, expected, strict=True):
        assert_pictures(open_reader(path, "rgb24"), [instant], [picture])


def test_the_end_of_a_large_file_that_broke_off_is_found_without_decoding_it(
    jumpy_recordings, tmp_path, monkeypatch
):
    from avkd.stages.media import file_look, pyav_reader

    # As if it were: its index tells of pictures that are not there, and jumps are short.
    monkeypatch.setattr(file_look, "_LARGEST_BYTES", 10)
    monkeypatch.setattr(pyav_reader, "_SEEK_MARGINS_SECONDS", (0.0, 0.5, 3.0))
    path = str(tmp_path / "cut.mp4")
    content = (jumpy_recordings / "whole.mp4").read_bytes()
    Path(path).write_bytes(content[: len(content) * 7 // 10])
    keys = look_at_file(path).keys
    assert keys[-1] > 20
    noted = []
    reader = PyavReader(path, keys=keys)
    reader._note = lambda frame: noted.append(frame.pts)
    # The clip that the end lies in, and one behind it.
    assert list(reader.read([22.5, 23.0])) == [None, None]
    assert list(reader.read([23.5])) == [None]
    assert 0 < len(noted) < 60
    assert 12 < reader.end_seconds() < 19
    plain = PyavReader(path)
    plain._seekable = False
    assert list(plain.read([23.5])) == [None]
    assert plain.end_seconds() == pytest.approx(reader.end_seconds(), abs=1e-6)


def test_a_failure_costs_the_clips_that_it_lies_in(jumpy_recordings):
    def broken(path):
        reader = PyavReader(path, keys=look_at_file(path).keys)
        real = reader._note

        def fail(frame):
            if 6 <= frame.pts * frame.time_base < 8:
                raise ValueError("no such luck")
            real(frame)

        reader._note = fail
        return reader

    path = str(jumpy_recordings / "whole.mp4")
    (expected,) = read_plainly(path, [15.1])
    one = broken(path)
    for instants in ([5.1, 7.1], [7.3]):
        with pytest.raises(MediaError, match="no such luck"):
            list(one.read(instants))
    # What a new reader gives, this one gives as well.
    assert_pictures(broken(path), [15.1], [expected])
    assert_pictures(one, [15.1], [expected])


@pytest.mark.parametrize("name", ["open_gop.mp4", "long_gop.mp4"])
def test_a_file_that_lies_about_its_keys_costs_time_and_no_picture(
    jumpy_recordings, tmp_path, name
):
    path = str(tmp_path / name)
    content = (jumpy_recordings / name).read_bytes()
    assert content.count(b"stss") == 1
    # Without a table of key pictures, all of them are.
    Path(path).write_bytes(content.replace(b"stss", b"free"))
    with av.open(path) as liar:
        entries = liar.streams.video[0].index_entries
        assert all(entry.is_keyframe for entry in entries)
    expected = read_plainly(str(jumpy_recordings / name))
    assert_pictures(open_reader(path, "rgb24"), INSTANTS, expected)
    for instant, picture in zip(INSTANTS[::4], expected[::4], strict=True):
        assert_pictures(open_reader(path, "rgb24"), [instant], [picture])


@pytest.mark.parametrize("name", ["open_gop.mp4", "open_gop.mkv", "uneven.mp4", "vp8.webm"])
def test_keys_that_are_none_cost_time_and_no_picture(jumpy_recordings, name):
    path = str(jumpy_recordings / name)
    lies = np.arange(0.0, 30.0, 0.23)
    assert_pictures(PyavReader(path, keys=lies), INSTANTS, read_plainly(path))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("open_gop.mkv", np.arange(0.0, 24.0, 2.0)),
        ("ten_bit.mkv", np.arange(0.0, 24.0, 2.0)),
        ("open_gop_hevc.mp4", np.arange(0.0, 24.0, 2.0)),
        ("mpeg4.mp4", None),
        ("refreshed.mkv", None),
        ("h264.ts", None),
    ],
)
def test_key_pictures_are_known_where_a_file_has_an_index(jumpy_recordings, name, expected):
    keys = look_at_file(str(jumpy_recordings / name)).keys
    if expected is None:
        assert keys is None
    else:
        np.testing.assert_allclose(keys, expected, atol=0.11)


@pytest.mark.parametrize("name", ["ten_bit.mkv", "open_gop.mp4"])
def test_a_reader_jumps_to_a_key_picture_on_its_way(jumpy_recordings, name):
    path = str(jumpy_recordings / name)
    nums = []
    for keys in (None, look_at_file(path).keys):
        reader = PyavReader(path, keys=keys)
        noted = []
        reader._note = noted.append
        assert all(picture is not None for picture in reader.read([0.5, 6.5, 14.5, 20.5]))
        nums.append(len(noted))
        reader.close()
    assert nums[1] < nums[0] / 2


def test_a_reader_is_kept_for_the_next_job_of_its_file(jumpy_recordings, monkeypatch):
    opened = []
    real = kept_reader.open_reader
    monkeypatch.setattr(kept_reader, "open_reader", lambda *a: opened.append(a) or real(*a))
    job = job_of(jumpy_recordings / "long_gop.mp4")
    for part in cut(job, 2):
        assert [clip.frames_status for clip in decode_clips(part)] == ["ok", "ok"]
    assert len(opened) == 1
    # An earlier clip needs one that stands before it.
    list(decode_clips(cut(job, 2)[0]))
    assert len(opened) == 2


def test_a_file_that_changed_is_opened_anew(tmp_path, write, media):
    path = tmp_path / "changing.mp4"
    for first in (0, 1):
        write(path, media.Video(gop=5 + first, b_frames=first))
        os.utime(path, ns=(first, first))
        (clip,) = decode_clips(job_of(path, 1, 1.0))
        assert clip.frames_status == "ok"
    # Written over by something as long, and dated back.
    status, content = path.stat(), path.read_bytes()
    path.write_bytes(bytes(len(content)))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    (clip,) = decode_clips(replace(job_of(path, 2, 1.0), clips=job_of(path, 2, 1.0).clips[1:]))
    assert clip.frames_status == "decode_error"
    path.write_bytes(b"nothing")
    (clip,) = decode_clips(replace(job_of(path, 2, 1.0), clips=job_of(path, 2, 1.0).clips[1:]))
    assert clip.frames_status == "decode_error"
    path.unlink()
    (clip,) = decode_clips(job_of(path, 1, 1.0))
    assert "no such file" in clip.frames_reason


def test_a_file_is_looked_at_once_for_many_jobs(jumpy_recordings, tmp_path, monkeypatch):
    from avkd.stages.media import file_look

    looked = []
    real = file_look._look
    monkeypatch.setattr(file_look, "_look", lambda path: looked.append(path) or real(path))
    path = tmp_path / "copy.mp4"
    path.write_bytes((jumpy_recordings / "long_gop.mp4").read_bytes())
    for part in reversed(cut(job_of(path), 4)):
        list(decode_clips(part))
    assert looked == [str(path)]
