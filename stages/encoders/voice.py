"""What speaker encoders share: 16 kHz log-mels, and statistics over the columns that are real.

A speaker encoder sets what lies beyond the end of a clip to zero before every convolution that
could look there. Zeros are also what a convolution sees beyond the border, so out of training a
short clip in a long waveform has the embedding of the same clip cut to its length.

Conventions: B clips, C channels, S samples, M mel bands, T columns, D width of the embedding.
"""

from abc import abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from avkd.errors import InvalidValueError
from avkd.stages.encoders.augment import SpecAugment
from avkd.stages.encoders.real_steps import real_mask, real_samples, samples_per_step
from avkd.stages.encoders.stream_inputs import (
    keep_out_of_checkpoints,
    require_count,
    require_waveform,
    take_stream,
)
from avkd.stages.encoders.streams import InputShape, StreamEncoder

SAMPLE_RATE = 16_000
NUM_FFT = 512
WINDOW_SAMPLES = 400
HOP_SAMPLES = 160
LOWEST_HZ = 20.0
HIGHEST_HZ = 7_600.0
LOG_FLOOR = 1e-6
"""Above the power of 16-bit rounding noise in a mel band, so that silence has one value."""
VARIANCE_FLOOR = 1e-5


class VoiceMel(nn.Module):
    """Waveforms to log-mels of 25 ms every 10 ms, each clip's mean over time taken away.

    The usual front end of the VoxCeleb literature (recalled). A column lies whole inside the sound,
    so that none mixes sound and padding.
    """

    def __init__(self, num_mels: int, *, spec_augment: bool) -> None:
        """``spec_augment`` masks bands of mels and columns while training."""
        from torchaudio.transforms import MelSpectrogram

        super().__init__()
        self.mel = MelSpectrogram(
            SAMPLE_RATE,
            n_fft=NUM_FFT,
            win_length=WINDOW_SAMPLES,
            hop_length=HOP_SAMPLES,
            f_min=LOWEST_HZ,
            f_max=HIGHEST_HZ,
            n_mels=num_mels,
            window_fn=torch.hamming_window,
            center=False,
        )
        keep_out_of_checkpoints(self.mel)
        self.augment = SpecAugment(num_masks=2 if spec_augment else 0)

    def forward(self, waveform: Tensor, num_real: Tensor) -> tuple[Tensor, Tensor]:
        """(B, M, T) of the first channel, zero where not real, and the mask (B, 1, T) of the real.

        ``num_real`` (B,) samples are real; a clip has one column at least.
        """
        with torch.autocast(waveform.device.type, enabled=False):
            logmel = (self.mel(waveform[:, 0].float()) + LOG_FLOOR).log()
        num_columns = (num_real - NUM_FFT).clamp_min(0) // HOP_SAMPLES + 1
        mask = real_mask(num_columns, logmel.shape[-1])[:, None]
        mean = (logmel * mask).sum(dim=2, keepdim=True) / mask.sum(dim=2, keepdim=True)
        centred = (logmel - mean) * mask
        return self.augment(centred) * mask, mask


class VoiceEncoder(StreamEncoder):
    """A network over the log-mels of a voice."""

    def __init__(
        self,
        shapes: Mapping[str, InputShape],
        stream: str,
        *,
        name: str,
        num_mels: int,
        embedding_size: int,
        spec_augment: bool,
    ) -> None:
        """``name`` is for messages.

        Raises:
            InvalidValueError: There is no such stream, it is not at 16 kHz, or a size is below 1.
        """
        super().__init__()
        require_waveform(shapes, stream, name, SAMPLE_RATE)
        require_count("num_mels", num_mels)
        require_count("embedding_size", embedding_size)
        self.name = name
        self.streams = (stream,)
        self.embedding_size = embedding_size
        self.samples_per_step = samples_per_step(shapes, stream)
        self.frontend = VoiceMel(num_mels, spec_augment=spec_augment)

    @abstractmethod
    def embed(self, logmel: Tensor, mask: Tensor) -> Tensor:
        """(B, D) of log-mels (B, M, T), of which the mask (B, 1, T) says what is real."""

    def forward(self, inputs: Mapping[str, Tensor], num_steps: Tensor) -> Tensor:
        """(B, D) of the first channel."""
        waveform = take_stream(inputs, self.streams[0], 3, "(clips, channels, samples)")
        num_samples = waveform.shape[-1]
        if num_samples < NUM_FFT:
            raise InvalidValueError(
                f"{self.name} needs {NUM_FFT} samples, got {num_samples}; use longer clips"
            )
        num_real = real_samples(num_steps, num_samples, self.samples_per_step)
        return self.embed(*self.frontend(waveform, num_real))


class StatisticsPooling(nn.Module):
    """Mean and standard deviation over real columns, side by side (Snyder et al., 2018)."""

    def forward(self, columns: Tensor, mask: Tensor) -> Tensor:
        """(B, 2C) of (B, C, T) and a mask (B, 1, T)."""
        return weighted_statistics(columns, mask / mask.sum(dim=2, keepdim=True))


class AttentiveStatisticsPooling(nn.Module):
    """The same, weighted by attention for each channel (Desplanques et al., 2020, section 3.1).

    The attention sees each column beside the mean and deviation of its clip.
    """

    def __init__(self, channels: int, bottleneck: int) -> None:
        """``bottleneck`` is the width of the attention's hidden layer; 128 in the paper."""
        super().__init__()
        self.hidden = nn.Sequential(
            nn.Conv1d(3 * channels, bottleneck, 1),
            nn.ReLU(),
            nn.BatchNorm1d(bottleneck),
            nn.Tanh(),
        )
        self.score = nn.Conv1d(bottleneck, channels, 1)

    def forward(self, columns: Tensor, mask: Tensor) -> Tensor:
        """(B, 2C) of (B, C, T) and a mask (B, 1, T)."""
        context = weighted_statistics(columns, mask / mask.sum(dim=2, keepdim=True))
        context = context[..., None].expand(-1, -1, columns.shape[2])
        scores = self.score(self.hidden(torch.cat([columns, context.to(columns)], dim=1)))
        weights = scores.float().masked_fill(~mask, -torch.inf).softmax(dim=2)
        return weighted_statistics(columns, weights)


def weighted_statistics(columns: Tensor, weights: Tensor) -> Tensor:
    """Mean and deviation (B, 2C) of columns (B, C, T); weights (B, 1 or C, T) sum to 1 over T."""
    columns = columns.float()
    mean = (weights * columns).sum(dim=2, keepdim=True)
    variance = (weights * (columns - mean).square()).sum(dim=2)
    return torch.cat([mean[..., 0], variance.clamp_min(VARIANCE_FLOOR).sqrt()], dim=1)
