import numpy as np
import pytest

from avkd.stages.simulation.things.bell import PARTIALS, strike

RATE = 22_050


@pytest.mark.parametrize("prime", [200.0, 523.0])
def test_a_strike_rings_at_the_planned_partials(prime: float) -> None:
    grain = strike(np.random.default_rng(0), prime, RATE)
    spectrum = np.abs(np.fft.rfft(grain * np.hanning(len(grain)), 2**18))
    frequencies = np.fft.rfftfreq(2**18, 1 / RATE)
    for ratio in PARTIALS:
        near = np.abs(frequencies - prime * ratio) < prime * 0.06
        assert frequencies[near][spectrum[near].argmax()] == pytest.approx(prime * ratio, abs=1.5)
    between = np.abs(frequencies - prime * 1.75) < prime * 0.05
    at_prime = np.abs(frequencies - prime) < prime * 0.05
    assert spectrum[at_prime].max() > 10 * spectrum[between].max()
