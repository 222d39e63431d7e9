import math

import pytest
import torch
from torch import Tensor

from avkd.errors import InvalidValueError
from avkd.stages.encoders.spectra import (
    FIXED_SD,
    PhaseCorrelation,
    Spectrum,
    band_weights,
    log_magnitude,
    pair_channels,
    power,
    whitened_products,
)

RATE = 16_000
STEREO = ((0, 1),)


def spectrum() -> Spectrum:
    return Spectrum(RATE, fft_seconds=0.032, hop_seconds=0.016)


def sine(hertz: float, *, delay_seconds: float = 0.0, amplitude: float = 1.0) -> Tensor:
    seconds = torch.arange(RATE, dtype=torch.float64) / RATE - delay_seconds
    return (amplitude * torch.sin(2 * math.pi * hertz * seconds)).float()


def delayed_noise(delay_seconds: float, seed: int = 0) -> Tensor:
    """(1, 2, S): noise, and the same later, by no whole number of samples either."""
    noise = torch.randn(RATE, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    hertz = torch.fft.rfftfreq(RATE, 1 / RATE, dtype=torch.float64)
    turn = torch.exp(-2j * math.pi * hertz * delay_seconds)
    later = torch.fft.irfft(torch.fft.rfft(noise) * turn, RATE)
    return 0.1 * torch.stack([noise, later])[None].float()


def test_a_full_sine_has_magnitude_one_half_at_its_frequency() -> None:
    front = spectrum()
    spectra = front(sine(1000.0)[None, None])
    assert spectra.shape == (1, 1, 257, 61)
    place = int((front.frequencies - 1000).abs().argmin())
    assert front.frequencies[place].item() == 1000
    torch.testing.assert_close(
        spectra[0, 0, place].abs(), torch.full((61,), 0.5), atol=1e-4, rtol=0
    )


def test_a_column_is_the_spectrum_of_its_own_samples() -> None:
    front = spectrum()
    windows = torch.randn(2, 2, RATE, generator=torch.Generator().manual_seed(0))
    spectra = front(windows)
    part = windows[1, 0, 7 * 256 : 7 * 256 + 512] * torch.hann_window(512)
    torch.testing.assert_close(spectra[1, 0, :, 7], torch.fft.rfft(part) / 256, atol=1e-6, rtol=0)


def test_half_the_amplitude_is_the_logarithm_of_a_quarter_lower() -> None:
    front = spectrum()
    loud, quiet = (front(sine(1000.0, amplitude=a)[None, None]) for a in (0.5, 0.25))
    difference = log_magnitude(loud) - log_magnitude(quiet)
    assert difference[0, 0, 32].mean().item() == pytest.approx(math.log(4) / FIXED_SD, rel=1e-3)


def test_each_reference_loses_what_it_says_and_no_more() -> None:
    front = spectrum()
    windows = delayed_noise(0.0)
    windows = windows * torch.tensor([1.0, 0.5])[None, :, None]
    louder = front(3 * windows)
    spectra = front(windows)

    def offset(reference: str) -> float:
        """Between the microphones."""
        logs = log_magnitude(spectra, reference)  # type: ignore[arg-type]
        return (logs[:, 0] - logs[:, 1]).mean().item()

    between = math.log(4) / FIXED_SD
    assert offset("fixed") == pytest.approx(between, rel=1e-2)
    assert offset("shared") == pytest.approx(between, rel=1e-2)
    assert offset("own") == pytest.approx(0, abs=1e-4)
    for reference, moves in (("fixed", True), ("shared", False), ("own", False)):
        moved = log_magnitude(louder, reference) - log_magnitude(spectra, reference)  # type: ignore[arg-type]
        assert moved.mean().item() == pytest.approx(
            math.log(9) / FIXED_SD if moves else 0.0, abs=1e-2
        )


def test_silence_is_finite_everywhere() -> None:
    spectra = spectrum()(torch.zeros(1, 2, RATE))
    whitened = whitened_products(spectra, STEREO)
    assert log_magnitude(spectra).isfinite().all()
    assert not torch.view_as_real(whitened).any()


def test_pairs_of_microphones() -> None:
    assert pair_channels(1) == ()
    assert pair_channels(2) == pair_channels(2, "ring") == pair_channels(2, "all") == STEREO
    assert pair_channels(8) == tuple((0, other) for other in range(1, 8))
    assert pair_channels(4, "ring") == ((0, 1), (1, 2), (2, 3), (3, 0))
    assert len(pair_channels(8, "all")) == 28


def test_a_later_sine_turns_the_phase_by_its_delay() -> None:
    front, delay = spectrum(), 0.0002
    spectra = front(torch.stack([sine(1000.0), sine(1000.0, delay_seconds=delay)])[None])
    found = whitened_products(spectra, STEREO)[0, 0, 32]
    angle = 2 * math.pi * 1000 * delay
    torch.testing.assert_close(found.real, torch.full((61,), math.cos(angle)), atol=1e-3, rtol=0)
    torch.testing.assert_close(found.imag, torch.full((61,), math.sin(angle)), atol=1e-3, rtol=0)


@pytest.mark.parametrize("delay_seconds", [0.0, 0.0004, -0.0007, 0.00123])
def test_the_correlation_peaks_at_the_delay_between_the_microphones(delay_seconds: float) -> None:
    front = spectrum()
    correlation = PhaseCorrelation(front, max_delay_seconds=0.0015, num_lags=101, num_bands=3)
    found = correlation(whitened_products(front(delayed_noise(delay_seconds)), STEREO))
    assert found.shape == (1, 3, 101, 61)
    assert found.abs().max() <= 1 + 1e-5
    over_lags = found[0, 1:].mean(dim=(0, 2))
    peak = correlation.lags[over_lags.argmax()].item()
    assert peak == pytest.approx(delay_seconds, abs=0.00003 / 2 + 1e-9)
    assert over_lags.max() > 0.8


def test_swapped_microphones_mirror_the_correlation() -> None:
    front = spectrum()
    correlation = PhaseCorrelation(front, max_delay_seconds=0.001, num_lags=33, num_bands=2)
    windows = delayed_noise(0.0005)
    found, mirrored = (
        correlation(whitened_products(front(each), STEREO)) for each in (windows, windows.flip(1))
    )
    torch.testing.assert_close(mirrored, found.flip(2), atol=1e-5, rtol=0)


def test_two_sources_are_two_lines() -> None:
    front = spectrum()
    correlation = PhaseCorrelation(front, max_delay_seconds=0.001, num_lags=81, num_bands=1)
    windows = delayed_noise(0.0006) + delayed_noise(-0.0003, seed=1)
    over_lags = correlation(whitened_products(front(windows), STEREO))[0, 0].mean(dim=1)
    is_peak = (over_lags[1:-1] > over_lags[:-2]) & (over_lags[1:-1] > over_lags[2:])
    places = is_peak.nonzero()[:, 0] + 1
    highest = places[over_lags[places].argsort(descending=True)[:2]]
    assert sorted(correlation.lags[highest].tolist()) == pytest.approx([-0.0003, 0.0006], abs=3e-5)


def test_bands_share_the_frequencies_above_the_lowest_without_overlap() -> None:
    frequencies = spectrum().frequencies
    weights = band_weights(frequencies, 3)
    torch.testing.assert_close(weights.sum(dim=1).double(), torch.ones(3, dtype=torch.float64))
    covered = (weights > 0).sum(dim=0)
    assert torch.equal(covered, (frequencies >= 100).long())


def test_power_is_the_squared_magnitude_and_nothing_is_saved() -> None:
    front = spectrum()
    spectra = front(delayed_noise(0.0))
    torch.testing.assert_close(power(spectra), spectra.abs().square())
    assert not front.state_dict()
    assert not PhaseCorrelation(front, 0.001, 33, 2).state_dict()


def test_options_that_cannot_be_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="are 0 and 160 samples at 16000 Hz"):
        Spectrum(RATE, fft_seconds=0.00001, hop_seconds=0.01)
    with pytest.raises(InvalidValueError, match="a window of 100 samples is shorter than a column"):
        spectrum()(torch.zeros(1, 1, 100))
    with pytest.raises(InvalidValueError, match="max_delay_seconds 0 must be above 0"):
        PhaseCorrelation(spectrum(), 0.0, 33, 1)
    with pytest.raises(InvalidValueError, match="num_lags 2 and num_bands 1 must be 3 and 1"):
        PhaseCorrelation(spectrum(), 0.001, 2, 1)
    with pytest.raises(InvalidValueError, match="200 bands are too many for 257 frequencies"):
        PhaseCorrelation(spectrum(), 0.001, 33, 200)
    with pytest.raises(InvalidValueError, match="pairing 'none' is not known"):
        pair_channels(3, "none")  # type: ignore[arg-type]
    with pytest.raises(InvalidValueError, match="reference 'max' is not known"):
        log_magnitude(torch.zeros(1, 1, 3, 3, dtype=torch.complex64), "max")  # type: ignore[arg-type]
