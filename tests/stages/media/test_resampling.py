import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avkd.stages.media.resampling import resample, resampling_window

rates = st.sampled_from([8000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000])


@settings(deadline=None)
@given(st.integers(0, 10**9), st.integers(1, 10**6), rates, rates)
def test_a_window_starts_on_a_sample_of_both_rates_and_holds_the_clip(first, num, native, rate):
    window = resampling_window(first, num, native, rate)
    start_resampled = first - window.num_skipped
    assert start_resampled * native == window.start * rate
    assert window.num_skipped >= 0
    assert (window.stop - window.start) * rate >= (window.num_skipped + num) * native


@pytest.mark.parametrize(("native", "rate"), [(44_100, 22_050), (48_000, 22_050), (8000, 22_050)])
def test_a_tone_keeps_its_place_and_height(native, rate):
    tone = np.sin(2 * np.pi * 440 * np.arange(native) / native, dtype=np.float32)[np.newaxis]
    expected = np.sin(2 * np.pi * 440 * np.arange(rate) / rate)
    resampled = resample(tone, native, rate)[0]
    assert resampled.size == pytest.approx(rate, abs=2)
    assert np.abs(resampled[500:-500] - expected[500 : resampled.size - 500]).max() < 2e-3


def test_the_same_rate_changes_nothing():
    samples = np.random.default_rng(0).normal(size=(2, 1000)).astype(np.float32)
    assert resample(samples, 16_000, 16_000) is samples
    assert resample(samples[:, :0], 16_000, 8000).shape == (2, 0)


def test_channels_do_not_mix():
    samples = np.zeros((2, 4800), dtype=np.float32)
    samples[0] = 0.5
    resampled = resample(samples, 48_000, 16_000)
    assert not resampled[1].any()
    assert resampled[0, 100:-100] == pytest.approx(0.5, abs=1e-3)
