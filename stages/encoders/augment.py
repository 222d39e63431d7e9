"""Random changes of sound while a student trains.

Random numbers come from a CPU generator, so that one seed gives one training run on every device;
None means torch's global one, which a checkpoint keeps.

Conventions: B clips, C channels, S samples, M mel bands, T columns.
"""

import torch
from torch import Tensor, nn


class SpecAugment(nn.Module):
    """Bands of mels and of columns set to the clip's mean, while training (Park et al. 2019)."""

    def __init__(
        self,
        *,
        num_masks: int = 2,
        max_mels: int = 8,
        max_columns_fraction: float = 0.1,
        generator: torch.Generator | None = None,
    ) -> None:
        """``num_masks`` of each kind; widths are even between 0 and the largest."""
        super().__init__()
        self.num_masks = num_masks
        self.max_mels = max_mels
        self.max_columns_fraction = max_columns_fraction
        self.generator = generator

    def forward(self, logmel: Tensor) -> Tensor:
        """(B, M, T) with masks while training, unchanged otherwise."""
        if not self.training or self.num_masks == 0:
            return logmel
        num_clips, num_mels, num_columns = logmel.shape
        max_columns = round(self.max_columns_fraction * num_columns)
        mels = self._draw_bands(num_clips, num_mels, self.max_mels).to(logmel.device)
        columns = self._draw_bands(num_clips, num_columns, max_columns).to(logmel.device)
        mean = logmel.mean(dim=(1, 2), keepdim=True)
        return torch.where(mels[:, :, None] | columns[:, None, :], mean, logmel)

    def _draw_bands(self, num_clips: int, size: int, largest: int) -> Tensor:
        """A mask (B, size), True inside any of the bands."""
        shape = (2, num_clips, self.num_masks, 1)
        width, place = torch.rand(shape, generator=self.generator)
        width = width * min(largest, size)
        start = place * (size - width)
        # The middle of a cell decides, so that a band of width w covers w cells on average.
        middle = torch.arange(size) + 0.5
        inside: Tensor = (middle >= start) & (middle < start + width)
        return inside.any(dim=1)


def shift_and_scale(
    waveform: Tensor,
    *,
    max_shift: int,
    max_gain_decibels: float,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Each of the waveforms (B, C, S) turned circularly and made louder or softer.

    The turn is up to ``max_shift`` samples, the gain up to ``max_gain_decibels``, either way.
    Targets keep their steps, so the shift should stay well below one.
    """
    num_clips, _, num_samples = waveform.shape
    shift = torch.randint(-max_shift, max_shift + 1, (num_clips,), generator=generator)
    decibels = (2 * torch.rand(num_clips, generator=generator) - 1) * max_gain_decibels
    turned = torch.stack(
        [
            clip.roll(int(by) % num_samples, dims=-1)
            for clip, by in zip(waveform, shift, strict=True)
        ]
    )
    return turned * (10 ** (decibels / 20)).to(waveform)[:, None, None]


class WaveformAugment(nn.Module):
    """``shift_and_scale`` while training."""

    def __init__(
        self,
        *,
        max_shift: int,
        max_gain_decibels: float,
        generator: torch.Generator | None = None,
    ) -> None:
        """Shift in samples, gain in decibels either way; 0 and 0 change nothing."""
        super().__init__()
        self.max_shift = max_shift
        self.max_gain_decibels = max_gain_decibels
        self.generator = generator

    def forward(self, waveform: Tensor) -> Tensor:
        """(B, C, S) changed while training, unchanged otherwise."""
        if not self.training or not (self.max_shift or self.max_gain_decibels):
            return waveform
        return shift_and_scale(
            waveform,
            max_shift=self.max_shift,
            max_gain_decibels=self.max_gain_decibels,
            generator=self.generator,
        )
