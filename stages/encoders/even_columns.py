"""Spectra of spans of sound whose columns divide every step evenly.

Conventions: B spans, C channels, S samples, F frequencies, K columns.
"""

import torch
from torch import Tensor

from avkd.errors import InvalidValueError
from avkd.stages.encoders.spectra import Spectrum


class EvenColumns(Spectrum):
    """Columns begin at the sample nearest to their place, so that they never drift from steps."""

    def __init__(
        self,
        sample_rate: int,
        fft_seconds: float,
        *,
        window_samples: int,
        samples_per_step: float,
        columns_per_step: int,
    ) -> None:
        """A window holds as many columns as lie whole in it.

        Raises:
            InvalidValueError: A column is shorter than 4 samples, or longer than the window.
        """
        hop = samples_per_step / columns_per_step
        super().__init__(sample_rate, fft_seconds, hop / sample_rate)
        if window_samples < self.num_fft:
            raise InvalidValueError(
                f"a window of {window_samples} samples is shorter than a column of {self.num_fft}; "
                "take a longer window_seconds or a shorter fft_seconds"
            )
        self.hop = hop
        self.window_samples = window_samples
        self.samples_per_step = samples_per_step
        self.columns_per_step = columns_per_step
        self.columns_per_window = int((window_samples - self.num_fft) / hop + 1e-9) + 1

    def forward(self, windows: Tensor) -> Tensor:
        """complex64 (B, C, F, K) of (B, C, S): the windows of steps in a row, one or more."""
        starts = self._find_starts(windows.shape[-1]).to(windows.device)
        places = starts[:, None] + torch.arange(self.num_fft, device=windows.device)
        with torch.autocast(windows.device.type, enabled=False):
            columns = windows.float()[..., places] * self.window
            spectra: Tensor = torch.fft.rfft(columns).transpose(-1, -2)
        return spectra / self.window.sum()

    def _find_starts(self, num_samples: int) -> Tensor:
        num_steps = round((num_samples - self.window_samples) / self.samples_per_step) + 1
        num_columns = (num_steps - 1) * self.columns_per_step + self.columns_per_window
        starts = (torch.arange(num_columns, dtype=torch.float64) * self.hop).round().long()
        # Of a step that is no whole number of samples, the last column may end a sample too late.
        return starts.clamp_max(num_samples - self.num_fft)
