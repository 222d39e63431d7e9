import pytest
import torch

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.stages.encoders.logmel import (
    FIXED_MEAN,
    FIXED_SD,
    LOG_FLOOR,
    LogMel,
    LogMelEncoder,
    logmel_mobilenet,
    logmel_resnet,
)

FIVE_SECONDS = 110_250


def frontend(normalisation: str = "clip") -> LogMel:
    return LogMel(num_mels=64, hop_seconds=0.015, normalisation=normalisation)  # type: ignore[arg-type]


def small(**options: object) -> LogMelEncoder:
    torch.manual_seed(0)
    encoder = logmel_resnet(widths=(8, 12, 16), **options)  # type: ignore[arg-type]
    assert isinstance(encoder, LogMelEncoder)
    return encoder


def test_power_equals_torchaudio_for_any_number_of_clips() -> None:
    from torchaudio.transforms import MelSpectrogram

    reference = MelSpectrogram(22_050, n_fft=1024, hop_length=331, n_mels=64, pad_mode="constant")
    waveform = torch.randn(5, 22_050)
    ours = frontend().power(waveform)
    # Two orders of float32 sums over 513 bins.
    torch.testing.assert_close(ours, reference(waveform), rtol=1e-4, atol=1e-4)
    assert torch.equal(ours[4:], frontend().power(waveform[4:]))


def test_a_tone_is_loudest_in_its_mel_band() -> None:
    seconds = torch.arange(22_050) / 22_050
    logmel = frontend("fixed")(torch.sin(2 * torch.pi * 1000 * seconds)[None, None])
    mels = 2595 * torch.log10(torch.tensor([1 + 1000 / 700, 1 + 11_025 / 700]))
    expected = (65 * mels[0] / mels[1]).round() - 1
    assert abs(logmel[0, :, 30].argmax() - expected) <= 1


def test_clip_normalisation_is_blind_to_loudness_and_fixed_is_not() -> None:
    waveform = 0.1 * torch.randn(1, 1, FIVE_SECONDS)
    clip, fixed = frontend("clip"), frontend("fixed")
    torch.testing.assert_close(clip(waveform), clip(3 * waveform), atol=1e-3, rtol=1e-3)
    louder = fixed(3 * waveform) - fixed(waveform)
    assert louder.mean().item() == pytest.approx(2 * 1.0986 / FIXED_SD, rel=1e-2)
    assert clip(waveform).mean().item() == pytest.approx(0, abs=1e-4)
    assert clip(waveform).std().item() == pytest.approx(1, abs=1e-3)


def test_silence_is_finite() -> None:
    silence = torch.zeros(1, 1, 22_050)
    assert not frontend("clip")(silence).abs().max() > 1e-3
    floor = (torch.tensor(LOG_FLOOR).log() - FIXED_MEAN) / FIXED_SD
    torch.testing.assert_close(frontend("fixed")(silence).max(), floor)


def test_unknown_normalisation_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="use 'clip' or 'fixed'"):
        frontend("none")


def test_five_seconds_give_a_column_for_each_half_second() -> None:
    encoder = logmel_resnet().eval()
    assert encoder(torch.randn(2, 1, FIVE_SECONDS)).shape == (2, 192, 11)
    assert encoder.num_channels("stage1") == 24
    with torch.no_grad():
        assert logmel_mobilenet().eval()(torch.randn(2, 1, FIVE_SECONDS)).shape == (2, 288, 11)


def test_augmentation_changes_training_only() -> None:
    waveform = torch.randn(2, 1, 22_050)
    encoder = small().eval()
    assert torch.equal(encoder(waveform), encoder(waveform))
    first, second = (small().train() for _ in range(2))
    plain = small(augment=False).train()
    torch.manual_seed(5)
    heard = first(waveform)
    torch.manual_seed(5)
    assert torch.equal(heard, second(waveform))
    assert not torch.equal(heard, plain(waveform))
    assert torch.equal(plain(waveform), small(augment=False).train()(waveform))


def test_front_end_is_not_part_of_a_checkpoint() -> None:
    assert not any(name.startswith("frontend") for name in small().state_dict())


def test_gradients_reach_the_stem() -> None:
    encoder = small().train()
    encoder(torch.randn(2, 1, 22_050)).square().sum().backward()
    gradients = [parameter.grad for parameter in encoder.parameters()]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)
    assert encoder.body.stem[0].weight.grad.abs().max() > 0


def test_wrong_requests_are_refused() -> None:
    encoder = small()
    with pytest.raises(UnknownNameError, match="layer"):
        encoder.features(torch.zeros(1, 1, 22_050), "conv7")
    with pytest.raises(UnknownNameError, match="layer"):
        encoder.num_channels("conv7")
    with pytest.raises(InvalidValueError, match="needs 1024 samples for stage1, got 1000"):
        encoder.features(torch.zeros(1, 1, 1000), "stage1")
    with pytest.raises(InvalidValueError, match="timm has no network 'mobilenet_v99'"):
        logmel_mobilenet(body="mobilenet_v99")
    with pytest.raises(InvalidValueError, match="widths"):
        logmel_resnet(widths=())
