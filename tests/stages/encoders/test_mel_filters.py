import pytest
import torch

from avkd.errors import InvalidValueError
from avkd.stages.encoders.mel_filters import mel_filters
from avkd.stages.encoders.spectra import Spectrum

SPECTRUM = Spectrum(16_000, 0.064, 0.01)


def test_slaneys_bands_are_means_of_power_and_htks_are_triangles_of_height_one() -> None:
    means = mel_filters(SPECTRUM, 20, lowest_hz=50.0, form="slaney")
    triangles = mel_filters(SPECTRUM, 20, lowest_hz=50.0)
    assert means.shape == triangles.shape == (513, 20)
    # Equal powers in all frequencies have that mean in every band.
    torch.testing.assert_close(means.sum(dim=0), torch.ones(20), rtol=0, atol=0.03)
    assert triangles.max() <= 1
    assert (triangles.amax(dim=0) > 0.6).all()


def test_no_band_hears_below_the_lowest_frequency() -> None:
    filters = mel_filters(SPECTRUM, 20, lowest_hz=500.0)
    assert not filters[SPECTRUM.frequencies < 500].any()
    assert filters[SPECTRUM.frequencies > 520][:1].any()


def test_a_band_without_a_frequency_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="400 mel bands are too many for 513 frequencies"):
        mel_filters(SPECTRUM, 400, lowest_hz=50.0)
