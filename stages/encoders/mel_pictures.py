"""The ear of MM-DistillNet (Valverde et al., CVPR 2021): mel spectrograms as a picture's channels.

Sourced [S:MM-code]: of each microphone the mel power at 44.1 kHz, FFT of 1024, hop of 256, 80
bands, in decibels below the channel's own maximum; channels stacked, resized by cubic interpolation
to 768 x 768, with no further normalisation, into EfficientNet-B2, whose taps at strides 8, 16 and
32 have 48, 120 and 352 channels. Recalled [R]: about 1 s, and the defaults of librosa: Slaney's
mels of an area of 1, a floor 80 dB below the reference, columns centred on their samples with the
borders mirrored, which is 173 of them [D]. Ours: the sample rate is the store's, and a channel in
which there is nothing at all lies at the floor, where the released preparation has it at 0 dB, as
if all of it were loudest [D]. The lowest band is the top row.

Conventions: N windows of real steps, C microphones, W samples, F frequencies, M mel bands, T
columns, h and w cells of a map.
"""

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad

from avkd.errors import InvalidValueError
from avkd.stages.encoders.mel_filters import mel_filters
from avkd.stages.encoders.spectra import POWER_FLOOR, Reference, Spectrum, power
from avkd.stages.encoders.step_sound import StepSoundEncoder, StepSoundOptions, build_step_sound
from avkd.stages.encoders.step_windows import Channels, cut_windows
from avkd.stages.encoders.stream_inputs import (
    keep_out_of_checkpoints,
    require_choice,
    require_count,
    require_counts,
)
from avkd.stages.encoders.streams import InputShape, register_stream_encoder

Scaling: TypeAlias = Literal["none", "unit"]
STRIDES = (8, 16, 32)
PAPER_PICTURE = (768, 768)
PAPER_FFT_SECONDS = 1024 / 44_100
PAPER_HOP_SECONDS = 256 / 44_100
DECIBEL_RANGES: Mapping[Reference, float] = {
    "own": 80.0,
    "shared": 80.0,
    "fixed": -10 * math.log10(POWER_FLOOR),
}
"""How far below its reference the floor of a picture lies."""


class MelDecibels(nn.Module):
    """Windows to mel spectrograms in decibels; nothing to learn, nothing to checkpoint."""

    filters: Tensor

    def __init__(self, spectrum: Spectrum, num_mels: int, reference: Reference) -> None:
        """``reference`` is each channel's ``own`` maximum, the ``shared`` one of all, or ``fixed``.

        Raises:
            InvalidValueError: A band has no frequency, or there is no such reference.
        """
        super().__init__()
        require_choice("reference", reference, tuple(DECIBEL_RANGES))
        self.reference = reference
        self.range = DECIBEL_RANGES[reference]
        self.spectrum = spectrum
        filters = mel_filters(spectrum, num_mels, lowest_hz=0.0, form="slaney")
        self.register_buffer("filters", filters.T.contiguous())
        keep_out_of_checkpoints(self)

    def forward(self, windows: Tensor) -> Tensor:
        """float32 (N, C, M, T) of (N, C, W): from minus the range to 0 at the reference.

        ``fixed`` refers to a mean power of 1 in a band, and a full sine stays below it.
        """
        border = self.spectrum.num_fft // 2
        with torch.autocast(windows.device.type, enabled=False):
            spectra = self.spectrum(pad(windows.float(), (border, border), mode="reflect"))
            mel_power = self.filters @ power(spectra)
            decibels = 10 * mel_power.clamp_min(POWER_FLOOR).log10()
        if self.reference == "fixed":
            return decibels
        axes = (1, 2, 3) if self.reference == "shared" else (2, 3)
        loudest = decibels.amax(dim=axes, keepdim=True)
        is_silent = loudest <= -DECIBEL_RANGES["fixed"]
        relative = (decibels - loudest).clamp_min(-self.range)
        return relative.masked_fill(is_silent, -self.range)


