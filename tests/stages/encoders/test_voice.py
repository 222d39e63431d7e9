import pytest
import torch
from torch import Tensor

from avkd.stages.encoders.voice import (
    AttentiveStatisticsPooling,
    StatisticsPooling,
    VoiceMel,
    weighted_statistics,
)


def mels(waveform: Tensor, num_real: int) -> tuple[Tensor, Tensor]:
    frontend = VoiceMel(40, spec_augment=False).eval()
    logmel, mask = frontend(waveform, torch.tensor([num_real]))
    return logmel, mask


def test_a_second_has_a_column_for_each_whole_window() -> None:
    logmel, mask = mels(0.1 * torch.randn(1, 1, 16_000), 16_000)
    assert logmel.shape == (1, 40, 97)
    assert mask.shape == (1, 1, 97)
    assert mask.all()
    torch.testing.assert_close(logmel.mean(dim=2), torch.zeros(1, 40), atol=1e-5, rtol=0)


def test_padding_is_zero_and_no_column_mixes_it_with_sound() -> None:
    waveform = 0.1 * torch.randn(1, 1, 16_000)
    cut, _ = mels(waveform[..., :8_000], 8_000)
    padded, mask = mels(waveform, 8_000)
    assert int(mask.sum()) == cut.shape[2] == 47
    torch.testing.assert_close(padded[..., :47], cut, atol=1e-5, rtol=1e-5)
    assert not padded[..., 47:].any()


def test_a_clip_shorter_than_a_window_has_one_column() -> None:
    _, mask = mels(0.1 * torch.randn(1, 1, 16_000), 100)
    assert int(mask.sum()) == 1


def test_loudness_is_not_heard_and_a_tone_is() -> None:
    waveform = 0.1 * torch.randn(1, 1, 16_000)
    torch.testing.assert_close(
        mels(waveform, 16_000)[0], mels(3 * waveform, 16_000)[0], atol=1e-3, rtol=1e-3
    )
    tone = torch.sin(2 * torch.pi * 1000 * torch.arange(16_000) / 16_000)
    tone[:8_000] = 0
    logmel, _ = mels(tone[None, None], 16_000)
    scale = 2595 * torch.log10(1 + torch.tensor([20.0, 1000.0, 7600.0]) / 700)
    band = 41 * (scale[1] - scale[0]) / (scale[2] - scale[0]) - 1
    assert abs(logmel[0, :, 80].argmax() - band) <= 1


def test_masks_of_training_leave_padding_alone() -> None:
    frontend = VoiceMel(40, spec_augment=True).train()
    waveform = 0.1 * torch.randn(4, 1, 16_000)
    num_real = torch.tensor([16_000, 8_000, 8_000, 8_000])
    torch.manual_seed(1)
    changed, mask = frontend(waveform, num_real)
    assert not (changed * ~mask).any()
    plain, _ = frontend.eval()(waveform, num_real)
    assert not torch.equal(changed, plain)


@pytest.mark.parametrize("attentive", [False, True])
def test_statistics_are_of_the_real_columns(attentive: bool) -> None:
    pool = AttentiveStatisticsPooling(3, 4).eval() if attentive else StatisticsPooling()
    columns = torch.randn(2, 3, 7)
    mask = torch.tensor([[True] * 7, [True] * 4 + [False] * 3])[:, None]
    found = pool(columns, mask)
    changed = torch.where(mask, columns, torch.randn(2, 3, 7))
    torch.testing.assert_close(pool(changed, mask), found)
    if not attentive:
        real = columns[1, :, :4]
        expected = torch.cat([real.mean(dim=1), real.std(dim=1, correction=0)])
        torch.testing.assert_close(found[1], expected)


def test_weights_move_the_statistics_and_constants_have_finite_gradients() -> None:
    columns = torch.tensor([[[0.0, 4.0]]])
    weights = torch.tensor([[[0.75, 0.25]]])
    torch.testing.assert_close(
        weighted_statistics(columns, weights)[0], torch.tensor([1.0, 3**0.5])
    )
    constant = torch.ones(1, 2, 5, requires_grad=True)
    weighted_statistics(constant, torch.full((1, 1, 5), 0.2)).sum().backward()
    assert constant.grad is not None
    assert constant.grad.isfinite().all()
