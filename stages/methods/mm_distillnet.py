"""MM-DistillNet (Valverde, Hurtado and Valada, CVPR 2021): many microphones, several teachers.

The labels are the boxes of several detectors, each of another stream of pictures, fused by
non-maximum suppression; the student is a detector over sound. Loss = focal + smooth L1 of boxes +
a term that draws the student's attention to the teachers' (MTA), or a ranking of their maps
(methods 3.2 to 3.4).

Conventions: B clips, T steps, N real steps of a batch, M boxes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from avkd.errors import InvalidValueError
from avkd.stages.detection.boxes import BoxTargets
from avkd.stages.encoders.real_steps import real_mask
from avkd.stages.encoders.registry import Encoder
from avkd.stages.encoders.step_sound import StepSoundEncoder
from avkd.stages.encoders.stream_inputs import (
    require_amount,
    require_count,
    require_counts,
    require_share,
)
from avkd.stages.encoders.streams import StreamEncoder
from avkd.stages.losses.anchor_detection import anchor_detection_loss
from avkd.stages.losses.attention_transfer import AttentionForm, Combination
from avkd.stages.methods.anchor_student import AnchorOutput, AnchorStudent, Lesson, PyramidShape
from avkd.stages.methods.audio_mix import mix_sounds
from avkd.stages.methods.batch import Batch, LearningShape, LossParts, Needs
from avkd.stages.methods.fused_labels import LabelRule, read_names
from avkd.stages.methods.map_transfer import Distillation, MapTransfer
from avkd.stages.methods.registry import register_method


@dataclass(frozen=True, kw_only=True)
class MmDistillNetMethod:
    """The configured losses and the shape of the student; holds no tensors."""

    labels: LabelRule
    transfer: MapTransfer
    transfer_weight: float
    shape: PyramidShape
    focal_alpha: float
    focal_gamma: float
    box_weight: float
    match_best: bool
    audio_mix: float

    def build_student(
        self, encoder: Encoder | StreamEncoder, learning: LearningShape
    ) -> AnchorStudent:
        """A student of the classes that all teachers of the labels know.

        Raises:
            InvalidValueError: The encoder hears no steps, a teacher stored no boxes or not the maps
                that are learned from, or sizes do not fit.
            UnknownNameError: There is no such teacher, map or class.
        """
        if not isinstance(encoder, StepSoundEncoder):
            raise InvalidValueError(
                "method 'mm_distillnet' needs an encoder of the sound around each step; "
                "use mel_pictures or phase_aware"
            )
        targets, layout = learning.targets, self.shape.lay_out(encoder)
        teachers = self.labels.choose_teachers(targets)
        lesson = Lesson(
            teacher_classes={name: targets[name].box_classes for name in teachers},
            class_names=self.labels.name_classes(targets),
            maps=self.transfer.plan(teachers, targets, layout.level_sizes),
        )
        return AnchorStudent(encoder, layout, self.shape, lesson)

    def needs(self, student: nn.Module) -> Needs:
        """The encoder's streams, and what there is of the teachers' boxes and maps.

        Raises:
            InvalidValueError: It is another kind of student.
        """
        if not isinstance(student, AnchorStudent):
            raise InvalidValueError(f"a {type(student).__name__} has no anchors over a pyramid")
        plan = student.lesson.maps
        return Needs(
            inputs=student.streams,
            boxes_of=student.teachers,
            maps_of=plan.maps_of if plan else (),
            min_box_score=self.labels.min_score,
            min_teachers=self.labels.min_teachers,
            any_teacher=True,
        )

    def loss(self, student: nn.Module, batch: Batch) -> LossParts:
        """The weighted sum; parts are unweighted, and ``iou`` says how well boxes are met."""
        if student.training and self.audio_mix:
            batch = mix_sounds(batch, self.audio_mix)
        output: AnchorOutput = student(batch.inputs, batch.num_steps)
        return self.compare(output, batch)

    def compare(self, output: AnchorOutput, batch: Batch) -> LossParts:
        """The same of what was said; each term is a mean over real steps.

        Focal loss and boxes of a step are over its positive anchors, as released [S:MM-code]. Of
        steps that fewer teachers saw than must agree, no box and no background is learned.
        """
        mask_BT = real_mask(batch.num_steps.to(output.offsets.device), batch.total_steps)
        boxes, picture = self._label(output.lesson, batch, mask_BT)
        loss = anchor_detection_loss(
            output.class_logits,
            output.offsets,
            output.anchors,
            boxes,
            picture,
            alpha=self.focal_alpha,
            gamma=self.focal_gamma,
            match_best=self.match_best,
        )
        counts = _seen(batch, output.lesson.teacher_classes, mask_BT).sum(dim=0)
        is_labelled = counts >= self.labels.min_teachers
        classification = _mean_of(loss.classification, is_labelled)
        regression = _mean_of(loss.regression, is_labelled)
        total = classification + self.box_weight * regression
        parts = {"class": classification, "box": regression, "iou": loss.iou}
        if (plan := output.lesson.maps) is not None:
            transferred = self.transfer.compare(
                plan,
                output.levels,
                output.projected,
                {key: batch.maps[key][mask_BT] for key in plan.maps_of},
                _seen(batch, plan.outputs, mask_BT),
            )
            total = total + self.transfer_weight * transferred
            parts[self.transfer.distillation] = transferred
        return LossParts(total=total, parts={name: part.detach() for name, part in parts.items()})

    def _label(self, lesson: Lesson, batch: Batch, mask_BT: Tensor) -> tuple[BoxTargets, Tensor]:
        """Fused boxes of real steps, and of each the place of its step among them, int64 (M,)."""
        boxes = self.labels.fuse(batch.boxes, lesson.teacher_classes, lesson.class_names)
        boxes = boxes.keep(mask_BT[boxes.row, boxes.step])
        place_BT = (mask_BT.flatten().cumsum(0) - 1).view_as(mask_BT)
        return boxes, place_BT[boxes.row, boxes.step]


def _mean_of(values: Tensor, chosen: Tensor) -> Tensor:
    """Of some of the values (N,); 0 with a gradient of 0 where there are none."""
    return torch.where(chosen, values, torch.zeros_like(values)).sum() / chosen.sum().clamp_min(1)


def _seen(batch: Batch, teachers: Mapping[str, object], mask_BT: Tensor) -> Tensor:
    """Bool (teachers, N): which teacher saw which real step."""
    everywhere = torch.ones(len(mask_BT), dtype=torch.bool, device=mask_BT.device)
    rows = [batch.seen.get(name, everywhere).to(mask_BT.device) for name in teachers]
    return torch.stack([row[:, None].expand_as(mask_BT)[mask_BT] for row in rows])


@register_method
def mm_distillnet(
    teachers: Sequence[str] = (),
    classes: Sequence[str] = (),
    min_score: float = 0.3,
    iou_threshold: float = 0.5,
    min_teachers: int = 1,
    distillation: Distillation = "mta",
    distillation_weight: float = 1.0,
    distillation_teachers: Sequence[str] = (),
    combination: Combination = "product",
    attention_form: AttentionForm = "as_paper",
    temperature: float = 9.0,
    beta: float = 0.5,
    margin: float = 0.2,
    maps: Sequence[str] = (),
    focal_alpha: float = 0.25,
    focal_gamma: float = 2.0,
    box_weight: float = 1.0,
    match_best: bool = False,
    audio_mix: float = 0.0,
    picture_size: Sequence[int] = (),
    strides: Sequence[int] = (8, 16, 32, 64, 128),
    anchor_scale: float = 4.0,
    pyramid_width: int = 112,
    num_pyramid_cells: int = 5,
    head_repeats: int = 3,
    bottleneck: int = 1024,
    deconv_widths: Sequence[int] = (512, 256),
) -> MmDistillNetMethod:
    """Boxes of all teachers as labels, and ``distillation`` of their maps: mta, ranking or none.

    ``teachers`` empty takes all that stored boxes, ``classes`` empty those that all of them know.
    Boxes below ``min_score`` are not learned from; the rest is fused at ``iou_threshold``, and with
    ``min_teachers`` 2 or more only where so many agree. ``distillation_teachers`` empty are those
    of the labels. Of MTA, ``combination`` is of several teachers, and ``attention_form``
    ``as_paper``, ``as_printed`` (no divergence: it may be below 0) or ``as_released``, with
    ``temperature``; its weight is the paper's omega [U], 0.005 as released. ``margin`` is of the
    ranking. ``match_best`` gives every box its best anchor, where one that no anchor reaches is
    otherwise lost. ``audio_mix`` is the share of clips that are heard together with another.
    ``picture_size`` (height, width) to ``deconv_widths`` are the student's shape, EfficientDet-D2's
    unless given; the last two are of ears that give a vector.

    Raises:
        InvalidValueError: An option is out of its range.
    """
    for name, value in {
        "distillation_weight": distillation_weight,
        "focal_gamma": focal_gamma,
        "box_weight": box_weight,
    }.items():
        require_amount(name, value)
    for name, share in {"focal_alpha": focal_alpha, "audio_mix": audio_mix}.items():
        require_share(name, share)
    for name, count in {
        "pyramid_width": pyramid_width,
        "num_pyramid_cells": num_pyramid_cells,
        "head_repeats": head_repeats,
        "bottleneck": bottleneck,
    }.items():
        require_count(name, count)
    require_counts("strides", strides)
    require_counts("deconv_widths", deconv_widths)
    return MmDistillNetMethod(
        labels=LabelRule(
            teachers=read_names("teachers", teachers),
            classes=read_names("classes", classes),
            min_score=min_score,
            iou_threshold=iou_threshold,
            min_teachers=min_teachers,
        ),
        transfer=MapTransfer(
            distillation=distillation,
            teachers=read_names("distillation_teachers", distillation_teachers),
            outputs=read_names("maps", maps),
            form=attention_form,
            combination=combination,
            temperature=temperature,
            beta=beta,
            margin=margin,
        ),
        transfer_weight=distillation_weight,
        shape=PyramidShape(
            picture_size=_read_size(picture_size),
            strides=tuple(strides),
            anchor_scale=anchor_scale,
            width=pyramid_width,
            num_cells=num_pyramid_cells,
            head_repeats=head_repeats,
            bottleneck=bottleneck,
            deconv_widths=tuple(deconv_widths),
        ),
        focal_alpha=focal_alpha,
        focal_gamma=focal_gamma,
        box_weight=box_weight,
        match_best=match_best,
        audio_mix=audio_mix,
    )


def _read_size(size: Sequence[int]) -> tuple[int, int] | None:
    if not size:
        return None
    require_counts("picture_size", size)
    if len(size) != 2:
        raise InvalidValueError(f"picture_size {tuple(size)} must be height and width")
    return size[0], size[1]
