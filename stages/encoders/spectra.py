"""Spectra of windows of several microphones, and what differs between the microphones.

Conventions: N windows, C channels, W samples, F frequencies, T columns, P pairs of channels, L
lags. A lag is in seconds, positive where the second of a pair hears later.
"""

import math
from itertools import combinations
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from avkd.errors import InvalidValueError
from avkd.stages.encoders.stream_inputs import keep_out_of_checkpoints, require_choice

Reference: TypeAlias = Literal["fixed", "shared", "own"]
Pairing: TypeAlias = Literal["first", "ring", "all"]
POWER_FLOOR = 1e-12
"""About the power of 16-bit rounding noise in one frequency, where a full sine has 1/4."""
FIXED_MEAN = -17.0
FIXED_SD = 5.0
"""Of the log of such powers in the sound of a street; the network does the rest."""


class Spectrum(nn.Module):
    """Windows to complex spectra, scaled so that a full sine has magnitude one half."""

    window: Tensor

    def __init__(self, sample_rate: int, fft_seconds: float, hop_seconds: float) -> None:
        """A Hann window of ``fft_seconds``, an even number of samples, every ``hop_seconds``.

        Raises:
            InvalidValueError: The window has fewer than 4 samples, or the hop none.
        """
        super().__init__()
        self.sample_rate = sample_rate
        self.num_fft = 2 * round(fft_seconds * sample_rate / 2)
        self.hop_samples = round(hop_seconds * sample_rate)
        if self.num_fft < 4 or self.hop_samples < 1:
            raise InvalidValueError(
                f"fft_seconds {fft_seconds:g} and hop_seconds {hop_seconds:g} are "
                f"{self.num_fft} and {self.hop_samples} samples at {sample_rate} Hz; take at "
                "least 4 and 1"
            )
        self.register_buffer("window", torch.hann_window(self.num_fft))
        keep_out_of_checkpoints(self)

    @property
    def frequencies(self) -> Tensor:
        """(F,) in Hz."""
        places = torch.arange(self.num_fft // 2 + 1, dtype=torch.float64)
        return places * self.sample_rate / self.num_fft

    def forward(self, windows: Tensor) -> Tensor:
        """complex64 (N, C, F, T) of (N, C, W); a column lies whole inside its window.

        Raises:
            InvalidValueError: The windows are shorter than a column.
        """
        num_windows, num_channels, num_samples = windows.shape
        if num_samples < self.num_fft:
            raise InvalidValueError(
                f"a window of {num_samples} samples is shorter than a column of {self.num_fft}; "
                "take a longer window_seconds or a shorter fft_seconds"
            )
        with torch.autocast(windows.device.type, enabled=False):
            spectra = torch.stft(
                windows.float().reshape(num_windows * num_channels, num_samples),
                self.num_fft,
                self.hop_samples,
                window=self.window,
                center=False,
                return_complex=True,
            )
        return spectra.view(num_windows, num_channels, *spectra.shape[1:]) / self.window.sum()


def power(spectra: Tensor) -> Tensor:
    """Squared magnitudes; faster than through the complex absolute value."""
    return spectra.real.square() + spectra.imag.square()


def log_magnitude(spectra: Tensor, reference: Reference = "fixed") -> Tensor:
    """float32 (N, C, F, T): log powers, about 0 and 1.

    ``fixed`` keeps the level, ``shared`` takes each window's mean over all channels away and with
    it the loudness, ``own`` each channel's, which also loses the difference of levels between
    microphones, as MM-DistillNet's preparation does [S:MM-code, D].

    Raises:
        InvalidValueError: There is no such reference.
    """
    require_choice("reference", reference, ("fixed", "shared", "own"))
    logs = (power(spectra) + POWER_FLOOR).log()
    if reference == "fixed":
        return (logs - FIXED_MEAN) / FIXED_SD
    axes = (1, 2, 3) if reference == "shared" else (2, 3)
    return (logs - logs.mean(dim=axes, keepdim=True)) / FIXED_SD


def pair_channels(num_channels: int, pairing: Pairing = "first") -> tuple[tuple[int, int], ...]:
    """The pairs of microphones to compare; none of one alone.

    The ``first`` with each other one, each with its neighbour in a ``ring``, or ``all``.

    Raises:
        InvalidValueError: There is no such pairing.
    """
    require_choice("pairing", pairing, ("first", "ring", "all"))
    if pairing == "all" or num_channels < 3:
        return tuple(combinations(range(num_channels), 2))
    if pairing == "first":
        return tuple((0, other) for other in range(1, num_channels))
    return tuple((number, (number + 1) % num_channels) for number in range(num_channels))


def whitened_products(spectra: Tensor, pairs: tuple[tuple[int, int], ...]) -> Tensor:
    """complex64 (N, P, F, T): the phase of the first against the second, without magnitude.

    Near 1 in magnitude where both hear something and towards 0 in silence, whose phase is noise.
    """
    first, second = (spectra[:, list(places)] for places in zip(*pairs, strict=True))
    products = first * second.conj()
    return products / (power(products).sqrt() + POWER_FLOOR)


class PhaseCorrelation(nn.Module):
    """GCC-PHAT (Knapp and Carter, 1976 [R]) over lags and columns, in bands of frequency.

    The whitened cross-spectrum brought back to time: a source that one microphone hears d seconds
    after the other is a line at lag d, and one that passes by draws a curve.
    """

    cosines: Tensor
    sines: Tensor

    def __init__(
        self, spectrum: Spectrum, max_delay_seconds: float, num_lags: int, num_bands: int
    ) -> None:
        """Lags are even from -``max_delay_seconds`` to it, bands of equal ratio above 100 Hz.

        Raises:
            InvalidValueError: An option is out of its range.
        """
        super().__init__()
        if not max_delay_seconds > 0:
            raise InvalidValueError(f"max_delay_seconds {max_delay_seconds:g} must be above 0")
        if num_lags < 3 or num_bands < 1:
            raise InvalidValueError(
                f"num_lags {num_lags} and num_bands {num_bands} must be 3 and 1 or more"
            )
        self.lags = torch.linspace(
            -max_delay_seconds, max_delay_seconds, num_lags, dtype=torch.float64
        )
        angles = 2 * math.pi * self.lags[:, None] * spectrum.frequencies
        weights = band_weights(spectrum.frequencies, num_bands)[:, None]
        self.register_buffer("cosines", (weights * angles.cos()).float())
        self.register_buffer("sines", (weights * angles.sin()).float())
        keep_out_of_checkpoints(self)

    def forward(self, whitened: Tensor) -> Tensor:
        """float32 (N, P * bands, L, T) in [-1, 1] of whitened products (N, P, F, T)."""
        with torch.autocast(whitened.device.type, enabled=False):
            # The first against a later second turns by +2 pi f d.
            real = torch.einsum("blf,npft->npblt", self.cosines, whitened.real)
            imaginary = torch.einsum("blf,npft->npblt", self.sines, whitened.imag)
        return (real + imaginary).flatten(1, 2)


def band_weights(frequencies: Tensor, num_bands: int, lowest_hz: float = 100.0) -> Tensor:
    """(bands, F): one over the number of frequencies in each band, 0 outside of it.

    Raises:
        InvalidValueError: A band has no frequency.
    """
    edges = torch.logspace(
        math.log10(lowest_hz),
        math.log10(float(frequencies[-1])),
        num_bands + 1,
        dtype=torch.float64,
    )
    edges[-1] = math.inf
    inside = (frequencies >= edges[:-1, None]) & (frequencies < edges[1:, None])
    counts = inside.sum(dim=1, keepdim=True)
    if not counts.all():
        raise InvalidValueError(
            f"{num_bands} bands are too many for {len(frequencies)} frequencies; "
            "take fewer, or a longer fft_seconds"
        )
    return inside / counts
