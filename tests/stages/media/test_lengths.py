import re

import pytest

from avkd.stages.media.audio import open_sound
from avkd.stages.media.probe import probe
from avkd.stages.types import WaveformFormat

MONO = WaveformFormat(sample_rate=8_000)


def cut(source, target, num_bytes):
    target.write_bytes(source.read_bytes()[:num_bytes])
    return str(target)


def test_a_wav_that_was_cut_off_is_as_long_as_it_says(recordings, tmp_path):
    whole = recordings / "sound.wav"
    path = cut(whole, tmp_path / "cut.wav", whole.stat().st_size // 2)
    assert probe(path).duration_seconds == pytest.approx(2.0, abs=0.01)
    with open_sound(path) as sound:
        first, last = (sound.read(start, 0.9, MONO) for start in (0.0, 1.1))
    assert (first.damage, first.is_lost) == ("", False)
    assert last.is_lost
    assert re.fullmatch(
        r"sound ends at 1\.00 s, the file declares 2\.00 s: 396(89|90) of 39690 samples missing",
        last.damage,
    )


def test_an_avi_that_was_cut_off_is_as_long_as_it_says(recordings, tmp_path):
    whole = recordings / "bframes.avi"
    path = cut(whole, tmp_path / "cut.avi", whole.stat().st_size * 6 // 10)
    assert probe(path).duration_seconds == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFF024])
def test_a_size_that_a_program_never_filled_in_says_nothing(recordings, tmp_path, size):
    content = bytearray((recordings / "sound.wav").read_bytes())
    content[4:8] = size.to_bytes(4, "little")
    data = content.index(b"data") + 4
    content[data : data + 4] = size.to_bytes(4, "little")
    path = tmp_path / "streamed.wav"
    path.write_bytes(bytes(content))
    with open_sound(str(path)) as sound:
        read = sound.read(0.0, 1.9, MONO)
    assert (read.damage, read.waveform.any()) == ("", True)


@pytest.mark.parametrize("name", ["sound.wav", "bframes.avi", "mjpeg.avi"])
def test_whole_files_are_as_long_as_they_are(recordings, name):
    assert probe(str(recordings / name)).duration_seconds == pytest.approx(2.0, abs=0.1)
