import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avkd.stages.simulation.sounds import (
    Waveform,
    at_level,
    coloured_noise,
    convolve,
    damped_tones,
    event_times,
    gliding_tone,
    level_db,
    place,
    pluck,
    room_response,
    slow_curve,
)

RATE = 22_050


def peak_frequency(waveform: Waveform) -> float:
    spectrum = np.abs(np.fft.rfft(waveform * np.hanning(len(waveform))))
    return float(np.fft.rfftfreq(len(waveform), 1 / RATE)[spectrum.argmax()])


@pytest.mark.parametrize("frequency", [110.0, 441.0, 3_000.0])
def test_a_gliding_tone_at_rest_has_its_frequency(frequency: float) -> None:
    tone = gliding_tone(np.full(RATE, frequency), [1.0, 0.3], RATE)
    assert peak_frequency(tone) == pytest.approx(frequency, abs=1.5)


def test_harmonics_of_a_gliding_tone_equal_sines_of_their_own() -> None:
    frequencies = np.linspace(200, 900, RATE)
    phase = 2 * np.pi * np.cumsum(frequencies) / RATE
    expected = 0.5 * np.sin(phase) + 0.25 * np.sin(2 * phase) + 0.1 * np.sin(5 * phase)
    tone = gliding_tone(frequencies, [0.5, 0.25, 0.0, 0.0, 0.1], RATE)
    np.testing.assert_allclose(tone, expected, atol=1e-6)


def test_harmonics_above_half_the_sample_rate_are_left_out() -> None:
    tone = gliding_tone(np.full(RATE, 8_000.0), [1.0, 1.0], RATE)
    assert level_db(tone) == pytest.approx(-3.01, abs=0.05)


def test_damped_tones_fall_by_60_db_in_their_decay() -> None:
    grain = damped_tones([1_000.0], [1.0], [0.5], RATE)
    assert len(grain) == int(0.5 * RATE)
    early, late = np.abs(grain[200:700]).max(), np.abs(grain[-500:]).max()
    assert 20 * np.log10(late / early) == pytest.approx(-57, abs=4)


@pytest.mark.parametrize("frequency", [82.0, 196.0, 330.0])
def test_a_plucked_string_has_its_pitch_and_dies_away(frequency: float) -> None:
    grain = pluck(np.random.default_rng(0), frequency, 2.0, RATE)
    spectrum = np.abs(np.fft.rfft(grain * np.hanning(len(grain)), 4 * len(grain)))
    frequencies = np.fft.rfftfreq(4 * len(grain), 1 / RATE)
    near = (frequencies > frequency * 0.8) & (frequencies < frequency * 1.2)
    found = frequencies[near][spectrum[near].argmax()]
    assert found == pytest.approx(frequency, rel=0.015)
    assert np.std(grain[-2_000:]) < 0.05 * np.std(grain[:2_000])


def test_place_adds_grains_at_their_times_and_cuts_the_rest() -> None:
    grain = np.ones(10)
    placed = place(
        100, 100, [(0.1, 1.0, grain), (0.15, 2.0, grain), (0.95, 1.0, grain), (2.0, 1.0, grain)]
    )
    assert placed[9] == 0
    assert placed[10] == 1
    assert placed[15] == 3
    assert placed[95:].sum() == 5


@given(seed=st.integers(0, 2**31), interval=st.floats(0.05, 2.0))
def test_event_times_keep_their_interval(seed: int, interval: float) -> None:
    times = event_times(np.random.default_rng(seed), 5.0, interval)
    assert 0 <= times.min(initial=0.0) <= interval
    np.testing.assert_allclose(np.diff(times), interval, rtol=1e-6)


@pytest.mark.parametrize(("slope", "octave_db"), [(0.0, 0.0), (1.0, -3.0), (2.0, -6.0)])
def test_noise_falls_by_its_slope(slope: float, octave_db: float) -> None:
    noise = coloured_noise(np.random.default_rng(1), 8 * RATE, RATE, slope=slope)
    power = np.abs(np.fft.rfft(noise)) ** 2
    frequencies = np.fft.rfftfreq(8 * RATE, 1 / RATE)

    def density(centre: float) -> float:
        return float(power[(frequencies > centre * 0.9) & (frequencies < centre * 1.1)].mean())

    assert 10 * np.log10(density(2_000) / density(1_000)) == pytest.approx(octave_db, abs=0.6)
    assert noise.std() == pytest.approx(1.0)


def test_convolution_equals_the_direct_sum() -> None:
    rng = np.random.default_rng(0)
    waveform, response = rng.normal(size=300), rng.normal(size=40)
    expected = np.convolve(waveform, response)[:300]
    np.testing.assert_allclose(convolve(waveform, response), expected, atol=1e-4)


def test_rooms_differ_and_start_with_the_direct_sound() -> None:
    rooms = [room_response(np.random.default_rng(seed), RATE) for seed in (1, 2)]
    assert len(rooms[0]) != len(rooms[1])
    for room in rooms:
        assert np.abs(room[:60]).max() > 3 * np.abs(room[-60:]).max()


def test_a_slow_curve_is_smooth() -> None:
    curve = slow_curve(np.random.default_rng(3), 10_000, 6)
    assert len(curve) == 10_000
    assert np.abs(np.diff(curve)).max() < 0.01
    assert curve.std() > 0.1


@given(target=st.floats(-60, 0))
def test_a_waveform_takes_the_asked_level(target: float) -> None:
    noise = np.random.default_rng(0).normal(size=1_000)
    # The floor that keeps silence finite lifts -60 dB by 4e-6.
    assert level_db(at_level(noise, target)) == pytest.approx(target, abs=1e-5)
