"""A residual network for speakers: ResNet34 with narrow channels over log-mels.

The form that speaker verification settled on after VoxCeleb (recalled): a first convolution that
keeps the resolution, 3, 4, 6 and 3 basic blocks of 32 to 256 channels of which the last three
stages halve bands and columns, statistics over time of all channels and bands, one linear layer:
about 6.6 million weights at 80 bands (recalled).

Conventions: B clips, C channels, M mel bands, T columns, D width of the embedding.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from avkd.errors import InvalidValueError
from avkd.stages.encoders.stream_inputs import require_choice, require_counts, require_share
from avkd.stages.encoders.streams import InputShape, register_stream_encoder
from avkd.stages.encoders.voice import (
    AttentiveStatisticsPooling,
    StatisticsPooling,
    VoiceEncoder,
)

POOLS = ("statistics", "attentive")


class VoiceBlock(nn.Module):
    """Two 3 x 3 convolutions around a shortcut, zero beyond the end of each clip."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        """Channels before and after; the stride is of bands and columns."""
        super().__init__()
        self.stride = stride
        self.first = _conv_norm(before, after, kernel=3, stride=stride)
        self.second = _conv_norm(after, after, kernel=3, stride=1)
        keeps = stride == 1 and before == after
        self.shortcut = (
            nn.Identity() if keeps else _conv_norm(before, after, kernel=1, stride=stride)
        )

    def forward(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Maps (B, C, M', T') and their mask (B, 1, T')."""
        mask = mask[..., :: self.stride]
        inner = torch.relu(self.first(image)) * mask[:, None]
        outer = torch.relu(self.second(inner) + self.shortcut(image))
        return outer * mask[:, None], mask


class VoiceResNet(VoiceEncoder):
    """Stages of blocks, statistics, a linear layer."""

    def __init__(
        self,
        shapes: Mapping[str, InputShape],
        stream: str,
        *,
        widths: Sequence[int],
        num_blocks: Sequence[int],
        num_mels: int,
        embedding_size: int,
        pool: str,
        dropout: float,
        spec_augment: bool,
    ) -> None:
        """``widths`` and ``num_blocks`` by stage; every stage but the first halves."""
        super().__init__(
            shapes,
            stream,
            name="voice_resnet",
            num_mels=num_mels,
            embedding_size=embedding_size,
            spec_augment=spec_augment,
        )
        self.stem = _conv_norm(1, widths[0], kernel=3, stride=1)
        self.blocks = nn.ModuleList(_blocks(widths, num_blocks))
        # Halved and rounded up once a stage.
        channels = widths[-1] * -(-num_mels // 2 ** (len(widths) - 1))
        self.pool = (
            StatisticsPooling()
            if pool == "statistics"
            else AttentiveStatisticsPooling(channels, bottleneck=128)
        )
        self.dropout = nn.Dropout(dropout)
        self.embedding = nn.Linear(2 * channels, embedding_size)

    def embed(self, logmel: Tensor, mask: Tensor) -> Tensor:
        """(B, D)."""
        # Channels last is faster on a CPU; the weights stay contiguous for saving.
        image = logmel[:, None].to(memory_format=torch.channels_last)
        image = torch.relu(self.stem(image)) * mask[:, None]
        for block in self.blocks:
            image, mask = block(image, mask)
        statistics = self.pool(image.flatten(1, 2), mask)
        embedding: Tensor = self.embedding(self.dropout(statistics))
        return embedding


@register_stream_encoder
def voice_resnet(
    shapes: Mapping[str, InputShape],
    stream: str = "waveform",
    widths: Sequence[int] = (32, 64, 128, 256),
    num_blocks: Sequence[int] = (3, 4, 6, 3),
    num_mels: int = 80,
    embedding_size: int = 256,
    pool: str = "statistics",
    dropout: float = 0.0,
    spec_augment: bool = False,
) -> VoiceResNet:
    """ResNet34 for speakers on 16 kHz sound; ``pool`` is ``statistics`` or ``attentive``.

    Smaller ``widths`` and ``num_blocks`` run on a CPU. ``spec_augment`` masks the log-mel while
    training.

    Raises:
        InvalidValueError: There is no such stream at 16 kHz, or an option is out of its range.
    """
    require_counts("widths", widths)
    require_counts("num_blocks", num_blocks)
    if len(widths) != len(num_blocks):
        raise InvalidValueError(
            f"widths {tuple(widths)} and num_blocks {tuple(num_blocks)} must be as many: by stage"
        )
    require_choice("pool", pool, POOLS)
    require_share("dropout", dropout)
    return VoiceResNet(
        shapes,
        stream,
        widths=widths,
        num_blocks=num_blocks,
        num_mels=num_mels,
        embedding_size=embedding_size,
        pool=pool,
        dropout=dropout,
        spec_augment=spec_augment,
    )


def _blocks(widths: Sequence[int], num_blocks: Sequence[int]) -> list[VoiceBlock]:
    blocks: list[VoiceBlock] = []
    for stage, (before, after) in enumerate(pairwise([widths[0], *widths])):
        blocks.append(VoiceBlock(before, after, stride=2 if stage else 1))
        blocks += [VoiceBlock(after, after, stride=1) for _ in range(num_blocks[stage] - 1)]
    return blocks


def _conv_norm(before: int, after: int, *, kernel: int, stride: int) -> nn.Sequential:
    convolution = nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(after))
