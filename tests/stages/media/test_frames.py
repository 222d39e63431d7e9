import numpy as np
import pytest

from avkd.errors import MediaError
from avkd.stages.media import file_look, pyav_reader
from avkd.stages.media.file_identity import KnownFiles
from avkd.stages.media.frames import open_frames, read_frames, read_pictures
from avkd.stages.media.pyav_reader import PyavReader
from avkd.stages.types import FrameFormat

SMALL = FrameFormat(height=24, width=24)
INSTANTS = [0.0, 0.11, 0.5, 0.51, 0.9, 1.3, 1.31, 1.9]


def numbers(reader, instants, media):
    return [None if p is None else media.read_number(p) for p in reader.read(instants)]


@pytest.mark.parametrize("name", ["h264.mp4", "vp8.webm", "mjpeg.avi", "bframes.avi"])
def test_the_picture_on_screen_is_the_one_that_was_drawn_for_it(recordings, media, name):
    with open_frames(str(recordings / name)) as reader:
        assert numbers(reader, INSTANTS, media) == [int(t * 25 + 1e-6) for t in INSTANTS]


def test_instants_that_do_not_ascend_are_refused(recordings):
    with (
        open_frames(str(recordings / "h264.mp4")) as reader,
        pytest.raises(ValueError, match=r"\[0.5, 0.4\] do not ascend"),
    ):
        list(reader.read([0.5, 0.4]))


def test_pictures_of_a_variable_rate_are_chosen_by_their_times(recordings, media):
    times = np.array(media.VFR_TIMES)
    instants = [0.01, 0.79, 0.9, 0.99, 1.001, 1.5, 2.2, 2.305, 2.32, 2.89, 2.9]
    expected = [int(np.searchsorted(times, t + 1e-6, side="right")) - 1 for t in instants]
    for reader in (open_frames, PyavReader):
        opened = reader(str(recordings / "vfr.mp4"))
        if reader is PyavReader:
            assert numbers(opened, instants, media) == expected
        else:
            with opened as chosen:
                assert numbers(chosen, instants, media) == expected


def test_ntsc_pictures_are_chosen_by_their_times(recordings, media):
    instants = [i * 1001 / 30000 + 0.002 for i in range(0, 60, 7)]
    with open_frames(str(recordings / "ntsc.mkv")) as reader:
        assert numbers(reader, instants, media) == list(range(0, 60, 7))


@pytest.mark.parametrize("name", ["h264.ts", "mpeg2.mpg"])
def test_transport_streams_are_read_in_order_from_their_first_picture(recordings, media, name):
    with open_frames(str(recordings / name)) as reader:
        # The sound starts up to a packet before the pictures: the clock starts there.
        assert numbers(reader, [0.05 + i / 25 for i in range(0, 48, 5)], media) == [
            pytest.approx(i, abs=1) for i in range(1, 49, 5)
        ]


def test_what_an_edit_list_hides_is_not_shown(recordings, media):
    # Picture 18, the first that is shown, starts the clock.
    with open_frames(str(recordings / "edit_list.mp4")) as reader:
        assert numbers(reader, [0.01, 0.21, 1.21], media) == [18, 23, 48]


@pytest.mark.parametrize(
    ("name", "quarter_turns"), [("rotated90.mp4", 1), ("rotated180.mp4", 2), ("rotated270.mp4", 3)]
)
def test_turned_recordings_are_upright(recordings, name, quarter_turns):
    with open_frames(str(recordings / "h264.mp4")) as reader:
        plain = list(reader.read(INSTANTS))
    with open_frames(str(recordings / name)) as reader:
        turned = list(reader.read(INSTANTS))
    for flat, upright in zip(plain, turned, strict=True):
        assert np.array_equal(np.rot90(flat, quarter_turns), upright)


def test_a_large_file_is_read_by_its_index_with_the_same_pictures(recordings, monkeypatch):
    path = str(recordings / "h264.mp4")
    before = read_frames(path, INSTANTS, [SMALL])[SMALL]
    monkeypatch.setattr(file_look, "_LARGEST_BYTES", 10)
    monkeypatch.setattr(file_look, "_looks", KnownFiles())
    assert np.array_equal(read_frames(path, INSTANTS, [SMALL])[SMALL], before)


