import dataclasses

import numpy as np
import pytest

from avkd.stages.simulation.people.speech import (
    CONTROL_SECONDS,
    VOWELS,
    draw_phones,
    draw_pitch,
    filter_in_steps,
    pulse_train,
    speak,
    vocal_tract,
)
from avkd.stages.simulation.people.voice import VOICE_TRAITS, Delivery, voice_of
from avkd.stages.simulation.sounds import Waveform

RATE = 16_000
NUM_SAMPLES = 3 * RATE
VOICE = voice_of(1, dict.fromkeys(VOICE_TRAITS, 0.0))
PLAIN = Delivery(pitch_shift=0.0, tilt_shift_db=0.0, tract_factor=1.0, tempo_factor=1.0)


def spectrum_db(waveform: Waveform, frequency: float) -> float:
    power = np.abs(np.fft.rfft(waveform * np.hanning(len(waveform)))) ** 2
    grid = np.fft.rfftfreq(len(waveform), 1 / RATE)
    return float(10 * np.log10(power[np.abs(grid - frequency) < 8].max()))


def test_pulses_repeat_with_the_pitch_and_fall_by_the_tilt() -> None:
    pulses = pulse_train(np.full(RATE, 125.0), 6.0, RATE)
    np.testing.assert_allclose(pulses[:1_000], pulses[1_280:2_280], atol=1e-6)
    assert spectrum_db(pulses, 1_000) - spectrum_db(pulses, 2_000) == pytest.approx(6, abs=0.2)


def test_the_tract_resonates_at_its_formants() -> None:
    frequencies = np.arange(0.0, 5_000.0, 5.0)
    formants = np.asarray([[*VOWELS[4], 4_300.0]])
    gains = vocal_tract(frequencies, formants, np.full(5, 80.0))[0]
    peaks = frequencies[1:-1][(gains[1:-1] > gains[:-2]) & (gains[1:-1] > gains[2:])]
    np.testing.assert_allclose(peaks, formants[0], atol=25)
    assert gains[0] == pytest.approx(1.0)


def test_a_gain_of_one_leaves_a_waveform_as_it_is() -> None:
    waveform = np.random.default_rng(0).normal(size=4_001)
    num_controls = 4_001 // round(CONTROL_SECONDS * RATE) + 2
    same = filter_in_steps(waveform, np.ones((num_controls, 321)), RATE)
    np.testing.assert_allclose(same, waveform, atol=1e-9)


def test_a_gain_that_changes_is_heard_where_it_does() -> None:
    waveform = np.random.default_rng(0).normal(size=RATE)
    gains = np.ones((101, 321))
    gains[50:] = 0.0
    filtered = filter_in_steps(waveform, gains, RATE)
    np.testing.assert_allclose(filtered[:7_600], waveform[:7_600], atol=1e-9)
    assert not filtered[8_200:].any()


def test_speech_has_the_pitch_of_its_voice() -> None:
    for shift, seed in ((0.0, 0), (4.0, 1)):
        delivery = dataclasses.replace(PLAIN, pitch_shift=shift)
        pitch = draw_pitch(np.random.default_rng(seed), VOICE, delivery, NUM_SAMPLES)
        expected = VOICE.pitch_hz * 2 ** (shift / 12)
        assert np.median(pitch) == pytest.approx(expected, rel=0.15)


def test_a_longer_tract_has_lower_formants() -> None:
    def middle(tract: float) -> float:
        voice = dataclasses.replace(VOICE, tract=tract, breath_db=-40.0)
        waveform = speak(np.random.default_rng(3), voice, PLAIN, NUM_SAMPLES, RATE)
        power = np.abs(np.fft.rfft(waveform)) ** 2
        grid = np.fft.rfftfreq(NUM_SAMPLES, 1 / RATE)
        low = grid < 3_500
        return float((power[low] * grid[low]).sum() / power[low].sum())

    assert middle(0.85) > 1.08 * middle(1.15)


def test_breath_fills_the_gaps_between_harmonics() -> None:
    def flatness(breath_db: float) -> float:
        voice = dataclasses.replace(VOICE, breath_db=breath_db, jitter=0.0005, range_semitones=0.0)
        waveform = speak(np.random.default_rng(2), voice, PLAIN, NUM_SAMPLES, RATE)
        pieces = waveform[: 46 * 1_024].reshape(46, 1_024) * np.hanning(1_024)
        power = np.abs(np.fft.rfft(pieces))[:, 6:160] ** 2 + 1e-12
        return float(np.median(np.log(power).mean(axis=1) - np.log(power.mean(axis=1))))

    assert flatness(-5.0) > flatness(-50.0) + 0.3


def test_what_is_said_differs_and_lasts_as_asked() -> None:
    first, again, other = (
        speak(np.random.default_rng(seed), VOICE, PLAIN, NUM_SAMPLES, RATE) for seed in (0, 0, 1)
    )
    assert first.shape == (NUM_SAMPLES,)
    assert np.isfinite(first).all()
    np.testing.assert_array_equal(first, again)
    assert abs(np.corrcoef(first, other)[0, 1]) < 0.3


def test_phones_fill_the_time_at_the_tempo() -> None:
    phones = draw_phones(np.random.default_rng(0), 60.0, 4.0)
    assert 60 <= sum(phone.seconds for phone in phones) < 61
    vowels = sum(phone.voicing > 0.6 - 1e-9 and phone.formants in VOWELS for phone in phones)
    assert 180 < vowels < 245
