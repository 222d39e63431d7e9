from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from avkd.errors import InvalidValueError
from avkd.stages.encoders.step_windows import (
    CHANNELS,
    ChannelOrder,
    count_steps,
    cut_spans,
    cut_windows,
)

PER_STEP = 10


def ramp(num_samples: int = 40) -> Tensor:
    """Two clips of two channels whose samples say where they are, from 1."""
    places = torch.arange(1.0, num_samples + 1)
    return torch.stack([torch.stack([places, -places]), torch.stack([100 + places, -100 - places])])


def test_a_window_of_one_step_is_the_step() -> None:
    waveform = ramp()
    windows = cut_windows(waveform, torch.tensor([4, 2]), PER_STEP, PER_STEP)
    assert windows.shape == (6, 2, PER_STEP)
    assert torch.equal(windows[2], waveform[0, :, 20:30])
    assert torch.equal(windows[5], waveform[1, :, 10:20])


def test_a_longer_window_is_centred_on_the_step_and_silent_beyond_the_clip() -> None:
    waveform = ramp()
    windows = cut_windows(waveform, torch.tensor([4, 4]), PER_STEP, 20)
    assert torch.equal(windows[1], waveform[0, :, 5:25])
    assert not windows[0, :, :5].any()
    assert torch.equal(windows[0, :, 5:], waveform[0, :, :15])
    assert not windows[3, :, 15:].any()


def test_sound_after_the_real_steps_is_not_heard() -> None:
    windows = cut_windows(ramp(), torch.tensor([4, 2]), PER_STEP, 20)
    assert not windows[5, :, 15:].any()
    assert windows[5, :, :15].all()


def test_windows_wider_than_the_clip_hold_all_of_it() -> None:
    windows = cut_windows(ramp(), torch.tensor([4, 1]), PER_STEP, 200)
    assert (windows[:4, 0] != 0).sum(dim=1).tolist() == [40] * 4
    assert (windows[4, 0] != 0).sum() == 10


def test_steps_of_a_fraction_of_a_sample_do_not_drift() -> None:
    waveform = torch.arange(1000.0)[None, None]
    windows = cut_windows(waveform, torch.tensor([30]), 100 / 3, 3)
    middles = (torch.arange(30) + 0.5) * 100 / 3
    assert (windows[:, 0, 1] - middles).abs().max() <= 1


@given(
    per_step=st.integers(1, 12), window=st.integers(1, 70), num_steps=st.lists(st.integers(1, 6))
)
def test_a_span_holds_the_windows_of_all_steps_one_after_the_other(
    per_step: int, window: int, num_steps: list[int]
) -> None:
    steps = torch.tensor([3, *num_steps])
    waveform = torch.arange(1.0, len(steps) * 2 * 72 + 1).view(len(steps), 2, 72)
    spans = cut_spans(waveform, steps, per_step, window)
    windows = cut_windows(waveform, steps, per_step, window)
    found = spans.unfold(-1, window, per_step)
    assert found.shape[2] == int(steps.max())
    real = torch.arange(found.shape[2]) < steps[:, None]
    assert torch.equal(found.movedim(2, 1)[real], windows)


def test_steps_are_counted_from_samples() -> None:
    assert count_steps(40, PER_STEP, torch.tensor([4])) == 4
    assert count_steps(41, PER_STEP, torch.tensor([4])) == 4
    with pytest.raises(InvalidValueError, match="has 5 steps but its 40 samples span 4 of 10"):
        count_steps(40, PER_STEP, torch.tensor([5]))


def sounds(total: int = 64, channels: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    whole = torch.randint(-20_000, 20_000, (total, channels, 50), generator=generator)
    return whole.float() / 32_768


def test_channels_are_kept_dropped_or_turned_round() -> None:
    windows = sounds(channels=3)
    assert torch.equal(ChannelOrder("all")(windows), windows)
    assert torch.equal(ChannelOrder("first")(windows), windows[:, :1])
    assert torch.equal(ChannelOrder("swapped")(windows), windows[:, [2, 1, 0]])
    assert torch.equal(ChannelOrder("doubled")(windows), windows[:, [0, 0, 0]])
    counts = {kind: ChannelOrder(kind).count(3) for kind in CHANNELS}  # type: ignore[arg-type]
    assert counts == dict.fromkeys(CHANNELS, 3) | {"first": 1}


@pytest.mark.parametrize("channels", [2, 8])
def test_shuffling_keeps_what_is_heard_and_loses_by_whom(channels: int) -> None:
    windows = sounds(channels=channels)
    shuffled = ChannelOrder("shuffled").eval()(windows)
    key = windows[..., 0].sort(dim=1).values
    assert torch.equal(shuffled[..., 0].sort(dim=1).values, key)
    first = Counter((windows == shuffled[:, :1]).all(dim=2).nonzero()[:, 1].tolist())
    assert len(first) == channels
    assert max(first.values()) < 64 * 2.5 / channels


def test_out_of_training_the_order_depends_on_the_sound_alone_and_not_on_its_order() -> None:
    order, windows = ChannelOrder("shuffled").eval(), sounds()
    state = torch.get_rng_state()
    shuffled = order(windows)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(order(windows[5:6]), shuffled[5:6])
    # Whether a window is turned does not tell which microphone was first: turned before or not,
    # the same one of the two orders is applied.
    turned = order(windows.flip(1))
    was_turned = (shuffled != windows).any(dim=(1, 2))
    assert torch.equal((turned != windows.flip(1)).any(dim=(1, 2)), was_turned)
    assert 16 < was_turned.sum() < 48


def test_in_training_the_order_is_drawn_anew_and_repeats_with_the_seed() -> None:
    order, windows = ChannelOrder("shuffled").train(), sounds()
    torch.manual_seed(1)
    first, second = order(windows), order(windows)
    assert not torch.equal(first, second)
    torch.manual_seed(1)
    assert torch.equal(order(windows), first)


def test_an_unknown_order_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="channels 'mono' is not known; use all or first"):
        ChannelOrder("mono")  # type: ignore[arg-type]
