"""An ear of ours that looks at what differs between microphones, for two or more of them.

It sees two pictures over time: over lag, the phase correlation of pairs of microphones in bands,
and over mel, the mean log power and the difference of levels of the pairs. Nothing is averaged over
lag or time before the last layer: where something lies is what tells where it is.

Columns divide a step evenly and no layer pads time, so that a clip is heard once as a whole and
each step still hears its own window and nothing else.

Conventions: B clips, T steps, C channels, S samples, P pairs of channels, L lags, M mel bands, K
columns, D width of a vector.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from avkd.errors import InvalidValueError
from avkd.stages.encoders.clip_sound import ClipSoundEncoder
from avkd.stages.encoders.even_columns import EvenColumns
from avkd.stages.encoders.mel_filters import mel_filters
from avkd.stages.encoders.spectra import (
    POWER_FLOOR,
    Pairing,
    PhaseCorrelation,
    Spectrum,
    pair_channels,
    power,
    whitened_products,
)
from avkd.stages.encoders.step_sound import StepSoundOptions, build_step_sound
from avkd.stages.encoders.step_windows import Channels
from avkd.stages.encoders.stream_inputs import (
    keep_out_of_checkpoints,
    require_count,
    require_counts,
)
from avkd.stages.encoders.streams import InputShape, register_stream_encoder

TIME_KERNEL = 3
LOWEST_HZ = 50.0
FIXED_MEAN = -14.0
FIXED_SD = 4.0
"""Of the log of mel powers in the sound of a street; the network does the rest."""


class HalvingBlock(nn.Module):
    """A convolution, batch normalisation, ReLU, and the largest of two neighbours in height.

    The width, which is time, is not padded and shrinks by two.
    """

    def __init__(self, before: int, after: int) -> None:
        """Channels ``before`` and ``after``."""
        super().__init__()
        self.convolution = nn.Conv2d(before, after, (3, TIME_KERNEL), padding=(1, 0), bias=False)
        self.norm = nn.BatchNorm2d(after)

    def forward(self, maps: Tensor) -> Tensor:
        """(B, after, H // 2, K - 2) of (B, before, H, K)."""
        heard: Tensor = self.norm(self.convolution(maps)).relu()
        return max_pool2d(heard, (2, 1))


class HeightFolding(nn.Module):
    """Halving blocks, then all that is left of the height into the channels."""

    def __init__(self, num_channels: int, height: int, widths: Sequence[int], size: int) -> None:
        """A block for each of ``widths``; ``size`` channels come out.

        Raises:
            InvalidValueError: The height cannot be halved so often.
        """
        super().__init__()
        left = height >> len(widths)
        if left < 1:
            raise InvalidValueError(
                f"a picture of {height} rows cannot be halved {len(widths)} times; "
                "take fewer widths, or more lags and mel bands"
            )
        self.blocks = nn.Sequential(
            *(HalvingBlock(before, after) for before, after in pairwise([num_channels, *widths]))
        )
        self.fold = nn.Conv1d(widths[-1] * left, size, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """(B, size, K') of (B, num_channels, height, K)."""
        folded: Tensor = self.fold(self.blocks(maps).flatten(1, 2))
        return folded


class MelLevels(nn.Module):
    """The mean log mel power of all microphones, and how it differs within pairs."""

    filters: Tensor

    def __init__(self, spectrum: Spectrum, num_mels: int, pairs: Sequence[tuple[int, int]]) -> None:
        """Mel bands from 50 Hz to half the sample rate.

        Raises:
            InvalidValueError: A band has no frequency.
        """
        super().__init__()
        filters = mel_filters(spectrum, num_mels, lowest_hz=LOWEST_HZ)
        self.register_buffer("filters", filters.T.contiguous())
        keep_out_of_checkpoints(self)
        self.firsts, self.seconds = [first for first, _ in pairs], [second for _, second in pairs]

    def forward(self, spectra: Tensor) -> Tensor:
        """float32 (B, 1 + P, M, K) of complex spectra (B, C, F, K)."""
        with torch.autocast(spectra.device.type, enabled=False):
            logs = (self.filters @ power(spectra) + POWER_FLOOR).log()
        levels = (logs - FIXED_MEAN) / FIXED_SD
        differences = levels[:, self.firsts] - levels[:, self.seconds]
        return torch.cat([levels.mean(dim=1, keepdim=True), differences], dim=1)


class PhaseAwareNetwork(nn.Module):
    """Spans of sound to the vectors of their steps."""

    def __init__(
        self,
        spectrum: Spectrum,
        correlation: PhaseCorrelation,
        levels: MelLevels,
        pairs: tuple[tuple[int, int], ...],
        over_mel: HeightFolding,
        over_lag: HeightFolding | None,
        gather: nn.Conv1d,
    ) -> None:
        """``over_lag`` None where there are no pairs; ``gather`` strides from step to step."""
        super().__init__()
        self.spectrum = spectrum
        self.correlation = correlation
        self.levels = levels
        self.pairs = pairs
        self.over_mel = over_mel
        self.over_lag = over_lag
        self.norm = nn.BatchNorm1d(gather.in_channels)
        self.gather = gather

    def forward(self, spans: Tensor) -> Tensor:
        """(B, T, D) of (B, C, S), the windows of T steps in a row; T is 1 of one window."""
        spectra = self.spectrum(spans)
        heard = self.over_mel(self.levels(spectra))
        if self.over_lag is not None:
            lags = self.correlation(whitened_products(spectra, self.pairs))
            heard = torch.cat([heard, self.over_lag(lags)], dim=1)
        vectors: Tensor = self.gather(self.norm(heard).relu()).relu()
        return vectors.transpose(1, 2)


@register_stream_encoder
def phase_aware(
    shapes: Mapping[str, InputShape],
    stream: str = "waveform",
    metadata: Sequence[str] = (),
    channels: Channels = "all",
    step_seconds: float = 0.0,
    window_seconds: float = 1.0,
    fft_seconds: float = 0.064,
    columns_per_second: float = 16.0,
    pairing: Pairing = "first",
    max_delay_seconds: float = 0.00125,
    num_lags: int = 48,
    num_bands: int = 4,
    num_mels: int = 40,
    widths: Sequence[int] = (16, 32, 48),
    lag_widths: Sequence[int] = (16, 32, 64),
    vector_size: int = 256,
    dropout: float = 0.0,
    max_gain_decibels: float = 0.0,
    metadata_scale: float = 10.0,
    drop_metadata: float = 0.0,
) -> ClipSoundEncoder:
    """The sound around each step as levels over mel and phase correlation over lag.

    ``columns_per_second`` is about how many there are: a step has a whole number.
    ``max_delay_seconds`` should be the longest way between two microphones of a pair over 343 m/s,
    and a little more. ``pairing`` is the ``first`` microphone with each, a ``ring``, or ``all``.
    ``widths`` are of the blocks over mel, ``lag_widths`` of as many over lag, each of which halves
    its picture; the other options are those of ``spectrogram_pair``. ``shuffled`` draws one order
    for all steps of a clip.

    Raises:
        InvalidValueError: A stream is missing or of another kind, or an option is out of its range.
    """
    require_counts("widths", widths)
    require_counts("lag_widths", lag_widths)
    for name, value in {
        "vector_size": vector_size,
        "num_mels": num_mels,
    }.items():
        require_count(name, value)
    if not columns_per_second > 0:
        raise InvalidValueError(f"columns_per_second {columns_per_second:g} must be above 0")
    if len(widths) != len(lag_widths):
        raise InvalidValueError(
            f"widths {tuple(widths)} and lag_widths {tuple(lag_widths)} must be as many: "
            "the columns that both leave are joined"
        )
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

    def build_network(num_channels: int, sample_rate: int, step: float) -> tuple[nn.Module, int]:
        columns_per_step = max(1, round(columns_per_second * step / sample_rate))
        spectrum = EvenColumns(
            sample_rate,
            fft_seconds,
            window_samples=round(window_seconds * sample_rate),
            samples_per_step=step,
            columns_per_step=columns_per_step,
        )
        correlation = PhaseCorrelation(spectrum, max_delay_seconds, num_lags, num_bands)
        pairs = pair_channels(num_channels, pairing)
        left = count_columns_left(spectrum, len(widths))
        half = vector_size // 2 if pairs else 0
        over_mel = HeightFolding(1 + len(pairs), num_mels, widths, max(1, vector_size - half))
        over_lag = (
            HeightFolding(num_bands * len(pairs), num_lags, lag_widths, max(1, half))
            if pairs
            else None
        )
        joined = over_mel.fold.out_channels + (over_lag.fold.out_channels if over_lag else 0)
        gather = nn.Conv1d(joined, vector_size, left, stride=columns_per_step)
        levels = MelLevels(spectrum, num_mels, pairs)
        network = PhaseAwareNetwork(
            spectrum, correlation, levels, pairs, over_mel, over_lag, gather
        )
        return network, vector_size

    return build_step_sound(build_network, "phase_aware", shapes, options, ClipSoundEncoder)


def count_columns_left(spectrum: EvenColumns, num_blocks: int) -> int:
    """The columns of a window that are left behind the blocks.

    Raises:
        InvalidValueError: There are none.
    """
    left = spectrum.columns_per_window - (TIME_KERNEL - 1) * num_blocks
    if left < 1:
        raise InvalidValueError(
            f"{spectrum.columns_per_window} columns of a window are too few for {num_blocks} "
            "blocks; take a longer window_seconds, more columns_per_second or fewer widths"
        )
    return left
