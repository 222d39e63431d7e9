"""decord beside PyAV: the same pictures where it is believed, and PyAV's everywhere else."""

import subprocess
import sys
from dataclasses import replace

import av
import numpy as np
import pytest

from avkd.stages.media import decord_reader, kept_reader
from avkd.stages.media.clips import decode_clips
from avkd.stages.media.decord_reader import DecordReader, open_if_believed
from avkd.stages.media.frames import open_reader, read_pictures
from avkd.stages.media.pyav_reader import PyavReader
from avkd.stages.media.timeline import plain_timeline
from avkd.stages.media.wire import ClipRequest, DecodeJob
from avkd.stages.types import FrameFormat

decord = pytest.importorskip("decord")

SMALL = FrameFormat(height=24, width=24)
INSTANTS = [0.0, 0.11, 0.5, 0.51, 0.9, 1.3, 1.31, 1.9]
FAR = [0.3, 1.9, 2.0, 3.91, 4.01, 5.9, 6.1, 7.31, 12.9, 19.7, 23.6, 23.9]


@pytest.fixture(autouse=True)
def nothing_kept():
    kept_reader._close(kept_reader._shelf.swap(None))


def read_plainly(path, instants):
    reader = PyavReader(path)
    reader._seekable = False
    pictures = list(reader.read(instants))
    reader.close()
    return pictures


def assert_same(reader, instants, expected):
    for ours, theirs in zip(reader.read(instants), expected, strict=True):
        assert np.array_equal(ours, theirs)


def by_decord(path):
    reader = open_reader(path, "rgb24", "decord")
    assert isinstance(reader, DecordReader)
    return reader


@pytest.mark.parametrize(
    "name",
    ["h264.mp4", "ntsc.mkv", "vp8.webm", "vfr.mp4", "late_sound.mp4", "rotated180.mp4", "half.mkv"],
)
def test_both_give_the_same_pictures_of_an_ordinary_file(recordings, name):
    path = str(recordings / name)
    reader = by_decord(path)
    assert_same(reader, INSTANTS, read_plainly(path, INSTANTS))
    assert reader._pyav is None


@pytest.mark.parametrize("name", ["long_gop.mp4", "uneven.mp4", "vp8.webm", "whole.mp4"])
def test_both_give_the_same_pictures_wherever_one_jumps_in(jumpy_recordings, name):
    path = str(jumpy_recordings / name)
    expected = read_plainly(path, FAR)
    assert_same(by_decord(path), FAR, expected)
    for instant, picture in zip(FAR, expected, strict=True):
        assert_same(by_decord(path), [instant], [picture])


def test_both_give_the_same_pictures_of_closed_groups_of_hevc(tmp_path, write, media):
    closed = (("preset", "ultrafast"), ("x265-params", "open-gop=0:bframes=3:log-level=none"))
    path = str(write(tmp_path / "a.mp4", media.Video(codec="libx265", options=closed)))
    expected = read_plainly(path, INSTANTS)
    for instant, picture in zip(INSTANTS, expected, strict=True):
        assert_same(by_decord(path), [instant], [picture])


def test_both_turn_a_camera_picture_the_same_way(tmp_path, write, media):
    path = str(write(tmp_path / "a.mp4", media.Video(rotation=90, width=320, height=240)))
    (ours,) = by_decord(path).read([1.0])
    assert ours.shape == (320, 240, 3)
    assert np.array_equal(ours, *read_plainly(path, [1.0]))


@pytest.mark.parametrize(
    "name",
    [
        *("h264.ts", "mpeg2.mpg", "bframes.avi", "mjpeg.avi", "edit_list.mp4", "ten_bit.mkv"),
        *("half.mp4", "rotated90.mp4"),
    ],
)
def test_a_file_whose_times_decord_may_not_know_is_read_by_pyav(recordings, name):
    path = str(recordings / name)
    reader = open_reader(path, "rgb24", "decord")
    assert isinstance(reader, PyavReader)
    assert_same(reader, INSTANTS, read_plainly(path, INSTANTS))


@pytest.mark.parametrize("name", ["open_gop.mp4", "open_gop.mkv", "open_gop_hevc.mp4"])
def test_open_groups_of_pictures_are_read_by_pyav(jumpy_recordings, name):
    path = str(jumpy_recordings / name)
    with av.open(path) as container:
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"
    assert plain_timeline(path) is None
    assert isinstance(open_reader(path, "rgb24", "decord"), PyavReader)


def test_a_file_with_a_picture_that_is_never_shown_is_read_by_pyav(jumpy_recordings, tmp_path):
    source, path = str(jumpy_recordings / "vp8.webm"), str(tmp_path / "hidden.webm")
    with av.open(source) as whole, av.open(path, "w") as copy:
        stream = whole.streams.video[0]
        out = copy.add_stream_from_template(stream)
        for place, packet in enumerate(p for p in whole.demux(stream) if p.size):
            content = bytearray(bytes(packet))
            content[0] &= 0xEF if place == 43 else 0xFF
            hidden = av.Packet(bytes(content))
            hidden.pts, hidden.dts, hidden.time_base = packet.pts, packet.dts, packet.time_base
            hidden.is_keyframe, hidden.stream = packet.is_keyframe, out
            copy.mux(hidden)
    assert plain_timeline(source) is not None
    assert plain_timeline(path) is None
    assert isinstance(open_reader(path, "rgb24", "decord"), PyavReader)


