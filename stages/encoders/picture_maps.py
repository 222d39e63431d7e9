"""A network over the pictures of one stream or several: a map of features of every real step.

Each stream has a stem; their features are joined early. A residual body and a way back that adds
what each size saw (Lin et al., CVPR 2017) give features at half the size of the pictures: at all of
it three fifths of the time went into the last convolutions. What MKE's student of NYU-Depth-v2
looked like is unknown [U]: this one is ours, small enough for a CPU.

Conventions: B clips, T steps, N real steps of a batch, C channels, H and W pixels.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from avkd.errors import InvalidValueError
from avkd.stages.encoders.picture_perturbation import PicturePerturbation
from avkd.stages.encoders.real_steps import StepPool, real_mask
from avkd.stages.encoders.stream_inputs import (
    require_amount,
    require_count,
    require_counts,
    require_share,
    take_stream,
)
from avkd.stages.encoders.streams import (
    InputShape,
    StreamEncoder,
    register_stream_encoder,
    require_stream,
)
from avkd.stages.residual_blocks import add_from_top, conv_block, residual_stage

PICTURE_CHANNELS = (1, 3)
"""Of gray pictures, as of depth and heat, and of coloured ones."""
MAP_STRIDE = 2
"""Pixels to one place of the features, in each direction."""


class PictureMapsEncoder(StreamEncoder):
    """Pictures of all streams to maps of features at half their size; its embedding is the mean."""

    def __init__(
        self,
        channels: Mapping[str, int],
        picture_size: tuple[int, int],
        *,
        widths: Sequence[int],
        decoder_width: int,
        fine_width: int,
        num_blocks: int,
        dropout: float,
        perturbation: PicturePerturbation,
    ) -> None:
        """``channels`` are those of each stream's pictures, ``picture_size`` is (H, W)."""
        super().__init__()
        self.streams = tuple(channels)
        self.picture_size = picture_size
        self.embedding_size = self.map_channels = fine_width
        self.channels = tuple(channels.values())
        self.perturbation = perturbation
        half, *rest = widths
        self.stems = nn.ModuleList(conv_block(each, half, 2) for each in self.channels)
        self.join = conv_block(len(channels) * half, half)
        self.stages = nn.ModuleList(
            residual_stage(few, many, num_blocks) for few, many in pairwise(widths)
        )
        self.dropout = nn.Dropout2d(dropout)
        self.lateral = nn.ModuleList(nn.Conv2d(each, decoder_width, 1) for each in rest)
        self.smooth = nn.Sequential(
            conv_block(decoder_width, decoder_width), nn.Conv2d(decoder_width, fine_width, 1)
        )
        self.edges = nn.Conv2d(half, fine_width, 1)
        self.fine = conv_block(fine_width, fine_width)
        self.pool = StepPool("mean", fine_width)

    def forward(self, inputs: Mapping[str, Tensor], num_steps: Tensor) -> Tensor:
        """(B, C): the mean over places and real steps."""
        maps = self.encode_maps(inputs, num_steps)
        mask_BT = real_mask(num_steps, inputs[self.streams[0]].shape[1])
        embedding_BTC = maps.new_zeros((*mask_BT.shape, self.embedding_size))
        embedding_BTC[mask_BT] = maps.mean(dim=(2, 3))
        pooled: Tensor = self.pool(embedding_BTC, mask_BT)
        return pooled

    def encode_maps(self, inputs: Mapping[str, Tensor], num_steps: Tensor) -> Tensor:
        """(N, C, h, w) of uint8 pictures (B, T, H, W, channels): those of real steps, in order.

        A place is ``MAP_STRIDE`` pixels high and wide; the last ones may reach past the picture.

        Raises:
            InvalidValueError: A stream is missing, or its pictures are not those it was built for.
        """
        found = [self._take(inputs, name) for name in range(len(self.streams))]
        mask_BT = real_mask(num_steps.to(found[0].device), found[0].shape[1])
        pictures = [each[mask_BT].permute(0, 3, 1, 2).float() / 255.0 for each in found]
        pictures = [2.0 * each - 1.0 for each in self.perturbation(pictures)]
        return self._encode(self._drop(pictures))

    def _encode(self, pictures: Sequence[Tensor]) -> Tensor:
        stems = [stem(each) for stem, each in zip(self.stems, pictures, strict=True)]
        stacked = torch.cat(stems, dim=1)
        # Channels last is a fifth faster on a CPU; what follows stays in that order.
        stacked = stacked.contiguous(memory_format=torch.channels_last)
        halved = features = self.join(stacked)
        levels = []
        for stage in self.stages:
            features = stage(features)
            levels.append(features)
        levels[-1] = self.dropout(levels[-1])
        told = [lateral(each) for lateral, each in zip(self.lateral, levels, strict=True)]
        quarter = self.smooth(add_from_top(told)[0])
        fine = self.fine(self.edges(halved) + _grow(quarter, halved))
        maps: Tensor = fine.float()
        return maps

    def _drop(self, pictures: Sequence[Tensor]) -> Sequence[Tensor]:
        """Pictures of taken-away streams are black all over, as a camera sees by night."""
        kept_NS = self.perturbation.keep(len(pictures[0]))
        if kept_NS is None:
            return pictures
        kept_SN = kept_NS.to(pictures[0]).T
        return [
            (each + 1.0) * kept[:, None, None, None] - 1.0
            for each, kept in zip(pictures, kept_SN, strict=True)
        ]

    def _take(self, inputs: Mapping[str, Tensor], number: int) -> Tensor:
        name, channels = self.streams[number], self.channels[number]
        what = "uint8 (clips, steps, height, width, channels)"
        pictures = take_stream(inputs, name, 5, what)
        expected = (*self.picture_size, channels)
        if pictures.dtype != torch.uint8 or pictures.shape[2:] != expected:
            raise InvalidValueError(
                f"{name!r} is {pictures.dtype} of {tuple(pictures.shape[2:])} (height, width, "
                f"channels) but the encoder was built for uint8 of {expected}; use the store that "
                "it was trained on, or train it anew"
            )
        return pictures


