"""A student that says of every step which boxes are in the picture, by anchors over a pyramid.

The second half of EfficientDet (Tan, Pang and Le, CVPR 2020) behind any ear: one that gives maps,
as that of MM-DistillNet does, or one that gives a vector, which is unfolded into maps first.

Conventions: B clips, T steps, N real steps of a batch, A anchors, K classes, C channels, h and w
cells of a level.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor, nn

from avkd.errors import InvalidValueError
from avkd.stages.detection.anchor_decoding import decode_anchors
from avkd.stages.detection.anchor_heads import AnchorHead
from avkd.stages.detection.bifpn import BiFpn
from avkd.stages.detection.boxes import BoxTargets
from avkd.stages.detection.pyramid_anchors import AnchorLayout
from avkd.stages.detection.vector_pyramid import VectorPyramid
from avkd.stages.encoders.mel_pictures import MelPicturesEncoder
from avkd.stages.encoders.real_steps import real_mask
from avkd.stages.encoders.step_sound import StepSoundEncoder
from avkd.stages.methods.box_student import BoxStudent
from avkd.stages.methods.map_transfer import MapPlan

FIRST_PROBABILITY = 0.01
"""What a fresh head says of every class everywhere [R: the prior of the focal loss' paper]."""


@dataclass(frozen=True, kw_only=True)
class PyramidShape:
    """Of the student's second half; the numbers are EfficientDet-D2's [S:MM-code]."""

    picture_size: tuple[int, int] | None = None
    """Height and width in pixels, of which anchors have their proportions; None: the encoder's."""
    strides: tuple[int, ...] = (8, 16, 32, 64, 128)
    anchor_scale: float = 4.0
    width: int = 112
    num_cells: int = 5
    head_repeats: int = 3
    bottleneck: int = 1024
    deconv_widths: tuple[int, ...] = (512, 256)
    """Of an ear without maps: how its vector is unfolded."""

    def lay_out(self, encoder: StepSoundEncoder) -> AnchorLayout:
        """Place anchors over the picture.

        Raises:
            InvalidValueError: The encoder has a picture of another size, or none and none is given.
        """
        size = encoder.picture_size if isinstance(encoder, MelPicturesEncoder) else None
        if size is not None and self.picture_size not in (None, size):
            raise InvalidValueError(
                f"method.options.picture_size {self.picture_size} is not the encoder's {size}; "
                "leave it out"
            )
        if (chosen := size or self.picture_size) is None:
            raise InvalidValueError(
                "the encoder has no picture of its own; set method.options.picture_size to the "
                "height and width of the teachers' pictures"
            )
        return AnchorLayout(picture_size=chosen, strides=self.strides, scale=self.anchor_scale)


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """Whose word a student learns."""

    teacher_classes: Mapping[str, tuple[str, ...]]
    """Of the teachers of the labels, by name."""
    class_names: tuple[str, ...]
    """The student's."""
    maps: MapPlan | None
    """None where only boxes are learned."""


class AnchorOutput(NamedTuple):
    """What a student says of the real steps of a batch, by clip and step."""

    class_logits: Tensor
    """(N, A, K)"""
    offsets: Tensor
    """(N, A, 4) as in detection/matching.py."""
    levels: tuple[Tensor, ...]
    """(N, C, h, w) each, the finest first: what the heads look at."""
    projected: Tensor | None
    """(N, channels of the teachers' map, h, w): what is ranked; None where nothing is."""
    anchors: Tensor
    """(A, 4): the student's own; here too, because a student may be wrapped."""
    lesson: Lesson


class AnchorStudent(BoxStudent):
    """An encoder of the sound around steps, a pyramid, and heads over anchors."""

    anchors: Tensor

    def __init__(
        self, encoder: StepSoundEncoder, layout: AnchorLayout, shape: PyramidShape, lesson: Lesson
    ) -> None:
        """Draw first weights from torch's global generator.

        Raises:
            InvalidValueError: The levels are not those of the encoder's maps.
        """
        super().__init__()
        self.encoder = encoder
        self.layout = layout
        self.lesson = lesson
        self.teachers = tuple(lesson.teacher_classes)
        self.class_names = lesson.class_names
        self.unfold = None if _has_maps(encoder) else _unfolding(encoder, layout, shape)
        channels = _channels(encoder, layout, shape)
        self.pyramid = BiFpn(
            channels,
            shape.width,
            num_levels=len(layout.level_sizes),
            num_cells=shape.num_cells,
        )
        self.class_head = _head(shape, layout, len(self.class_names), _logit(FIRST_PROBABILITY))
        self.box_head = _head(shape, layout, 4)
        self.projection = None
        if lesson.maps is not None and lesson.maps.ranked_channels:
            self.projection = nn.Conv2d(shape.width, lesson.maps.ranked_channels, 1)
        self.register_buffer("anchors", layout.place(), persistent=False)

    def forward(self, inputs: Mapping[str, Tensor], num_steps: Tensor) -> AnchorOutput:
        """Hear clips, ``num_steps`` (B,) of which are real."""
        levels = tuple(self.pyramid(self._encode(inputs, num_steps)))
        projected = None
        if self.projection is not None and self.lesson.maps is not None:
            projected = self.projection(levels[self.lesson.maps.levels[0]])
        return AnchorOutput(
            self.class_head(levels),
            self.box_head(levels),
            levels,
            projected,
            self.anchors,
            self.lesson,
        )

    def say_boxes(
        self,
        inputs: Mapping[str, Tensor],
        num_steps: Tensor,
        *,
        score_threshold: float = 0.05,
        iou_threshold: float = 0.5,
        max_boxes: int = 100,
    ) -> BoxTargets:
        """The boxes of every real step after non-maximum suppression; see ``decode_anchors``."""
        output: AnchorOutput = self(inputs, num_steps)
        row, step = locate_steps(num_steps.to(output.offsets.device))
        return decode_anchors(
            output.class_logits,
            output.offsets,
            output.anchors,
            row,
            step,
            score_threshold=score_threshold,
            iou_threshold=iou_threshold,
            max_boxes=max_boxes,
        )

    def describe(self) -> dict[str, object]:
        """Plain values for student.json."""
        return {
            **super().describe(),
            "picture_size": self.layout.picture_size,
            "levels": self.layout.level_sizes,
            "num_anchors": self.layout.num_anchors,
        }

    def _encode(self, inputs: Mapping[str, Tensor], num_steps: Tensor) -> Sequence[Tensor]:
        if self.unfold is None:
            assert isinstance(self.encoder, MelPicturesEncoder)
            return self.encoder.encode_maps(inputs, num_steps)
        embedding_BTD = self.encoder.encode_steps(inputs, num_steps)
        mask_BT = real_mask(num_steps.to(embedding_BTD.device), embedding_BTD.shape[1])
        maps: Sequence[Tensor] = self.unfold(embedding_BTD[mask_BT])
        return maps


def locate_steps(num_steps: Tensor) -> tuple[Tensor, Tensor]:
    """int64 (N,) twice: the clip and the step of every real step, in order."""
    row, step = real_mask(num_steps, max(1, int(num_steps.max()))).nonzero().T
    return row, step


def _has_maps(encoder: StepSoundEncoder) -> bool:
    return isinstance(encoder, MelPicturesEncoder)


def _unfolding(
    encoder: StepSoundEncoder, layout: AnchorLayout, shape: PyramidShape
) -> VectorPyramid:
    return VectorPyramid(
        encoder.embedding_size,
        bottleneck=shape.bottleneck,
        widths=shape.deconv_widths,
        map_channels=shape.width,
        level_sizes=layout.level_sizes,
    )


def _channels(
    encoder: StepSoundEncoder, layout: AnchorLayout, shape: PyramidShape
) -> tuple[int, ...]:
    """Of the maps that the pyramid is given."""
    if not isinstance(encoder, MelPicturesEncoder):
        return (shape.width,) * len(layout.level_sizes)
    sizes = layout.level_sizes[: len(encoder.map_sizes)]
    if sizes != tuple(encoder.map_sizes):
        raise InvalidValueError(
            f"strides {layout.strides} of a picture of {layout.picture_size} give levels of "
            f"{sizes} cells but the encoder's maps are {tuple(encoder.map_sizes)}; "
            "let method.options.strides begin with 8, 16, 32"
        )
    return tuple(encoder.map_channels)


def _head(
    shape: PyramidShape, layout: AnchorLayout, num_values: int, first_bias: float = 0.0
) -> AnchorHead:
    return AnchorHead(
        shape.width,
        num_repeats=shape.head_repeats,
        num_levels=len(layout.level_sizes),
        anchors_per_cell=layout.anchors_per_cell,
        num_values=num_values,
        first_bias=first_bias,
    )


def _logit(probability: float) -> float:
    return math.log(probability / (1 - probability))