def test_an_index_that_is_not_that_of_the_packets_is_not_believed(recordings):
    path = str(recordings / "h264.mp4")
    timeline, decoder = plain_timeline(path), decord_reader._open_decoder(path)
    assert decord_reader._agrees(decoder, timeline)
    moved = timeline.seconds.copy()
    moved[30] += 0.02
    for other in (
        replace(timeline, seconds=moved),
        replace(timeline, seconds=timeline.seconds[:-1]),
        replace(timeline, seconds=timeline.seconds * 1.01),
        replace(timeline, key_places=timeline.key_places + 1),
    ):
        assert not decord_reader._agrees(decoder, other)


def job_of(path, decoder):
    clips = tuple(
        ClipRequest(
            clip_id=f"clip-{number}",
            start_seconds=3.0 * number,
            duration_seconds=3.0,
            instants=tuple(3.0 * number + part / 2 for part in (1, 3, 5)),
        )
        for number in range(8)
    )
    return DecodeJob(
        streams={"rgb": str(path)},
        clips=clips,
        clip_seconds=3.0,
        frame_formats=(SMALL,),
        decoder=decoder,
    )


@pytest.mark.parametrize("name", ["flipped.mp4", "cut.mp4", "garbled.mp4", "whole.mp4", "h264.ts"])
def test_a_clip_that_decord_fails_at_is_what_it_is_by_pyav(jumpy_recordings, name):
    jobs = (job_of(jumpy_recordings / name, decoder) for decoder in ("pyav", "decord"))
    for plain, clip in zip(*map(decode_clips, jobs), strict=True):
        assert (clip.frames_status, clip.frames_reason) == (
            plain.frames_status,
            plain.frames_reason,
        )
        if plain.frames_status == "partial":
            assert np.array_equal(clip.frames[SMALL], plain.frames[SMALL])


def test_after_a_clip_that_it_failed_at_decord_goes_on(jumpy_recordings, monkeypatch):
    # decord itself fails at damage as it likes, not twice at the same place.
    decode = DecordReader._decode

    def fail_in_the_middle(self, index):
        if 13.0 <= self._timeline.seconds[index] < 15.0:
            raise decord_reader._DecordFailedError("damaged")
        return decode(self, index)

    monkeypatch.setattr(DecordReader, "_decode", fail_in_the_middle)
    path = str(jumpy_recordings / "whole.mp4")
    reader, plain = by_decord(path), open_reader(path, "rgb24", "pyav")
    is_by_pyav = []
    for first in (1.0, 13.0, 21.0):
        instants = [first, first + 1]
        found, expected = (read_pictures(each, instants, [SMALL]) for each in (reader, plain))
        np.testing.assert_array_equal(found.frames[SMALL], expected.frames[SMALL])
        is_by_pyav.append(reader._is_by_pyav)
    assert is_by_pyav == [False, True, False]
    reader.close()
    plain.close()


def test_pictures_that_a_file_declares_and_lacks_are_told(recordings):
    reader = by_decord(str(recordings / "half.mkv"))
    read = read_pictures(reader, [0.1, 1.9], [SMALL], until_seconds=2.0)
    assert read.num_frames == 1
    assert "1 of 2 missing" in read.damage
    assert "the file declares" in read_pictures(reader, [0.2], [SMALL], until_seconds=2.0).damage


def test_16_bit_gray_is_read_by_pyav_whoever_was_asked_for(tmp_path, write, media):
    path = str(write(tmp_path / "a.mkv", media.Video(codec="ffv1", pix_fmt="gray16le")))
    assert isinstance(open_reader(path, "gray16", "decord"), PyavReader)


def test_a_kept_reader_serves_the_decoder_that_it_was_opened_for(recordings):
    path = str(recordings / "h264.mp4")
    kinds = []
    for number, decoder in enumerate(("decord", "decord", "pyav")):
        with kept_reader.lend_frames(path, "rgb24", decoder, number, number + 1) as reader:
            kinds.append(reader)
    assert kinds[0] is kinds[1]
    assert isinstance(kinds[2], PyavReader)


def test_a_job_is_decoded_by_whom_it_names(jumpy_recordings):
    for decoder, kind in (("pyav", PyavReader), ("decord", DecordReader)):
        job = job_of(jumpy_recordings / "whole.mp4", decoder)
        assert [clip.frames_status for clip in decode_clips(job)] == ["ok"] * 8
        assert isinstance(kept_reader._shelf._kept.reader, kind)


def test_a_file_that_changed_is_judged_anew(tmp_path, recordings):
    path = tmp_path / "a.mp4"
    for name, is_believed in (("h264.mp4", True), ("edit_list.mp4", False), ("h264.mp4", True)):
        path.write_bytes((recordings / name).read_bytes())
        for _ in range(2):
            assert (open_if_believed(str(path)) is not None) == is_believed


def test_decord_is_imported_by_who_asks_for_it(recordings):
    script = """
import sys
from avkd.stages.media import child, serving
from avkd.stages.media.frames import open_reader
for decoder in ("pyav", "decord"):
    open_reader(sys.argv[1], "rgb24", decoder).close()
    print("decord" in sys.modules, "torch" in sys.modules)
"""
    answer = subprocess.run(
        [sys.executable, "-c", script, str(recordings / "h264.mp4")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.split() == ["False", "False", "True", "False"]


def test_every_file_is_read_where_decord_is_not_installed(recordings, monkeypatch):
    monkeypatch.setitem(sys.modules, "decord", None)
    monkeypatch.setattr(decord_reader, "_verdicts", decord_reader.KnownFiles())
    assert isinstance(open_reader(str(recordings / "h264.mp4"), "rgb24", "decord"), PyavReader)