@register_stream_encoder
def picture_maps(
    shapes: Mapping[str, InputShape],
    streams: Sequence[str] = ("frames_rgb",),
    widths: Sequence[int] = (16, 24, 48, 64),
    decoder_width: int = 32,
    fine_width: int = 16,
    num_blocks: int = 1,
    input_noise: float | Mapping[str, float] = 0.0,
    brightness: float | Mapping[str, float] = 0.0,
    drop_stream: float | Mapping[str, float] = 0.0,
    dropout: float = 0.0,
) -> PictureMapsEncoder:
    """A small encoder-decoder over stored pictures of ``streams``, each halved and halved again.

    ``widths`` are the channels at a half, a quarter, ... of the pictures' size, two or more, with
    ``num_blocks`` residual blocks at each from a quarter on; ``decoder_width`` are those of the way
    back, ``fine_width`` those of the features. While training, ``input_noise`` (in units of a
    picture's mean) and ``brightness`` (of the whole range) disturb the pictures of all streams, or
    of some by name; ``drop_stream`` is the probability that a picture's stream is taken away, of
    all or of some by name, of which one always stays; ``dropout`` is that of whole channels where
    the picture is smallest.

    Raises:
        InvalidValueError: A stream is missing or has no pictures, sizes differ, or an option is out
            of its range.
    """
    if isinstance(streams, str) or not streams or len(set(streams)) != len(streams):
        raise InvalidValueError(f"streams {streams!r} must be one or more names, each once")
    require_counts("widths", widths)
    if len(widths) < 2:
        raise InvalidValueError(f"widths {widths} must be two or more: a half, a quarter, ...")
    require_count("decoder_width", decoder_width)
    require_count("fine_width", fine_width)
    require_amount("num_blocks", num_blocks)
    require_share("dropout", dropout)
    return PictureMapsEncoder(
        {name: require_stream(shapes, name).shape[-1] for name in streams},
        _picture_size(shapes, streams),
        widths=widths,
        decoder_width=decoder_width,
        fine_width=fine_width,
        num_blocks=int(num_blocks),
        dropout=dropout,
        perturbation=PicturePerturbation(
            streams, input_noise=input_noise, brightness=brightness, drop_stream=drop_stream
        ),
    )


def _picture_size(shapes: Mapping[str, InputShape], streams: Sequence[str]) -> tuple[int, int]:
    """Height and width, the same of all streams: a pixel is one place in each."""
    sizes: dict[str, tuple[int, int]] = {}
    for name in streams:
        found = require_stream(shapes, name)
        if len(found.shape) != 4 or found.shape[-1] not in PICTURE_CHANNELS:
            raise InvalidValueError(
                f"{name!r} has rows of shape {found.shape}, not pictures (steps, height, width, "
                "channels); name a stream of cached pictures"
            )
        if found.frames_per_step != 1:
            raise InvalidValueError(
                f"{name!r} has {found.frames_per_step} pictures a step but picture_maps speaks of "
                "one; extract with --frames-per-step 1 and shorter steps"
            )
        sizes[name] = found.shape[1], found.shape[2]
    if len(set(sizes.values())) > 1:
        told = ", ".join(f"{name} {width}x{height}" for name, (height, width) in sizes.items())
        raise InvalidValueError(f"pictures of one size are needed but there are {told}")
    return sizes[streams[0]]


def _grow(maps: Tensor, wanted: Tensor) -> Tensor:
    """Maps at the size of others."""
    return functional.interpolate(
        maps, size=wanted.shape[-2:], mode="bilinear", align_corners=False
    )