class MelPicturesNetwork(nn.Module):
    """Windows to pictures, to the maps of an image network."""

    def __init__(
        self,
        decibels: MelDecibels,
        backbone: nn.Module,
        map_channels: tuple[int, ...],
        *,
        picture_size: tuple[int, int],
        scaling: Scaling,
    ) -> None:
        """``backbone`` maps pictures (N, C, *picture_size) to maps at strides 8, 16 and 32.

        Raises:
            InvalidValueError: The scaling is not known.
        """
        super().__init__()
        require_choice("scaling", scaling, ("none", "unit"))
        self.decibels = decibels
        self.backbone = backbone
        self.map_channels = map_channels
        self.picture_size = picture_size
        self.scaling = scaling

    def forward(self, windows: Tensor) -> Tensor:
        """(N, channels of the last map): its mean."""
        return self.find_maps(windows)[-1].mean(dim=(2, 3))

    def find_maps(self, windows: Tensor) -> list[Tensor]:
        """(N, channels, h, w) at each of the strides, of (N, C, W)."""
        # Channels last is faster on a CPU; the weights stay contiguous for saving.
        pictures = self.draw(windows).to(memory_format=torch.channels_last)
        return list(self.backbone(pictures))

    def draw(self, windows: Tensor) -> Tensor:
        """float32 (N, C, *picture_size) of (N, C, W)."""
        decibels: Tensor = self.decibels(windows)
        if self.scaling == "unit":
            decibels = 1 + decibels * (2 / self.decibels.range)
        # OpenCV's cubic, as released, would skip columns where the picture has fewer.
        height, width = self.picture_size
        shrinks = height < decibels.shape[2] or width < decibels.shape[3]
        return interpolate(decibels, self.picture_size, mode="bicubic", antialias=shrinks)


class MelPicturesEncoder(StepSoundEncoder):
    """A network over the picture of each real step's window, which also gives its maps."""

    network: MelPicturesNetwork

    @property
    def map_channels(self) -> tuple[int, ...]:
        """Of each map, the finest first."""
        return self.network.map_channels

    @property
    def map_sizes(self) -> tuple[tuple[int, int], ...]:
        """Height and width of each map in cells, the finest first."""
        return count_cells(self.picture_size)

    @property
    def picture_size(self) -> tuple[int, int]:
        """Height and width in pixels of what the network looks at."""
        return self.network.picture_size

    def encode_maps(self, inputs: Mapping[str, Tensor], num_steps: Tensor) -> list[Tensor]:
        """(N, channels, h, w) at strides 8, 16 and 32: of the real steps, by clip and step.

        Raises:
            InvalidValueError: A stream is missing or has another shape than at building.
        """
        waveform, num_steps, _ = self.take_sound(inputs, num_steps)
        windows = cut_windows(
            self._change_gain(waveform), num_steps, self.samples_per_step, self.window_samples
        )
        return self.network.find_maps(self.order(windows))


