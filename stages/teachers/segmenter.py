"""A small network of our own that says the class of every pixel: ``Segmenter``.

A residual body and a way back up that adds what each size saw (a U-Net's thought, Ronneberger et
al., MICCAI 2015, with the sums of Lin et al., CVPR 2017, in place of its stacks). Classes are told
at half the picture's size and brought to all of it linearly.

Conventions: B pictures, K classes, C channels, H and W pixels, h and w cells of a stored map.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from avkd.stages.residual_blocks import add_from_top, conv_block, residual_stage
from avkd.stages.teachers.detector import prepare_pictures
from avkd.stages.teachers.pyramid_options import MEAN, STD
from avkd.stages.teachers.segmenter_folder import SegmenterDescription
from avkd.stages.teachers.segmenter_options import SegmenterOptions


class Segmenter(nn.Module):
    """(B, 3, H, W) in [0, 1] to logits (B, K, H, W)."""

    def __init__(self, options: SegmenterOptions, *, num_channels: int, num_classes: int) -> None:
        """Draw first weights from torch's global generator.

        Args:
            options: sizes of the parts.
            num_channels: 3, or 1 where all three of a picture are the same.
            num_classes: K.
        """
        super().__init__()
        half, quarter, *rest = options.widths
        before = (quarter, *rest)
        width = options.decoder_width
        self._num_channels = num_channels
        self.first = conv_block(num_channels, half, 2)
        self.second = conv_block(half, quarter, 2)
        self.stages = nn.ModuleList(
            residual_stage(one, other, options.num_blocks)
            for one, other in zip(before, rest, strict=False)
        )
        self.lateral = nn.ModuleList(nn.Conv2d(each, width, 1) for each in before)
        self.smooth = conv_block(width, width, 1)
        self.fine = conv_block(width + half, options.fine_width, 1)
        self.classify = nn.Conv2d(options.fine_width, num_classes, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        """Say how much speaks for each class, pixel by pixel."""
        halved = self.first((pictures[:, : self._num_channels] - MEAN) / STD)
        values = self.second(halved)
        found = [values]
        for stage in self.stages:
            values = stage(values)
            found.append(values)
        levels = add_from_top(
            [lateral(each) for lateral, each in zip(self.lateral, found, strict=True)]
        )
        smooth = _twice_as_large(self.smooth(levels[0]))
        fine = self.fine(torch.cat([smooth, halved], dim=1))
        return _twice_as_large(cast(Tensor, self.classify(fine)))


class ClassMapper(nn.Module):
    """Frames (B, H, W, 1 or 3) to uint8 class maps (B, h, w) and how sure they are (B,)."""

    def __init__(
        self, network: nn.Module, *, map_stride: int, value_range: tuple[float, float] | None
    ) -> None:
        """Wrap a ``Segmenter``; a value of the range's ends becomes 0 or 1."""
        super().__init__()
        self.network = network
        self._map_stride = map_stride
        self._value_range = value_range

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Look at whole pictures."""
        logits = self.network(prepare_pictures(frames, self._value_range))
        return read_logits(logits, self._map_stride)


def read_logits(logits: Tensor, map_stride: int) -> tuple[Tensor, Tensor]:
    """Give uint8 class maps (B, h, w) of logits (B, K, H, W), and how sure they are (B,).

    Probabilities are averaged over the pixels of a cell, then the largest is taken; of equals the
    first. How sure a picture is, is the mean of these largest.
    """
    probabilities = functional.avg_pool2d(logits.softmax(dim=1), map_stride)
    largest, classes = probabilities.max(dim=1)
    return classes.to(torch.uint8), largest.mean(dim=(1, 2))


def build_segmenter(described: SegmenterDescription) -> Segmenter:
    """Build the network of a description, with first weights."""
    return Segmenter(
        described.network,
        num_channels=described.num_channels,
        num_classes=len(described.class_names),
    )


def _twice_as_large(values: Tensor) -> Tensor:
    return functional.interpolate(values, scale_factor=2.0, mode="bilinear", align_corners=False)
