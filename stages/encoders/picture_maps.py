"""A network over the pictures of one stream or several: features of every pixel of every real step.

Each stream has a stem; their features are joined early, and an encoder-decoder with skips between
(U-Net; Ronneberger et al. 2015 [R]) gives them back at the size of the pictures. What MKE's student
of NYU-Depth-v2 looked like is unknown [U]: this one is ours, small enough for a CPU.

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

PICTURE_CHANNELS = (1, 3)
"""Of gray pictures, as of depth and heat, and of coloured ones."""


class PictureMapsEncoder(StreamEncoder):
    """Pictures of all streams to features of every pixel; its embedding is their mean."""

    def __init__(
        self,
        channels: Mapping[str, int],
        picture_size: tuple[int, int],
        *,
        widths: Sequence[int],
        fine_width: int,
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
        self.stems = nn.ModuleList(_block(each, widths[0], stride=2) for each in self.channels)
        self.join = _block(len(channels) * widths[0], widths[0])
        self.down = nn.ModuleList(_block(few, many, stride=2) for few, many in pairwise(widths))
        self.dropout = nn.Dropout2d(dropout)
        self.up = nn.ModuleList(
            _block(many + few, few) for few, many in reversed([*pairwise(widths)])
        )
        # Edges are those of the pictures themselves, which a stem has halved.
        self.fine = _block(widths[0] + sum(self.channels), fine_width)
        self.pool = StepPool("mean", fine_width)

    def forward(self, inputs: Mapping[str, Tensor], num_steps: Tensor) -> Tensor:
        """(B, C): the mean over pixels and real steps."""
        maps = self.encode_maps(inputs, num_steps)
        mask_BT = real_mask(num_steps, inputs[self.streams[0]].shape[1])
        embedding_BTC = maps.new_zeros((*mask_BT.shape, self.embedding_size))
        embedding_BTC[mask_BT] = maps.mean(dim=(2, 3))
        pooled: Tensor = self.pool(embedding_BTC, mask_BT)
        return pooled

    def encode_maps(self, inputs: Mapping[str, Tensor], num_steps: Tensor) -> Tensor:
        """(N, C, H, W) of uint8 pictures (B, T, H, W, channels): those of real steps, in order.

        Raises:
            InvalidValueError: A stream is missing, or its pictures are not those it was built for.
        """
        found = [self._take(inputs, name) for name in range(len(self.streams))]
        mask_BT = real_mask(num_steps.to(found[0].device), found[0].shape[1])
        pictures = [
            each[mask_BT].permute(0, 3, 1, 2).contiguous().float() / 255.0 for each in found
        ]
        pictures = [2.0 * each - 1.0 for each in self.perturbation(pictures)]
        return self._encode(self._drop(pictures))

    def _encode(self, pictures: Sequence[Tensor]) -> Tensor:
        stems = [stem(each) for stem, each in zip(self.stems, pictures, strict=True)]
        levels = [self.join(torch.cat(stems, dim=1))]
        for down in self.down:
            levels.append(down(levels[-1]))
        *skips, features = levels
        features = self.dropout(features)
        for up, skip in zip(self.up, reversed(skips), strict=True):
            features = up(torch.cat([_grow(features, skip), skip], dim=1))
        features = self.fine(torch.cat([_grow(features, pictures[0]), *pictures], dim=1))
        maps: Tensor = self.dropout(features).float()
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
    widths: Sequence[int] = (16, 32, 64, 96),
    fine_width: int = 16,
    input_noise: float | Mapping[str, float] = 0.0,
    brightness: float | Mapping[str, float] = 0.0,
    drop_stream: float = 0.0,
    dropout: float = 0.0,
) -> PictureMapsEncoder:
    """A small encoder-decoder over stored pictures of ``streams``, each halved and halved again.

    ``widths`` are the channels at a half, a quarter, ... of the pictures' size, ``fine_width``
    those at their own. While training, ``input_noise`` (in units of a picture's mean) and
    ``brightness`` (of the whole range) disturb the pictures of all streams, or of some by name;
    ``drop_stream`` is the probability that a picture's stream is taken away, of which one always
    stays; ``dropout`` is that of whole channels.

    Raises:
        InvalidValueError: A stream is missing or has no pictures, sizes differ, or an option is out
            of its range.
    """
    if isinstance(streams, str) or not streams or len(set(streams)) != len(streams):
        raise InvalidValueError(f"streams {streams!r} must be one or more names, each once")
    require_counts("widths", widths)
    require_count("fine_width", fine_width)
    require_share("dropout", dropout)
    return PictureMapsEncoder(
        {name: require_stream(shapes, name).shape[-1] for name in streams},
        _picture_size(shapes, streams),
        widths=widths,
        fine_width=fine_width,
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


def _block(before: int, after: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(after), nn.ReLU())
