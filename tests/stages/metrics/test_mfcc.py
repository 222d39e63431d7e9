import pytest
import torch

from avkd.errors import InvalidValueError
from avkd.stages.metrics.mfcc import mfcc_features


def test_features_are_mean_and_deviation_of_the_first_channel() -> None:
    waveform = 0.1 * torch.randn(3, 2, 22_050)
    features = mfcc_features(waveform, 22_050)
    assert features.shape == (3, 40)
    torch.testing.assert_close(mfcc_features(waveform[:, :1], 22_050), features)


def test_steady_sound_varies_less_than_a_burst() -> None:
    noise = 0.1 * torch.randn(22_050, generator=torch.Generator().manual_seed(0))
    burst = noise * (torch.arange(22_050) > 11_025)
    steady, changing = mfcc_features(torch.stack([noise, burst])[:, None], 22_050)
    assert steady[20] < 0.5 * changing[20]


def test_a_clip_does_not_depend_on_the_others_of_its_batch() -> None:
    waveform = torch.randn(2, 1, 22_050) * torch.tensor([1.0, 1e-4])[:, None, None]
    torch.testing.assert_close(
        mfcc_features(waveform, 22_050)[1:], mfcc_features(waveform[1:], 22_050)
    )


def test_too_short_sounds_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="MFCC needs more than 1024 samples, got 800"):
        mfcc_features(torch.zeros(1, 1, 800), 22_050)
