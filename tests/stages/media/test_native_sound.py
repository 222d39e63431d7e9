import numpy as np
import pytest

from avkd.stages.media.native_sound import read_native
from avkd.stages.types import WaveformFormat

MONO = WaveformFormat()


def test_a_span_lies_where_its_samples_are(recordings, media):
    written = media.make_sound(44_100, 2.0)[0]
    native = read_native(str(recordings / "sound.flac"), 30_000, 50_000, MONO)
    assert native.samples.shape == (1, 20_000)
    assert np.abs(native.samples[0] - written[30_000:50_000]).max() < 1e-3
    assert not native.reached_end
    assert (native.broken, native.gaps) == ([], [])


def test_a_span_past_the_end_is_silent_there(recordings):
    native = read_native(str(recordings / "sound.flac"), 80_000, 100_000, MONO)
    assert native.reached_end
    assert native.end == 88_200
    assert native.samples[0, :8000].any()
    assert not native.samples[0, 8200:].any()


def test_to_the_end_means_all_there_is(recordings):
    native = read_native(str(recordings / "sound.flac"), 0, None, MONO)
    assert native.samples.shape == (1, 88_200)


def test_a_gap_in_the_sound_stays_a_gap(tmp_path, write, media, join_with_gap):
    path = join_with_gap(tmp_path / "gap.mkv", gap_seconds=1.0)
    native = read_native(str(path), 0, None, MONO)
    rate = 48_000
    assert native.end == pytest.approx(3 * rate, abs=2)
    loud = np.abs(native.samples[0]) > 1e-4
    assert loud[: rate - 100].mean() > 0.9
    assert not loud[rate + 100 : 2 * rate - 100].any()
    assert loud[2 * rate + 500 :].mean() > 0.9


@pytest.mark.parametrize("num_channels", [1, 2, 6, 8])
def test_every_channel_comes_in_its_place(num_channels, tmp_path, write, media):
    path = tmp_path / "ring.flac"
    write(path, sound=media.Sound(codec="flac", seconds=0.5, channels=num_channels))
    wanted = WaveformFormat(sample_rate=48_000, num_channels=num_channels, channels="all")
    native = read_native(str(path), 0, None, wanted)
    written = media.make_sound(48_000, 0.5, num_channels)
    assert native.samples.shape == written.shape
    assert np.abs(native.samples - written).max() < 1e-3
