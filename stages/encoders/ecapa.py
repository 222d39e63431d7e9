"""ECAPA-TDNN (Desplanques, Thienpondt and Demuynck, Interspeech 2020).

From the paper, recalled: a convolution of 5 columns; three SE-Res2Blocks with dilations 2, 3 and 4,
each fed the sum of all outputs before it; their outputs side by side through one layer of 1536
channels; attentive statistics pooling; a linear layer of 192. About 6.2 million weights at 512
channels, 14.7 million at 1024 (recalled).

Conventions: B clips, C channels, M mel bands, T columns, D width of the embedding.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from avkd.errors import InvalidValueError
from avkd.stages.encoders.stream_inputs import require_count
from avkd.stages.encoders.streams import InputShape, register_stream_encoder
from avkd.stages.encoders.voice import AttentiveStatisticsPooling, VoiceEncoder

DILATIONS = (2, 3, 4)
SCALE = 8
"""Parts of a Res2 convolution."""


class Layer(nn.Module):
    """A convolution over columns, ReLU, batch normalisation; zero beyond the end of each clip."""

    def __init__(self, before: int, after: int, kernel: int = 1, dilation: int = 1) -> None:
        """Channels before and after; as many columns."""
        super().__init__()
        padding = dilation * (kernel // 2)
        self.convolution = nn.Conv1d(before, after, kernel, dilation=dilation, padding=padding)
        self.norm = nn.BatchNorm1d(after)

    def forward(self, columns: Tensor, mask: Tensor) -> Tensor:
        """(B, after, T) of (B, before, T) and a mask (B, 1, T)."""
        normed: Tensor = self.norm(torch.relu(self.convolution(columns)))
        return normed * mask


class Res2Convolution(nn.Module):
    """Channels in parts: each but the first convolved with what became of the part before."""

    def __init__(self, channels: int, dilation: int) -> None:
        """``channels`` are a multiple of the number of parts."""
        super().__init__()
        width = channels // SCALE
        self.layers = nn.ModuleList(Layer(width, width, 3, dilation) for _ in range(SCALE - 1))

    def forward(self, columns: Tensor, mask: Tensor) -> Tensor:
        """(B, C, T)."""
        first, *others = columns.chunk(SCALE, dim=1)
        outputs = [first]
        for layer, part in zip(self.layers, others, strict=True):
            # The second part is convolved alone.
            joined = part if len(outputs) == 1 else part + outputs[-1]
            outputs.append(layer(joined, mask))
        return torch.cat(outputs, dim=1)


class SqueezeExcitation(nn.Module):
    """Channels scaled by what their means over the real columns say."""

    def __init__(self, channels: int, bottleneck: int) -> None:
        """``bottleneck`` is the width between; 128 in the paper."""
        super().__init__()
        self.gates = nn.Sequential(
            nn.Linear(channels, bottleneck),
            nn.ReLU(),
            nn.Linear(bottleneck, channels),
            nn.Sigmoid(),
        )

    def forward(self, columns: Tensor, mask: Tensor) -> Tensor:
        """(B, C, T)."""
        gates: Tensor = self.gates((columns * mask).sum(dim=2) / mask.sum(dim=2))
        return columns * gates[..., None]


class SERes2Block(nn.Module):
    """Pointwise, Res2, pointwise, squeeze and excitation, around a shortcut."""

    def __init__(self, channels: int, dilation: int, bottleneck: int) -> None:
        """As many channels out as in."""
        super().__init__()
        self.before = Layer(channels, channels)
        self.middle = Res2Convolution(channels, dilation)
        self.after = Layer(channels, channels)
        self.excitation = SqueezeExcitation(channels, bottleneck)

    def forward(self, columns: Tensor, mask: Tensor) -> Tensor:
        """(B, C, T)."""
        inner = self.after(self.middle(self.before(columns, mask), mask), mask)
        excited: Tensor = self.excitation(inner, mask)
        return columns + excited


class Ecapa(VoiceEncoder):
    """The whole network."""

    def __init__(
        self,
        shapes: Mapping[str, InputShape],
        stream: str,
        *,
        channels: int,
        joined_channels: int,
        bottleneck: int,
        num_mels: int,
        embedding_size: int,
        spec_augment: bool,
    ) -> None:
        """``joined_channels`` are those of the layer over all blocks."""
        super().__init__(
            shapes,
            stream,
            name="ecapa",
            num_mels=num_mels,
            embedding_size=embedding_size,
            spec_augment=spec_augment,
        )
        self.stem = Layer(num_mels, channels, 5)
        self.blocks = nn.ModuleList(
            SERes2Block(channels, dilation, bottleneck) for dilation in DILATIONS
        )
        self.join = nn.Conv1d(len(DILATIONS) * channels, joined_channels, 1)
        self.pool = AttentiveStatisticsPooling(joined_channels, bottleneck)
        self.pool_norm = nn.BatchNorm1d(2 * joined_channels)
        self.embedding = nn.Linear(2 * joined_channels, embedding_size)
        self.embedding_norm = nn.BatchNorm1d(embedding_size)

    def embed(self, logmel: Tensor, mask: Tensor) -> Tensor:
        """(B, D).

        Raises:
            InvalidValueError: It is trained on one clip: its last layers are normalised over clips.
        """
        if self.training and len(logmel) < 2:
            raise InvalidValueError(
                "ecapa needs 2 clips or more in a batch while it trains, got 1; use a larger batch"
            )
        total = self.stem(logmel, mask)
        outputs = []
        for block in self.blocks:
            outputs.append(block(total, mask))
            total = total + outputs[-1]
        joined = torch.relu(self.join(torch.cat(outputs, dim=1)))
        statistics = self.pool_norm(self.pool(joined, mask))
        embedding: Tensor = self.embedding_norm(self.embedding(statistics))
        return embedding


@register_stream_encoder
def ecapa(
    shapes: Mapping[str, InputShape],
    stream: str = "waveform",
    channels: int = 512,
    joined_channels: int = 1536,
    bottleneck: int = 128,
    num_mels: int = 80,
    embedding_size: int = 192,
    spec_augment: bool = False,
) -> Ecapa:
    """ECAPA-TDNN on 16 kHz sound, 512 or 1024 ``channels`` in the paper.

    ``spec_augment`` masks the log-mel while training.

    Raises:
        InvalidValueError: There is no such stream at 16 kHz, or an option is out of its range.
    """
    require_count("joined_channels", joined_channels)
    require_count("bottleneck", bottleneck)
    if channels < SCALE or channels % SCALE:
        raise InvalidValueError(f"channels {channels} must be a multiple of {SCALE}")
    return Ecapa(
        shapes,
        stream,
        channels=channels,
        joined_channels=joined_channels,
        bottleneck=bottleneck,
        num_mels=num_mels,
        embedding_size=embedding_size,
        spec_augment=spec_augment,
    )
