import numpy as np
import pytest

from avkd.errors import MediaError
from avkd.stages.media import native_sound
from avkd.stages.media.audio import open_sound, read_audio_file, read_waveform
from avkd.stages.types import WaveformFormat

MONO = WaveformFormat(sample_rate=22_050)


def correlation(ours, theirs):
    length = min(ours.size, theirs.size)
    return np.corrcoef(ours[:length].astype(float), theirs[:length].astype(float))[0, 1]


def find_shift(ours, theirs, largest):
    """By how many samples ``ours`` lags ``theirs``."""
    middle = theirs[largest:-largest].astype(float)
    shifts = range(-largest, largest + 1)
    costs = [np.abs(ours[largest + s :][: middle.size] - middle).mean() for s in shifts]
    return shifts[int(np.argmin(costs))]


@pytest.mark.parametrize(("start", "duration"), [(0.0, 2.0), (0.5, 1.0), (0.333, 0.777)])
def test_a_span_has_exactly_the_rounded_number_of_samples(recordings, start, duration):
    waveform = read_waveform(str(recordings / "sound.wav"), start, duration, MONO)
    assert waveform.shape == (1, round(duration * 22_050))
    assert waveform.dtype == np.int16


def test_the_padding_of_a_last_packet_is_no_sound(recordings):
    assert read_audio_file(str(recordings / "sound_only.m4a"), MONO).shape == (1, 2 * 22_050)


def test_lossless_sound_at_its_own_rate_is_kept_to_the_bit(recordings, media):
    written = media.make_sound(44_100, 2.0, 2)
    read = read_audio_file(
        str(recordings / "sound.wav"),
        WaveformFormat(sample_rate=44_100, num_channels=2, channels="all"),
    )
    assert read.shape == written.shape
    assert np.abs(read - written * 32768).max() <= 1


@pytest.mark.parametrize(
    "name", ["sound.wav", "sound.flac", "sound.mp3", "sound.ogg", "sound_only.m4a", "h264.mp4"]
)
def test_a_whole_file_is_the_sound_that_was_written_without_delay(recordings, media, name):
    read = read_audio_file(str(recordings / name), MONO)
    assert read.shape[1] == pytest.approx(2 * 22_050, abs=500)
    written = media.make_sound(22_050, 2.0)[0]
    # Lossy codecs smear the first moments and band-limit; a shift of two samples would show.
    assert correlation(read[0, 2205:-2205], written[2205:-2205]) > 0.999


@pytest.mark.parametrize(
    ("name", "largest_difference"),
    [
        *(("long.flac", 1), ("long.mp3", 1), ("long.mkv", 1)),
        # AAC fills bands with noise that depends on all that was decoded before.
        ("long.mp4", 400),
    ],
)
def test_a_clip_deep_inside_is_the_same_as_in_a_whole_reading(
    long_recordings, name, largest_difference
):
    path = str(long_recordings / name)
    whole = read_audio_file(path, MONO)
    with open_sound(path) as sound:
        for start in (31.7, 3.3, 12.345, 24.0):
            clip = sound.read(start, 4.0, MONO).waveform[0].astype(int)
            first = round(start * 22_050)
            difference = np.abs(clip - whole[0, first : first + clip.size])
            assert difference.max() <= largest_difference
            assert correlation(clip, whole[0, first : first + clip.size]) > 0.9999


def test_a_clip_does_not_depend_on_what_was_read_before_it(long_recordings):
    path = str(long_recordings / "long.mp4")
    alone = read_waveform(path, 20.0, 4.0, MONO)
    with open_sound(path) as sound:
        later = [sound.read(start, 4.0, MONO).waveform for start in (0.0, 16.0, 20.0, 24.0)]
    assert np.array_equal(later[2], alone)


@pytest.mark.parametrize("rate", [8000, 16_000, 22_050, 44_100, 48_000])
def test_resampled_clips_join_without_a_seam(long_recordings, rate):
    path, wanted = str(long_recordings / "long.flac"), WaveformFormat(sample_rate=rate)
    joined = np.concatenate([read_waveform(path, 10.0 + i, 1.0, wanted) for i in range(3)], axis=1)
    whole = read_waveform(path, 10.0, 3.0, wanted)
    assert np.abs(joined.astype(int) - whole).max() <= 1


@pytest.mark.parametrize("name", ["late_sound.mp4", "late_sound.mkv"])
def test_sound_that_starts_late_is_preceded_by_silence(recordings, media, name):
    waveform = read_waveform(str(recordings / name), 0.0, 2.0, MONO)[0]
    assert np.abs(waveform[: round(0.49 * 22_050)]).max() < 400
    written = media.make_sound(22_050, 1.5)[0] * 32768
    late = round(0.5 * 22_050)
    # Both containers round the start to a millisecond, 22 samples.
    assert abs(find_shift(waveform[late:], written[:30_000], 100)) <= 22


