"""The sound around each step of a clip, and which microphone is which.

A step's picture is that of its middle, so the window is centred there. Windows overlap where they
are longer than a step, and hear silence beyond the clip's real steps.

Conventions: B clips, C channels, S samples of a clip, N real steps of a batch, W samples of a
window.
"""

import math
from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from avkd.errors import InvalidValueError
from avkd.stages.encoders.stream_inputs import require_choice

Channels: TypeAlias = Literal["all", "first", "doubled", "swapped", "shuffled"]
CHANNELS = ("all", "first", "doubled", "swapped", "shuffled")
FULL_SCALE = 32_768.0


def count_steps(num_samples: int, samples_per_step: float, num_steps: Tensor) -> int:
    """The steps that waveforms of so many samples span.

    Raises:
        InvalidValueError: A clip has more real steps than that.
    """
    total = max(1, round(num_samples / samples_per_step))
    if int(num_steps.max()) > total:
        raise InvalidValueError(
            f"a clip has {int(num_steps.max())} steps but its {num_samples} samples span {total} "
            f"of {samples_per_step:g}; set encoder.options.step_seconds to the store's step"
        )
    return total


def cut_windows(
    waveform: Tensor, num_steps: Tensor, samples_per_step: float, window_samples: int
) -> Tensor:
    """(N, C, W): the window around the middle of every real step, by clip and step."""
    # Wide enough for any window that has a sample of the clip in it.
    padded = pad(
        silence_beyond(waveform, num_steps, samples_per_step), (window_samples, window_samples)
    )
    steps = torch.arange(int(num_steps.max()), device=waveform.device)
    row, step = (steps < num_steps.to(waveform.device)[:, None]).nonzero().T
    middle = (step + 0.5) * samples_per_step
    # Halves go up, and not to the even neighbour: whole steps then keep their distance.
    start = (middle - window_samples / 2 + 0.5).floor().long() + window_samples
    return padded.unfold(-1, window_samples, 1)[row, :, start]


def cut_spans(
    waveform: Tensor, num_steps: Tensor, samples_per_step: float, window_samples: int
) -> Tensor:
    """(B, C, S'): from the start of the first step's window to the end of the last one's.

    As many steps as the longest clip has; of shorter ones silence follows. A whole number of
    samples a step keeps every window where ``cut_windows`` cuts it.
    """
    first = math.floor(0.5 * samples_per_step - window_samples / 2 + 0.5)
    length = round((int(num_steps.max()) - 1) * samples_per_step) + window_samples
    silenced = silence_beyond(waveform, num_steps, samples_per_step)
    return pad(silenced, (-first, first + length - waveform.shape[-1]))


def silence_beyond(waveform: Tensor, num_steps: Tensor, samples_per_step: float) -> Tensor:
    """The clips (B, C, S) with nothing to hear behind their real steps."""
    real_samples = (num_steps.to(waveform.device).double() * samples_per_step).ceil()
    is_real = torch.arange(waveform.shape[-1], device=waveform.device) < real_samples[:, None]
    return waveform * is_real[:, None]


class ChannelOrder(nn.Module):
    """Which microphones are heard, in which order; the controls of a claim about stereo.

    ``all`` as they are, ``first`` alone (mono), ``doubled`` the first in every place (mono for the
    same network), ``swapped`` back to front, ``shuffled`` in an order drawn anew for each window:
    which microphone heard what is lost, but not how far to some side a source is, so that two of
    them still tell a place from most others, up to a mirror. Out of training the order is drawn
    from the samples themselves, in a way that is blind to their order, so that nothing depends on a
    generator or on the batch.
    """

    def __init__(self, kind: Channels) -> None:
        """Choose.

        Raises:
            InvalidValueError: There is no such choice.
        """
        super().__init__()
        require_choice("channels", kind, CHANNELS)
        self.kind = kind

    def count(self, num_channels: int) -> int:
        """The channels heard of so many."""
        return 1 if self.kind == "first" else num_channels

    def forward(self, windows: Tensor) -> Tensor:
        """(N, C', W) of (N, C, W)."""
        if self.kind == "all":
            return windows
        if self.kind == "first":
            return windows[:, :1]
        if self.kind == "doubled":
            return windows[:, :1].expand_as(windows)
        if self.kind == "swapped":
            return windows.flip(1)
        return windows.gather(1, self._draw(windows)[..., None].expand_as(windows))

    def _draw(self, windows: Tensor) -> Tensor:
        """int64 (N, C): an order for each window."""
        num_windows, num_channels, _ = windows.shape
        if self.training:
            # Drawn on the CPU from torch's generator: one seed, one run on every device.
            return torch.rand(num_windows, num_channels).argsort(dim=1).to(windows.device)
        sums = (windows.double() * FULL_SCALE).round().long().sum(dim=(1, 2)).tolist()
        orders = [_order_of(number % math.factorial(20), num_channels) for number in sums]
        return torch.tensor(orders, device=windows.device).view(num_windows, num_channels)


def _order_of(seed: int, num_channels: int) -> list[int]:
    order: list[int] = np.random.default_rng(seed).permutation(num_channels).tolist()
    return order
