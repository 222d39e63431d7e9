"""An ear of ours that looks at what differs between microphones, for two or more of them.

Beside log magnitudes it sees, as channels over frequency and time, the cosine and sine of the phase
difference and the difference of levels of pairs of microphones, and, as a second picture over lag
and time, their phase correlation in bands. Both are kept as coarse maps and not averaged: where in
frequency, lag and time something lies is what tells where it is.

Conventions: N windows, C channels, F frequencies, T columns, P pairs of channels, L lags.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from avkd.errors import InvalidValueError
from avkd.stages.encoders.logmel import ResidualBlock
from avkd.stages.encoders.spectra import (
    Pairing,
    PhaseCorrelation,
    Spectrum,
    level_differences,
    log_magnitude,
    pair_channels,
    phase_differences,
    whitened_products,
)
from avkd.stages.encoders.step_sound import StepSoundEncoder, StepSoundOptions, build_step_sound
from avkd.stages.encoders.step_windows import Channels
from avkd.stages.encoders.stream_inputs import require_count, require_counts
from avkd.stages.encoders.streams import InputShape, register_stream_encoder


class CoarseMap(nn.Module):
    """Residual blocks that halve a map, then its means over a few fields, to a vector."""

    def __init__(
        self, num_channels: int, widths: Sequence[int], fields: tuple[int, int], vector_size: int
    ) -> None:
        """A block for each width; ``fields`` are kept over height and width."""
        super().__init__()
        self.blocks = nn.ModuleList(
            ResidualBlock(before, after) for before, after in pairwise([num_channels, *widths])
        )
        self.fields = fields
        self.project = nn.Linear(widths[-1] * fields[0] * fields[1], vector_size)

    def forward(self, maps: Tensor) -> Tensor:
        """(N, vector_size) of (N, channels, height, width)."""
        # Channels last is faster on a CPU; the weights stay contiguous for saving.
        maps = maps.to(memory_format=torch.channels_last)
        for block in self.blocks:
            maps = block(maps)
        vector: Tensor = self.project(adaptive_avg_pool2d(maps, self.fields).flatten(1))
        return vector.relu()


class PhaseAwareNetwork(nn.Module):
    """Windows to vectors: a picture over frequency, and one over lag where there are pairs."""

    def __init__(
        self,
        spectrum: Spectrum,
        correlation: PhaseCorrelation,
        pairs: tuple[tuple[int, int], ...],
        over_frequency: CoarseMap,
        over_lag: CoarseMap | None,
    ) -> None:
        """``over_lag`` None where there are no pairs."""
        super().__init__()
        self.spectrum = spectrum
        self.correlation = correlation
        self.pairs = pairs
        self.over_frequency = over_frequency
        self.over_lag = over_lag

    def forward(self, windows: Tensor) -> Tensor:
        """(N, D) of (N, C, W)."""
        spectra = self.spectrum(windows)
        heard = log_magnitude(spectra)
        if self.over_lag is None:
            alone: Tensor = self.over_frequency(heard)
            return alone
        whitened = whitened_products(spectra, self.pairs)
        differences = phase_differences(whitened), level_differences(spectra, self.pairs)
        over_frequency = self.over_frequency(torch.cat([heard, *differences], dim=1))
        return torch.cat([over_frequency, self.over_lag(self.correlation(whitened))], dim=1)


@register_stream_encoder
def phase_aware(
    shapes: Mapping[str, InputShape],
    stream: str = "waveform",
    metadata: Sequence[str] = (),
    channels: Channels = "all",
    step_seconds: float = 0.0,
    window_seconds: float = 1.0,
    fft_seconds: float = 0.032,
    hop_seconds: float = 0.016,
    pairing: Pairing = "first",
    max_delay_seconds: float = 0.00125,
    num_lags: int = 65,
    num_bands: int = 3,
    widths: Sequence[int] = (24, 48, 96),
    lag_widths: Sequence[int] = (24, 48, 96),
    fields: Sequence[int] = (8, 4),
    vector_size: int = 256,
    dropout: float = 0.0,
    max_gain_decibels: float = 0.0,
    metadata_scale: float = 10.0,
    drop_metadata: float = 0.0,
) -> StepSoundEncoder:
    """The sound around each step with phase and level differences and the correlation of pairs.

    ``max_delay_seconds`` should be the longest way between two microphones of a pair over 343 m/s,
    and a little more. ``pairing`` is the ``first`` microphone with each, a ``ring``, or ``all``.
    ``widths`` are of the blocks over frequency, ``lag_widths`` over lag; ``fields`` of the maps are
    kept over frequency (and lag) and time. The other options are those of ``spectrogram_pair``.

    Raises:
        InvalidValueError: A stream is missing or of another kind, or an option is out of its range.
    """
    require_counts("widths", widths)
    require_counts("lag_widths", lag_widths)
    require_counts("fields", fields)
    require_count("vector_size", vector_size)
    if len(fields) != 2:
        raise InvalidValueError(f"fields {tuple(fields)} must be two, over frequency and time")

    def build_network(num_channels: int, sample_rate: int) -> tuple[nn.Module, int]:
        spectrum = Spectrum(sample_rate, fft_seconds, hop_seconds)
        correlation = PhaseCorrelation(spectrum, max_delay_seconds, num_lags, num_bands)
        pairs = pair_channels(num_channels, pairing)
        kept = (fields[0], fields[1])
        # One microphone has no pairs, and its vector is as wide as with them.
        size = vector_size - vector_size // 2 if pairs else vector_size
        over_frequency = CoarseMap(num_channels + 3 * len(pairs), widths, kept, size)
        over_lag = (
            CoarseMap(num_bands * len(pairs), lag_widths, kept, vector_size // 2) if pairs else None
        )
        network = PhaseAwareNetwork(spectrum, correlation, pairs, over_frequency, over_lag)
        return network, vector_size

    options = StepSoundOptions(
        stream=stream,
        metadata=metadata,
        channels=channels,
        step_seconds=step_seconds,
        window_seconds=window_seconds,
        dropout=dropout,
        max_gain_decibels=max_gain_decibels,
        metadata_scale=metadata_scale,
        drop_metadata=drop_metadata,
    )
    return build_step_sound(build_network, "phase_aware", shapes, options)
