import numpy as np

from avkd.stages.simulation.road.noise import band_limit, shaped_noise

RATE = 16_000


def test_noise_has_the_density_that_was_asked_for() -> None:
    from scipy.signal import welch

    noise = shaped_noise(
        np.random.default_rng(0), 20 * RATE, RATE, lambda f: 3e-4 / (1 + (f / 500) ** 2)
    )
    frequencies, density = welch(noise, RATE, nperseg=512)
    inside = (frequencies > 100) & (frequencies < 0.38 * RATE)
    wanted = 3e-4 / (1 + (frequencies / 500) ** 2)
    assert np.abs(10 * np.log10(density / wanted))[inside].max() < 0.8
    assert density[frequencies > 0.46 * RATE].max() < 1e-4 * density[inside].min()


def test_sources_leave_room_for_an_approach() -> None:
    frequencies = np.array([0.0, 0.39, 0.451, 0.5]) * RATE
    assert band_limit(frequencies, RATE).round(6).tolist() == [1.0, 1.0, 0.0, 0.0]
    assert 0.45 / (1 - 33 / 340) < 0.5
