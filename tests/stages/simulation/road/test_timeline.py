import numpy as np
import pytest

from avkd.stages.simulation.road.motion import Array
from avkd.stages.simulation.road.timeline import HOP, build_timeline, read_timeline

RATE = 16_000
START = -0.25


def tone(frequency: float, seconds: Array) -> Array:
    return np.asarray(np.sin(2 * np.pi * frequency * seconds + 0.3))


TIMES = START + np.arange(RATE) / RATE
BETWEEN = np.random.default_rng(0).uniform(START + 0.1, START + 0.9, 5_000)


@pytest.mark.parametrize(
    ("share", "error_db"), [(0.02, -150), (0.1, -120), (0.25, -90), (0.4, -65)]
)
def test_a_tone_is_read_between_its_samples(share: float, error_db: float) -> None:
    frequency = share * RATE
    timeline = build_timeline(tone(frequency, TIMES), RATE, START)
    error = read_timeline(timeline, BETWEEN) - tone(frequency, BETWEEN)
    assert 20 * np.log10(np.abs(error).max()) < error_db


def test_there_is_silence_outside() -> None:
    timeline = build_timeline(np.ones(RATE), RATE, START)
    assert read_timeline(timeline, np.array([START - 0.01, START + 1.01])).tolist() == [0, 0]


def test_a_gain_that_stays_the_same_is_an_exact_filter() -> None:
    def gain(frequencies: Array, seconds: Array) -> Array:
        return np.asarray(np.exp(-frequencies / 4_000) * np.ones((len(seconds), 1)))

    timeline = build_timeline(tone(1_000.0, TIMES), RATE, START, gain)
    error = read_timeline(timeline, BETWEEN) - np.exp(-0.25) * tone(1_000.0, BETWEEN)
    assert np.abs(error).max() < 1e-4


def test_a_gain_sees_the_time_of_emission() -> None:
    def gain(frequencies: Array, seconds: Array) -> Array:
        return np.asarray((1 + seconds)[:, None] * np.ones(len(frequencies)))

    timeline = build_timeline(tone(1_000.0, TIMES), RATE, START, gain)
    error = read_timeline(timeline, BETWEEN) - (1 + BETWEEN) * tone(1_000.0, BETWEEN)
    # Frames fade into one another: as if the time were off by less than a fifth of a hop.
    assert np.abs(error).max() < 0.2 * HOP / RATE
