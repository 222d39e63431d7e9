import pytest

from avkd.errors import MediaError
from avkd.stages.media.probe import probe
from avkd.stages.types import MediaInfo


def test_a_recording_with_pictures_and_sound_is_described(recordings):
    info = probe(str(recordings / "h264.mp4"))
    assert info == MediaInfo(
        duration_seconds=info.duration_seconds,
        has_video=True,
        has_audio=True,
        width=128,
        height=48,
        frame_rate=25.0,
        sample_rate=48_000,
        num_channels=1,
    )
    assert info.duration_seconds == pytest.approx(2.0, abs=0.05)


@pytest.mark.parametrize(
    ("name", "has_video", "has_audio"),
    [
        ("vfr.mp4", True, False),
        ("vp8.webm", True, True),
        ("h264.ts", True, True),
        ("mpeg2.mpg", True, True),
        ("bframes.avi", True, True),
        ("sound_only.m4a", False, True),
        ("sound.mp3", False, True),
        ("sound.flac", False, True),
    ],
)
def test_streams_and_duration_are_told(recordings, name, has_video, has_audio):
    info = probe(str(recordings / name))
    assert (info.has_video, info.has_audio) == (has_video, has_audio)
    assert 1.9 < info.duration_seconds < 3.0


def test_a_duration_that_is_not_declared_is_measured(recordings, tmp_path, write, media):
    path = write(tmp_path / "stream.mkv", media.Video(), options={"live": "1"})
    assert probe(str(path)).duration_seconds == pytest.approx(2.0, abs=0.05)
    raw = write(tmp_path / "pictures.h264", media.Video())
    assert probe(str(raw)).duration_seconds == pytest.approx(2.0, abs=0.05)
    aac = write(tmp_path / "sound.aac", None, media.Sound())
    assert probe(str(aac)).duration_seconds == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize(
    "name",
    [
        *("zeros.mp4", "empty.mp4", "text.mp4", "no_index.mp4", "missing.mp4"),
        *("playlist.mp4", "concat.mp4"),
    ],
)
def test_what_is_no_media_file_is_an_error_of_one_line_that_names_it(recordings, name):
    with pytest.raises(MediaError) as caught:
        probe(str(recordings / name))
    assert caught.value.status == "decode_error"
    assert name in caught.value.reason
    assert "\n" not in caught.value.reason


def test_a_folder_is_no_recording(tmp_path):
    with pytest.raises(MediaError, match="a folder, not a file"):
        probe(str(tmp_path))


def test_a_relative_name_with_a_colon_is_a_file(recordings, tmp_path, monkeypatch):
    (tmp_path / "concat:x.mp4").write_bytes((recordings / "h264.mp4").read_bytes())
    monkeypatch.chdir(tmp_path)
    assert probe("concat:x.mp4").has_video


def test_a_cover_picture_is_not_a_video(recordings, tmp_path, add_cover):
    path = add_cover(recordings / "sound_only.m4a", tmp_path / "cover.m4a")
    info = probe(str(path))
    assert (info.has_video, info.has_audio) == (False, True)