@pytest.mark.parametrize("name", ["long.mp4", "long.mkv", "long.ts", "long.mpg", "long.avi"])
def test_a_jump_gives_the_pictures_of_a_reading_from_the_start(long_recordings, media, name):
    path = str(long_recordings / name)
    instants = [14.2, 15.0, 27.6, 39.0, 39.2]
    jumped = numbers(PyavReader(path), instants, media)
    walked_instants = sorted({*instants, *np.arange(1, 40, 5.0)})
    walked = dict(
        zip(walked_instants, numbers(PyavReader(path), walked_instants, media), strict=True)
    )
    assert jumped == [walked[instant] for instant in instants]
    rate = 25 if name == "long.mpg" else 5
    assert jumped == [pytest.approx(instant * rate, abs=1.01) for instant in instants]


def test_pictures_without_times_follow_one_another(tmp_path, write, media):
    path = str(write(tmp_path / "pictures.h264", media.Video()))
    with open_frames(path) as reader:
        assert numbers(reader, INSTANTS, media) == [int(t * 25 + 1e-6) for t in INSTANTS]


def test_a_jump_that_fails_is_walked_instead(long_recordings, media, monkeypatch):
    reader = PyavReader(str(long_recordings / "long.mp4"))
    # As if every jump landed behind its target.
    monkeypatch.setattr(pyav_reader, "_SEEK_MARGINS_SECONDS", (-10.0,))
    assert numbers(reader, [20.1, 35.1], media) == [100, 175]


@pytest.mark.parametrize(
    "name", ["h264.mp4", "bframes.avi", "h264.ts", "ntsc.mkv", "late_sound.mp4"]
)
def test_a_whole_file_with_sound_that_is_read_to_its_last_picture_has_no_damage(recordings, name):
    instants = np.arange(0.0, 3.0, 0.04)
    with open_frames(str(recordings / name)) as reader:
        pictures = read_pictures(reader, instants, [SMALL])
        assert 45 <= pictures.num_frames < len(instants)
        assert reader.num_damaged(0.0, 60.0) == 0


def test_pictures_after_the_end_are_missing_and_counted(recordings):
    with open_frames(str(recordings / "h264.mp4")) as reader:
        pictures = read_pictures(reader, [1.5, 1.99, 2.04, 2.2, 9.0], [SMALL])
    assert pictures.num_frames == 3
    assert pictures.frames[SMALL].shape == (5, 24, 24, 3)
    assert pictures.frames[SMALL][:3].any(axis=(1, 2, 3)).all()
    assert not pictures.frames[SMALL][3:].any()
    assert pictures.damage == "pictures end at 2.00 s: 2 of 5 missing, the last wanted at 9.00 s"


@pytest.mark.parametrize(("name", "num_frames"), [("half.mp4", 5), ("half.mkv", 4)])
def test_a_file_that_breaks_off_gives_what_is_there(recordings, name, num_frames):
    instants = np.arange(0.125, 2.0, 0.25)
    with open_frames(str(recordings / name)) as reader:
        pictures = read_pictures(reader, instants, [SMALL])
    assert pictures.num_frames == pytest.approx(num_frames, abs=1)
    assert "missing" in pictures.damage
    with pytest.raises(MediaError, match="missing") as caught:
        read_frames(str(recordings / name), instants, [SMALL])
    assert caught.value.status == "partial"


def test_flipped_bytes_are_noticed_by_number(recordings):
    with open_frames(str(recordings / "flipped.mp4")) as reader:
        good = read_pictures(reader, [0.1, 0.2], [SMALL])
        bad = read_pictures(reader, [1.0, 1.8], [SMALL])
    assert good.damage == ""
    assert bad.num_frames == 2
    assert "damaged pictures" in bad.damage


def test_formats_are_scaled_apart_from_each_other(recordings):
    large = FrameFormat(height=40, width=40)
    path = str(recordings / "h264.mp4")
    both = read_frames(path, INSTANTS, [SMALL, large])
    assert np.array_equal(both[SMALL], read_frames(path, INSTANTS, [SMALL])[SMALL])
    assert both[large].shape == (len(INSTANTS), 40, 40, 3)


@pytest.mark.parametrize(
    ("name", "status"),
    [("sound.wav", "no_video"), ("text.mp4", "decode_error"), ("no_index.mp4", "no_video")],
)
def test_a_file_without_pictures_says_so(recordings, name, status):
    with pytest.raises(MediaError) as caught:
        read_frames(str(recordings / name), [0.5], [SMALL])
    assert caught.value.status == status
