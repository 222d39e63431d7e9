"""A small detector of our own, to be trained from nothing on a CPU: ``PyramidDetector``.

A residual body, a feature pyramid (Lin et al., CVPR 2017) and the head of FCOS (Tian et al., ICCV
2019), which says the IoU of its box in place of its centredness [ours]. The score of a box is the
geometric mean of its class' probability and that IoU.

Conventions: B pictures, K classes, P points (``pyramid_points.py``), C channels.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from avkd.stages.residual_blocks import add_from_top, conv_block, residual_stage
from avkd.stages.teachers.detector import Detections
from avkd.stages.teachers.detector_declaration import MAX_BOXES, NMS_IOU, SCORE_THRESHOLD
from avkd.stages.teachers.detector_folder import DetectorDescription
from avkd.stages.teachers.pyramid_options import MEAN, STD, PyramidOptions
from avkd.stages.teachers.pyramid_points import REACH, Points, place_points

FIRST_PROBABILITY = 0.01
"""What a fresh head says of every class [R: the prior of the focal loss' paper]."""
MAX_LOG_DISTANCE = 5.0
"""In cells; more is no box, but could overflow."""


@dataclass(frozen=True, kw_only=True)
class PyramidOutput:
    """What the network says before boxes are chosen."""

    class_logits: Tensor
    """(B, P, K)"""
    distances: Tensor
    """(B, P, 4): pixels to left, top, right and bottom, above 0."""
    quality_logits: Tensor
    """(B, P): of the IoU that the box has."""
    levels: Sequence[Tensor]
    """(B, C, h, w) each, the finest first."""


class PyramidDetector(nn.Module):
    """A ``detector.DetectorNetwork`` for pictures of one size."""

    def __init__(
        self,
        options: PyramidOptions,
        *,
        num_channels: int,
        num_classes: int,
        picture_size: tuple[int, int],
    ) -> None:
        """Draw first weights from torch's global generator.

        Args:
            options: sizes of the parts.
            num_channels: 3, or 1 where all three of a picture are the same.
            num_classes: K.
            picture_size: width and height (``pyramid_options.check_picture_size``).
        """
        super().__init__()
        half, quarter, *rest = options.widths
        width = options.pyramid_width
        self._num_channels = num_channels
        self.stem = nn.Sequential(conv_block(num_channels, half, 2), conv_block(half, quarter, 2))
        before = (quarter, *rest)
        self.stages = nn.ModuleList(
            residual_stage(one, other, options.num_blocks)
            for one, other in zip(before, rest, strict=False)
        )
        self.lateral = nn.ModuleList(nn.Conv2d(each, width, 1) for each in rest)
        self.smooth = nn.ModuleList(conv_block(width, width, 1) for _ in rest)
        self.tower = nn.Sequential(
            *(conv_block(width, width, 1) for _ in range(options.head_depth))
        )
        self.classify = nn.Conv2d(width, num_classes, 3, padding=1)
        self.measure = nn.Conv2d(width, 5, 3, padding=1)
        _start_head(self.classify, self.measure)
        points = place_points(picture_size[1], picture_size[0])
        self.register_buffer("centres", points.centres, persistent=False)
        self.register_buffer("strides", points.strides, persistent=False)
        size = torch.tensor([*picture_size, *picture_size], dtype=torch.float32)
        self.register_buffer("size", size, persistent=False)

    @property
    def points(self) -> Points:
        """Where it looks."""
        return Points(centres=self.get_buffer("centres"), strides=self.get_buffer("strides"))

    def forward(self, pictures: Tensor) -> tuple[Sequence[Detections], Sequence[Tensor]]:
        """Look at (B, 3, H, W) in [0, 1]."""
        output = self.look(pictures)
        boxes = (self.points.decode(output.distances) / self.get_buffer("size")).clamp(0, 1)
        quality = output.quality_logits.sigmoid()[..., None]
        scores = (output.class_logits.sigmoid() * quality).sqrt()
        return [choose_boxes(*each) for each in zip(boxes, scores, strict=True)], output.levels

    def look(self, pictures: Tensor) -> PyramidOutput:
        """Say of every point what lies there."""
        levels = self._build_levels((pictures[:, : self._num_channels] - MEAN) / STD)
        towers = [self.tower(level) for level in levels]
        classes = torch.cat([_by_point(self.classify(each)) for each in towers], dim=1)
        measured = torch.cat([_by_point(self.measure(each)) for each in towers], dim=1)
        cells = measured[..., :4].clamp_max(MAX_LOG_DISTANCE).exp()
        return PyramidOutput(
            class_logits=classes,
            distances=cells * self.get_buffer("strides")[:, None],
            quality_logits=measured[..., 4],
            levels=levels,
        )

    def _build_levels(self, values: Tensor) -> list[Tensor]:
        found = []
        values = self.stem(values)
        for stage, lateral in zip(self.stages, self.lateral, strict=True):
            values = stage(values)
            found.append(lateral(values))
        levels = add_from_top(found)
        return [smooth(level) for smooth, level in zip(self.smooth, levels, strict=True)]


def build_pyramid(described: DetectorDescription) -> PyramidDetector:
    """Build the network of a description, with first weights."""
    return PyramidDetector(
        described.network,
        num_channels=described.num_channels,
        num_classes=len(described.class_names),
        picture_size=described.picture_size,
    )


def choose_boxes(boxes: Tensor, scores: Tensor) -> Detections:
    """Keep the boxes (P, 4) that are above the score threshold and the best of their place.

    ``scores`` are (P, K): a point may give a box of several classes.
    """
    from torchvision.ops import batched_nms

    has_area = (boxes[:, 2:] > boxes[:, :2]).all(dim=1)
    point, classes = ((scores > SCORE_THRESHOLD) & has_area[:, None]).nonzero().T
    found, score = boxes[point], scores[point, classes]
    kept = batched_nms(found, score, classes, NMS_IOU)[:MAX_BOXES]
    return Detections(boxes=found[kept], scores=score[kept], classes=classes[kept])


def _by_point(maps: Tensor) -> Tensor:
    return maps.flatten(2).transpose(1, 2)


def _start_head(classify: nn.Conv2d, measure: nn.Conv2d) -> None:
    """Nothing is anywhere, and a box is as large as its level is for."""
    assert classify.bias is not None
    assert measure.bias is not None
    with torch.no_grad():
        for layer in (classify, measure):
            layer.weight.normal_(0, 0.01)
        classify.bias.fill_(math.log(FIRST_PROBABILITY / (1 - FIRST_PROBABILITY)))
        measure.bias.zero_()
        measure.bias[:4] = math.log(REACH / 2)
