import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avkd.stages.encoders.augment import SpecAugment, WaveformAugment, shift_and_scale


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_masks_are_bands_of_the_clip_mean() -> None:
    logmel = torch.randn(8, 64, 100)
    masked = SpecAugment(generator=generator())(logmel)
    changed = masked != logmel
    means = logmel.mean(dim=(1, 2))[:, None, None].expand_as(logmel)
    assert torch.equal(masked[changed], means[changed])
    for clip in changed:
        rows, columns = clip.all(dim=1), clip.all(dim=0)
        assert torch.equal(clip, rows[:, None] | columns[None, :])
        assert rows.sum() <= 2 * 8 + 2
        assert columns.sum() <= 2 * 10 + 2
    assert changed.any(dim=(1, 2)).all()
    assert not torch.equal(changed[0], changed[1])


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 40))
def test_masks_take_spectrograms_of_any_size(num_mels: int, num_columns: int) -> None:
    augment = SpecAugment(max_mels=8, max_columns_fraction=1.0, generator=generator())
    assert augment(torch.randn(2, num_mels, num_columns)).shape == (2, num_mels, num_columns)


def test_a_generator_makes_masks_repeatable() -> None:
    logmel = torch.randn(2, 64, 100)
    first = SpecAugment(generator=generator(7))
    assert torch.equal(first(logmel), SpecAugment(generator=generator(7))(logmel))
    assert not torch.equal(first(logmel), SpecAugment(generator=generator(7))(logmel))


def test_nothing_changes_outside_training() -> None:
    logmel, waveform = torch.randn(2, 64, 100), torch.randn(2, 1, 500)
    assert SpecAugment().eval()(logmel) is logmel
    assert WaveformAugment(max_shift=9, max_gain_decibels=6).eval()(waveform) is waveform
    assert WaveformAugment(max_shift=0, max_gain_decibels=0)(waveform) is waveform
    assert SpecAugment(num_masks=0)(logmel) is logmel


def test_sound_is_turned_within_the_largest_shift_all_channels_alike() -> None:
    ramp = torch.arange(100.0).expand(16, 2, 100)
    turned = shift_and_scale(ramp, max_shift=5, max_gain_decibels=0, generator=generator())
    shifts = (turned[:, 0, 50] - 50).neg()
    assert shifts.abs().max() <= 5
    assert len(shifts.unique()) > 3
    for clip, shift in zip(turned, shifts.tolist(), strict=True):
        assert torch.equal(clip, ramp[0].roll(int(shift), dims=-1))


def test_gain_stays_within_its_decibels() -> None:
    ones = torch.ones(64, 1, 4)
    augment = WaveformAugment(max_shift=0, max_gain_decibels=6.0, generator=generator())
    gains = augment(ones)[:, 0, 0]
    assert gains.max() <= 10 ** (6 / 20) + 1e-6
    assert gains.min() >= 10 ** (-6 / 20) - 1e-6
    assert gains.max() > 1.5
    assert gains.min() < 0.67
