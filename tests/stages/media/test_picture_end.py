import pytest

from avkd.stages.media.container import open_container, video_stream
from avkd.stages.media.frames import open_frames, read_pictures
from avkd.stages.media.picture_end import PictureEnd, declared_pictures
from avkd.stages.types import FrameFormat

SMALL = FrameFormat(height=24, width=24)


def end_of(path):
    with open_container(str(path)) as container:
        declared = declared_pictures(container, video_stream(container))
    return PictureEnd(str(path), declared)


def cut(source, target, share):
    content = source.read_bytes()
    target.write_bytes(content[: int(len(content) * share)])
    return target


@pytest.mark.parametrize(
    "name",
    [
        *("h264.mp4", "vfr.mp4", "ntsc.mkv", "vp8.webm", "mjpeg.avi", "bframes.avi", "h264.ts"),
        *("mpeg2.mpg", "ten_bit.mkv", "rotated90.mp4", "late_sound.mp4", "late_sound.mkv"),
        *("edit_list.mp4", "short_sound.mp4", "short_sound.webm"),
    ],
)
def test_whole_files_lack_nothing(recordings, name):
    pictures = end_of(recordings / name)
    assert [pictures.shortfall(until) for until in (0.5, 1.0, 2.0, 60.0)] == [""] * 4


@pytest.mark.parametrize("name", ["long.mp4", "long.mkv", "long.ts", "long.avi"])
def test_whole_long_files_lack_nothing_wherever_one_asks(long_recordings, name):
    assert end_of(long_recordings / name).shortfall(40.0) == ""
    pictures = end_of(long_recordings / name)
    assert [pictures.shortfall(until) for until in (5.0, 30.0, 35.0, 40.0)] == [""] * 4


def test_a_file_that_breaks_off_is_short_only_where_it_is(long_recordings, tmp_path):
    path = cut(long_recordings / "long.mkv", tmp_path / "cut.mkv", 0.6)
    for walk in ((10.0, 20.0, 30.0, 40.0), (40.0,), (20.0, 40.0)):
        pictures = end_of(path)
        told = {until: pictures.shortfall(until) for until in walk}
        assert {until for until, said in told.items() if said} == {u for u in walk if u > 24.5}
        assert told[40.0].startswith("pictures end at 2")
        assert told[40.0].endswith("s, the file declares 40.00 s")


def test_pictures_that_end_before_the_sound_are_no_damage(tmp_path, write, media):
    # Written without a length of the pictures by themselves.
    times = [i / 25 for i in range(25)]
    path = write(tmp_path / "x.mkv", media.Video(times=times), media.Sound(codec="libopus"))
    whole = end_of(path)
    assert whole._declared.end_seconds == pytest.approx(1.0, abs=0.05)
    assert whole.shortfall(2.0) == ""


def test_a_clip_whose_pictures_are_all_there_is_short_where_its_file_is(recordings, tmp_path):
    path = cut(recordings / "ntsc.mkv", tmp_path / "cut.mkv", 0.7)
    with open_frames(str(path)) as reader:
        fine = read_pictures(reader, [0.5], [SMALL], until_seconds=1.0)
        short = read_pictures(reader, [1.1], [SMALL], until_seconds=2.0)
    assert (fine.num_frames, fine.damage) == (1, "")
    assert short.num_frames == 1
    assert "the file declares 2.0" in short.damage