@register_stream_encoder
def mel_pictures(
    shapes: Mapping[str, InputShape],
    stream: str = "waveform",
    channels: Channels = "all",
    step_seconds: float = 0.0,
    window_seconds: float = 1.0,
    fft_seconds: float = PAPER_FFT_SECONDS,
    hop_seconds: float = PAPER_HOP_SECONDS,
    num_mels: int = 80,
    reference: Reference = "own",
    scaling: Scaling = "none",
    picture_size: Sequence[int] = PAPER_PICTURE,
    backbone: str = "tf_efficientnet_b2",
    max_gain_decibels: float = 0.0,
) -> MelPicturesEncoder:
    """The sound around each step as a picture of mel spectrograms, one channel a microphone.

    ``reference`` is the maximum that is 0 dB: each microphone's ``own``, which loses the levels
    between microphones, the ``shared`` one of the window, or ``fixed``, which keeps the level.
    ``scaling`` ``unit`` brings decibels to -1 to 1; ``none`` hands them on as they are, and what
    lies beyond the picture's border is then as loud as 0 dB. ``picture_size`` is height and width,
    ``backbone`` any network of timm with maps at strides 8, 16 and 32, with fresh weights. What is
    known of the camera cannot enter maps. The other options are those of ``spectrogram_pair``.

    Raises:
        InvalidValueError: A stream is missing or of another kind, or an option is out of its range.
    """
    require_count("num_mels", num_mels)
    height, width = _read_picture_size(picture_size)
    options = StepSoundOptions(
        stream=stream,
        channels=channels,
        step_seconds=step_seconds,
        window_seconds=window_seconds,
        max_gain_decibels=max_gain_decibels,
    )

    def build_network(num_channels: int, sample_rate: int, _: float) -> tuple[nn.Module, int]:
        spectrum = Spectrum(sample_rate, fft_seconds, hop_seconds)
        _require_column(round(window_seconds * sample_rate), spectrum)
        decibels = MelDecibels(spectrum, num_mels, reference)
        body, widths = build_backbone(backbone, num_channels, (height, width))
        network = MelPicturesNetwork(
            decibels, body, widths, picture_size=(height, width), scaling=scaling
        )
        return network, widths[-1]

    return build_step_sound(build_network, "mel_pictures", shapes, options, MelPicturesEncoder)


def build_backbone(
    name: str, num_channels: int, picture_size: tuple[int, int]
) -> tuple[nn.Module, tuple[int, ...]]:
    """An image network of timm that gives maps at strides 8, 16 and 32, and their channels.

    Raises:
        InvalidValueError: timm has no such network, or it gives no such maps.
    """
    import timm

    if not timm.is_model(name):
        raise InvalidValueError(f"timm has no network {name!r}; timm.list_models() has the names")
    try:
        network: Any = timm.create_model(
            name, pretrained=False, features_only=True, in_chans=num_channels, out_indices=(2, 3, 4)
        )
        shapes = _look(network, num_channels, picture_size)
    except (AssertionError, AttributeError, IndexError, RuntimeError, TypeError, ValueError):
        shapes = []
    if tuple(shape[2:] for shape in shapes) != count_cells(picture_size):
        raise InvalidValueError(
            f"timm's {name} gives no maps of a picture of {picture_size} at strides 8, 16 and 32; "
            "choose an EfficientNet, such as tf_efficientnet_b2"
        )
    return network, tuple(shape[1] for shape in shapes)


def count_cells(picture_size: tuple[int, int]) -> tuple[tuple[int, int], ...]:
    """Height and width of the maps at each of the strides."""
    height, width = picture_size
    return tuple((math.ceil(height / stride), math.ceil(width / stride)) for stride in STRIDES)


@torch.no_grad()
def _look(
    network: nn.Module, num_channels: int, picture_size: tuple[int, int]
) -> list[tuple[int, ...]]:
    """The shapes of the maps of one picture, without computing them."""
    shadow = copy.deepcopy(network).to("meta").eval()
    maps = shadow(torch.empty(1, num_channels, *picture_size, device="meta"))
    return [tuple(each.shape) for each in maps]


def _read_picture_size(size: Sequence[int]) -> tuple[int, int]:
    require_counts("picture_size", size)
    if len(size) != 2 or min(size) < STRIDES[-1]:
        raise InvalidValueError(
            f"picture_size {tuple(size)} must be height and width in pixels, each at least "
            f"{STRIDES[-1]}"
        )
    return size[0], size[1]


def _require_column(window_samples: int, spectrum: Spectrum) -> None:
    if window_samples < spectrum.num_fft:
        raise InvalidValueError(
            f"a window of {window_samples} samples is shorter than a column of "
            f"{spectrum.num_fft}; take a longer window_seconds or a shorter fft_seconds"
        )
