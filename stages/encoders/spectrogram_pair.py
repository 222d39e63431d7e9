"""The ear of StereoSoundNet (Gan et al., ICCV 2019): ten convolutions over stacked spectrograms.

Sourced [S:GAN-fig]: the spectrograms of left and right as two channels, ten convolutions to a
vector, camera meta-data through a perceptron to 128 beside it. Recalled [R]: windows of 1 s, log
magnitudes of an STFT. Unknown [U], so that ours: sample rate, STFT, widths, kernels, strides,
normalisation, and how the last map becomes a vector (here: its mean).

Conventions: N windows, C channels, F frequencies, T columns.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from avkd.errors import InvalidValueError
from avkd.stages.encoders.spectra import Reference, Spectrum, log_magnitude
from avkd.stages.encoders.step_sound import StepSoundEncoder, StepSoundOptions, build_step_sound
from avkd.stages.encoders.step_windows import Channels
from avkd.stages.encoders.stream_inputs import require_choice, require_counts
from avkd.stages.encoders.streams import InputShape, register_stream_encoder

NUM_CONVOLUTIONS = 10
WIDTHS = (32, 32, 64, 64, 128, 128, 256, 256, 512, 512)


class TenConvolutions(nn.Module):
    """3 x 3 convolutions with batch normalisation and ReLU, every other one halving the map."""

    def __init__(self, num_channels: int, widths: Sequence[int]) -> None:
        """``widths`` are the channels after each convolution."""
        super().__init__()
        self.layers = nn.ModuleList(
            _convolution(before, after, stride=2 - number % 2)
            for number, (before, after) in enumerate(pairwise([num_channels, *widths]))
        )

    def forward(self, maps: Tensor) -> Tensor:
        """(N, width of the last, F / 32, T / 32), rounded up, of (N, C, F, T)."""
        # Channels last is faster on a CPU; the weights stay contiguous for saving.
        maps = maps.to(memory_format=torch.channels_last)
        for layer in self.layers:
            maps = layer(maps)
        return maps


class SpectrogramPairNetwork(nn.Module):
    """Windows to vectors."""

    def __init__(self, spectrum: Spectrum, body: TenConvolutions, reference: Reference) -> None:
        """Join front end and body."""
        super().__init__()
        self.spectrum = spectrum
        self.body = body
        self.reference = reference

    def forward(self, windows: Tensor) -> Tensor:
        """(N, width of the last convolution) of (N, C, W): the mean over frequencies and time."""
        maps: Tensor = self.body(log_magnitude(self.spectrum(windows), self.reference))
        return maps.mean(dim=(2, 3))


@register_stream_encoder
def spectrogram_pair(
    shapes: Mapping[str, InputShape],
    stream: str = "waveform",
    metadata: Sequence[str] = (),
    channels: Channels = "all",
    step_seconds: float = 0.0,
    window_seconds: float = 1.0,
    fft_seconds: float = 0.032,
    hop_seconds: float = 0.01,
    reference: Reference = "fixed",
    widths: Sequence[int] = WIDTHS,
    dropout: float = 0.0,
    max_gain_decibels: float = 0.0,
    metadata_scale: float = 10.0,
    drop_metadata: float = 0.0,
) -> StepSoundEncoder:
    """The sound around each step as a stack of log spectrograms, one a microphone.

    ``metadata`` names vector streams about the camera. ``channels`` is ``all``, or a control:
    ``first`` (mono), ``doubled``, ``swapped``, ``shuffled`` in each window (``ChannelOrder``).
    ``step_seconds`` 0 asks the store. ``reference`` keeps the level (``fixed``), loses the loudness
    (``shared``) or the levels between microphones as well (``own``). ``widths`` are those of the
    ten convolutions.

    Raises:
        InvalidValueError: A stream is missing or of another kind, or an option is out of its range.
    """
    require_counts("widths", widths)
    require_choice("reference", reference, ("fixed", "shared", "own"))
    if len(widths) != NUM_CONVOLUTIONS:
        raise InvalidValueError(f"widths has {len(widths)} numbers; the paper's network has ten")

    def build_network(num_channels: int, sample_rate: int, _: float) -> tuple[nn.Module, int]:
        spectrum = Spectrum(sample_rate, fft_seconds, hop_seconds)
        body = TenConvolutions(num_channels, widths)
        return SpectrogramPairNetwork(spectrum, body, reference), widths[-1]

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
    return build_step_sound(build_network, "spectrogram_pair", shapes, options, StepSoundEncoder)


def _convolution(before: int, after: int, stride: int) -> nn.Sequential:
    convolution = nn.Conv2d(before, after, 3, stride, 1, bias=False)
    # torch's own scale shrinks ten layers to nothing wherever batch statistics are not used yet.
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    return nn.Sequential(convolution, nn.BatchNorm2d(after), nn.ReLU())
