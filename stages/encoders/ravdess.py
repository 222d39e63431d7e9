"""The picture and sound networks that MKE's first author used on RAVDESS.

From the code of the Modality Focusing Hypothesis (`ravdess/utils/model.py` at 765dbcc; MKE's own is
not released): three convolutions with ReLU, a 2 x 2 maximum after two of them and an adaptive one
after the third, two linear layers with ReLU. The last linear layer, 128 to 8, is the head.

Sourced: all of that, 40 x 256 maps of sound normalised with -10.59 and 85.66, 256 x 512 pictures.
Ours, because how the maps were made is not told: MFCCs of torchaudio with a 2048-point transform, a
hop of 512 samples at 22,050 Hz and 128 mel bands, of the real part of a clip; the mean over frames
where a clip has several, in a step or over steps; inputs of any size.

Conventions: B clips, S samples, T steps, H height, W width.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from avkd.errors import InvalidValueError
from avkd.stages.encoders.pictures import PictureAugment, PictureEncoder, frame_shape
from avkd.stages.encoders.real_steps import real_samples, samples_per_step
from avkd.stages.encoders.stream_inputs import (
    keep_out_of_checkpoints,
    require_waveform,
    take_stream,
)
from avkd.stages.encoders.streams import InputShape, StreamEncoder, register_stream_encoder

EMBEDDING_SIZE = 128
NUM_MFCC = 40
SOUND_MEAN = -10.59
SOUND_SD = 85.66
HOP_SECONDS = 512 / 22_050
NUM_FFT = 2048
NUM_MELS = 128
MIN_COLUMNS = 20
"""Of a map of MFCCs: fewer leave the third convolution nothing to look at."""


class RavdessNetwork(nn.Module):
    """Maps (B, channels, H, W) to embeddings (B, 128)."""

    def __init__(self, channels: int, kernels: tuple[int, int, int]) -> None:
        """``kernels`` of the convolutions, each padded by 1."""
        super().__init__()
        first, second, third = kernels
        self.layers = nn.Sequential(
            nn.Conv2d(channels, 32, first, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, second, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(64, 128, third, padding=1),
            nn.ReLU(),
            nn.AdaptiveMaxPool2d((7, 14)),
            nn.Flatten(),
            nn.Linear(128 * 7 * 14, 1024),
            nn.ReLU(),
            nn.Linear(1024, EMBEDDING_SIZE),
            nn.ReLU(),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """(B, 128)."""
        embedding: Tensor = self.layers(maps)
        return embedding


class RavdessSound(StreamEncoder):
    """MFCCs of the real part of each clip, then the network: padding is not heard."""

    def __init__(self, stream: str, *, sample_rate: int, samples_per_step: float) -> None:
        """``samples_per_step`` 0: the longest clip of a batch fills its waveform."""
        from torchaudio.transforms import MFCC

        super().__init__()
        self.streams = (stream,)
        self.embedding_size = EMBEDDING_SIZE
        self.samples_per_step = samples_per_step
        hop = round(HOP_SECONDS * sample_rate)
        self.min_samples = (MIN_COLUMNS - 1) * hop
        self.mfcc = MFCC(
            sample_rate,
            NUM_MFCC,
            melkwargs={"n_fft": NUM_FFT, "hop_length": hop, "n_mels": NUM_MELS},
        )
        keep_out_of_checkpoints(self.mfcc)
        self.network = RavdessNetwork(1, (7, 5, 5))

    def forward(self, inputs: Mapping[str, Tensor], num_steps: Tensor) -> Tensor:
        """(B, 128) of the first channel."""
        waveform = take_stream(inputs, self.streams[0], 3, "(clips, channels, samples)")[:, :1]
        if waveform.shape[-1] < self.min_samples:
            raise InvalidValueError(
                f"ravdess_audio needs {self.min_samples} samples, got {waveform.shape[-1]}; "
                "use longer clips"
            )
        num_real = real_samples(num_steps, waveform.shape[-1], self.samples_per_step)
        num_real = num_real.clamp_min(self.min_samples)
        order = [torch.where(num_real == length)[0] for length in torch.unique(num_real)]
        parts = [self._embed(waveform[clips, :, : int(num_real[clips[0]])]) for clips in order]
        return torch.cat(parts)[torch.cat(order).argsort()]

    def _embed(self, waveform: Tensor) -> Tensor:
        """Clips of one length."""
        with torch.autocast(waveform.device.type, enabled=False):
            maps = (self.mfcc(waveform.float()) - SOUND_MEAN) / SOUND_SD
        embedding: Tensor = self.network(maps)
        return embedding


@register_stream_encoder
def ravdess_image(
    shapes: Mapping[str, InputShape],
    stream: str = "frames",
    rand_augment: int = 0,
    magnitude: int = 9,
    flip: float = 0.0,
    erase: float = 0.0,
) -> PictureEncoder:
    """The picture network over each frame, the mean over real steps; ``pictures`` tells the rest.

    Raises:
        InvalidValueError: There are no such frames, they are too small, or an option is out of its
            range.
    """
    height, width = frame_shape(shapes, stream)
    if min(height, width) < 4:
        raise InvalidValueError(f"ravdess_image needs 4 x 4 pixels, {stream} has {height}x{width}")
    augment = PictureAugment(rand_augment=rand_augment, magnitude=magnitude, flip=flip, erase=erase)
    network = RavdessNetwork(3, (3, 3, 3))
    return PictureEncoder(
        network,
        stream,
        EMBEDDING_SIZE,
        augment=augment,
        pool="mean",
        dropout=0.0,
        frames_per_step=shapes[stream].frames_per_step,
    )


@register_stream_encoder
def ravdess_audio(shapes: Mapping[str, InputShape], stream: str = "waveform") -> RavdessSound:
    """The sound network over the MFCCs of a waveform of any rate.

    Raises:
        InvalidValueError: There is no such waveform.
    """
    shape = require_waveform(shapes, stream, "ravdess_audio", 0)
    return RavdessSound(
        stream,
        sample_rate=shape.sample_rate,
        samples_per_step=samples_per_step(shapes, stream),
    )