def test_channels_are_chosen_by_rule(recordings, media):
    path = str(recordings / "sound.wav")
    rate = 44_100
    left, right = media.make_sound(rate, 2.0, 2) * 32768
    rules = {
        "first": WaveformFormat(sample_rate=rate, channels="first"),
        "mix": WaveformFormat(sample_rate=rate, channels="mix"),
        "all": WaveformFormat(sample_rate=rate, num_channels=2, channels="all"),
    }
    read = {rule: read_waveform(path, 0.0, 2.0, wanted) for rule, wanted in rules.items()}
    assert np.abs(read["first"] - left).max() <= 1
    assert np.abs(read["mix"] - (left + right) / 2).max() <= 1
    assert np.abs(read["all"] - np.stack([left, right])).max() <= 1


def test_one_channel_stands_for_many_but_few_do_not(recordings):
    stereo = WaveformFormat(num_channels=2, channels="all")
    doubled = read_waveform(str(recordings / "sound.flac"), 0.0, 1.0, stereo)
    assert np.array_equal(doubled[0], doubled[1])
    surround = read_waveform(str(recordings / "surround.mkv"), 0.0, 1.0, stereo)
    assert surround.shape == (2, 22_050)
    with pytest.raises(MediaError, match="2 channels of sound, 4 asked for"):
        read_waveform(
            str(recordings / "sound.wav"), 0, 1, WaveformFormat(num_channels=4, channels="all")
        )


@pytest.mark.parametrize("name", ["short_sound.mp4", "short_sound.webm"])
def test_sound_that_is_shorter_than_the_pictures_is_no_damage(recordings, name):
    with open_sound(str(recordings / name)) as sound:
        read = sound.read(0.0, 2.0, MONO)
        silent = sound.read(1.5, 0.5, MONO)
    assert (read.damage, read.is_lost) == ("", False)
    assert read.waveform[0, :20_000].any()
    assert not read.waveform[0, 24_000:].any()
    assert (silent.damage, silent.is_lost, silent.waveform.any()) == ("", False, False)


@pytest.mark.parametrize("name", ["half.mp4", "half.mkv"])
def test_sound_that_breaks_off_is_noticed_with_numbers(recordings, name):
    with open_sound(str(recordings / name)) as sound:
        whole, first, last = (sound.read(*s, MONO) for s in ((0.0, 2.0), (0.0, 0.5), (1.5, 0.5)))
    assert "sound ends at" in whole.damage
    assert "declares 2.0" in whole.damage
    assert not whole.is_lost
    assert first.damage == ""
    assert last.is_lost
    with pytest.raises(MediaError, match="sound ends at") as caught:
        read_audio_file(str(recordings / name), MONO)
    assert caught.value.status == "partial"
    with pytest.raises(MediaError, match="sound ends at"):
        read_waveform(str(recordings / name), 0.0, 2.0, MONO)


def test_a_clip_beyond_the_recording_is_lost(recordings):
    with open_sound(str(recordings / "h264.mp4")) as sound:
        beyond = sound.read(5.0, 2.0, MONO)
        across = sound.read(1.0, 5.0, MONO)
    assert beyond.is_lost
    assert not across.is_lost
    assert across.damage.startswith("the recording ends at 2.0")


def test_broken_packets_are_counted(recordings):
    with open_sound(str(recordings / "flipped.mp4")) as sound:
        assert "broken packets of sound" in sound.read(0.0, 2.0, MONO).damage


@pytest.mark.parametrize(
    ("name", "status"),
    [("vfr.mp4", "no_audio"), ("text.mp4", "decode_error"), ("playlist.mp4", "decode_error")],
)
def test_a_file_without_sound_says_so(recordings, name, status):
    with pytest.raises(MediaError) as caught:
        read_audio_file(str(recordings / name), MONO)
    assert caught.value.status == status


def test_where_sound_ended_is_told_of_every_clip_behind_it(long_recordings, tmp_path, monkeypatch):
    content = (long_recordings / "long.mkv").read_bytes()
    path = tmp_path / "cut.mkv"
    path.write_bytes(content[: len(content) // 2])
    opened = []
    real = native_sound.open_container
    monkeypatch.setattr(native_sound, "open_container", lambda p: opened.append(p) or real(p))
    with open_sound(str(path)) as sound:
        across = sound.read(0.0, 40.0, MONO)
        end = across.damage.split(",")[0]
        first = sound.read(30.0, 4.0, MONO)
        num_opened = len(opened)
        last = sound.read(34.0, 4.0, MONO)
    assert end[:15] == "sound ends at 1" or end[:15] == "sound ends at 2"
    for behind in (first, last):
        assert behind.damage.split(",")[0] == end
        assert behind.damage.endswith(": 192000 of 192000 samples missing")
        assert (behind.is_lost, behind.waveform.any()) == (True, False)
        assert behind.waveform.shape == (1, 4 * 22_050)
    # All of the file was read once to find that out, not for every clip.
    assert len(opened) == num_opened
    with open_sound(str(path)) as sound:
        assert not sound.read(2.0, 4.0, MONO).damage


def test_raw_sound_without_a_declared_length_is_read_to_its_end(tmp_path, write, media):
    path = str(write(tmp_path / "sound.aac", None, media.Sound()))
    assert read_audio_file(path, MONO).shape[1] == pytest.approx(2 * 22_050, abs=1500)
    with open_sound(path) as sound:
        assert sound.read(0.0, 1.9, MONO).damage == ""
        assert "recording ends" in sound.read(0.0, 3.0, MONO).damage
