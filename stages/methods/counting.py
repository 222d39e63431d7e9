"""The pretext task of MM-DistillNet: sound learns how many boxes its teachers saw.

An audio network and a perceptron classify the number of cars, which is the count of the teachers'
boxes; its network then initialises the student that learns where they are [S:MM-note]. Neither the
code of this training nor the highest count, rate and epochs are known [U]: ours are the counts 0 to
5, the last of which is "that many or more", and cross-entropy.

Conventions: B clips, T steps, N real steps of a batch, K counts, which is the highest one and 1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from avkd.errors import InvalidValueError
from avkd.stages.detection.boxes import BoxTargets
from avkd.stages.encoders.real_steps import real_mask
from avkd.stages.encoders.registry import Encoder
from avkd.stages.encoders.step_sound import StepSoundEncoder
from avkd.stages.encoders.stream_inputs import require_count
from avkd.stages.encoders.streams import StreamEncoder
from avkd.stages.losses.batch_rules import in_full_precision
from avkd.stages.methods.batch import Batch, LearningShape, LossParts, Needs
from avkd.stages.methods.fused_labels import LabelRule, read_names
from avkd.stages.methods.heads import mlp_head
from avkd.stages.methods.registry import register_method


class CountingOutput(NamedTuple):
    """What a student says of a batch, and what it counts; names too, as it may be wrapped."""

    logits: Tensor
    """(B, T, K); 0 in steps that are not real."""
    teacher_classes: Mapping[str, tuple[str, ...]]
    """By teacher: the names of its boxes' classes, in its own order."""
    class_names: tuple[str, ...]
    """Those that are counted, all together."""


class CountingStudent(nn.Module):
    """An encoder of the sound around steps and a perceptron to the number of boxes."""

    def __init__(
        self,
        encoder: StepSoundEncoder,
        head: nn.Module,
        *,
        max_count: int,
        teacher_classes: Mapping[str, tuple[str, ...]],
        class_names: tuple[str, ...],
    ) -> None:
        """The head gives logits (N, max_count + 1) of embeddings (N, D)."""
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.max_count = max_count
        self.teacher_classes = dict(teacher_classes)
        self.class_names = class_names

    @property
    def streams(self) -> tuple[str, ...]:
        """The inputs that it reads."""
        return self.encoder.streams

    @property
    def teachers(self) -> tuple[str, ...]:
        """Those whose boxes are counted."""
        return tuple(self.teacher_classes)

    def forward(self, inputs: Mapping[str, Tensor], num_steps: Tensor) -> CountingOutput:
        """Hear clips, ``num_steps`` (B,) of which are real."""
        embedding_BTD = self.encoder.encode_steps(inputs, num_steps)
        mask_BT = real_mask(num_steps.to(embedding_BTD.device), embedding_BTD.shape[1])
        said: Tensor = self.head(embedding_BTD[mask_BT])
        logits = said.new_zeros((*mask_BT.shape, self.max_count + 1))
        logits[mask_BT] = said
        return CountingOutput(logits, self.teacher_classes, self.class_names)

    def describe(self) -> dict[str, object]:
        """What student.json says of it, as JSON can hold it."""
        return {
            "streams": self.streams,
            "embedding_size": self.encoder.embedding_size,
            "teachers": self.teachers,
            "counted_classes": self.class_names,
            "max_count": self.max_count,
        }


@dataclass(frozen=True, kw_only=True)
class CountingMethod:
    """What is counted, and the shape of the head; holds no tensors."""

    labels: LabelRule
    max_count: int
    """This many or more are one class."""
    hidden_size: int

    def build_student(
        self, encoder: Encoder | StreamEncoder, learning: LearningShape
    ) -> CountingStudent:
        """A student that counts the boxes of the chosen teachers and classes.

        Raises:
            InvalidValueError: The encoder hears no steps, no teacher stored boxes, or they know no
                class in common.
            UnknownNameError: There is no such teacher or class.
        """
        if not isinstance(encoder, StepSoundEncoder):
            raise InvalidValueError(
                "method 'counting' needs an encoder of the sound around each step; "
                "use mel_pictures, spectrogram_pair or phase_aware"
            )
        teachers = self.labels.choose_teachers(learning.targets)
        return CountingStudent(
            encoder,
            mlp_head(encoder, self.max_count + 1, hidden_size=self.hidden_size),
            max_count=self.max_count,
            teacher_classes={name: learning.targets[name].box_classes for name in teachers},
            class_names=self.labels.name_classes(learning.targets),
        )

    def needs(self, student: nn.Module) -> Needs:
        """The encoder's streams and the teachers' boxes.

        Raises:
            InvalidValueError: It is another kind of student.
        """
        if not isinstance(student, CountingStudent):
            raise InvalidValueError(f"a {type(student).__name__} does not count")
        return Needs(
            inputs=student.streams,
            boxes_of=student.teachers,
            min_box_score=self.labels.min_score,
            min_teachers=self.labels.min_teachers,
        )

    def loss(self, student: nn.Module, batch: Batch) -> LossParts:
        """The mean cross-entropy of the counts of all real steps.

        ``agreement`` is the share of them whose surest count is the teachers',
        ``absolute_error`` how far it is off; for both, more than the highest count is that count.

        Raises:
            InvalidValueError: The batch lacks the boxes of a teacher.
        """
        output: CountingOutput = student(batch.inputs, batch.num_steps)
        (logits,) = in_full_precision(output.logits)
        mask_BT = real_mask(batch.num_steps.to(logits.device), logits.shape[1])
        boxes = self.labels.fuse(batch.boxes, output.teacher_classes, output.class_names)
        counts = count_boxes(boxes.to(logits.device), mask_BT).clamp_max(logits.shape[2] - 1)
        said, seen = logits[mask_BT], counts[mask_BT]
        total = cross_entropy(said, seen)
        error = (said.detach().argmax(dim=1) - seen).abs().float()
        parts = {
            "cross_entropy": total.detach(),
            "agreement": (error == 0).float().mean(),
            "absolute_error": error.mean(),
        }
        return LossParts(total=total, parts=parts)


@register_method
def counting(
    teachers: Sequence[str] = (),
    classes: Sequence[str] = (),
    min_score: float = 0.3,
    iou_threshold: float = 0.5,
    min_teachers: int = 1,
    max_count: int = 5,
    hidden_size: int = 128,
) -> CountingMethod:
    """Classify how many boxes there are in each step's picture: a pretext task, 0 to ``max_count``.

    ``teachers`` empty takes all that stored boxes, ``classes`` empty those that all of them know.
    A box counts with a score of ``min_score`` or more; two of an IoU above ``iou_threshold`` are
    one, and ``min_teachers`` must have seen it. The perceptron has one layer of ``hidden_size``.

    Raises:
        InvalidValueError: An option is out of its range.
    """
    require_count("max_count", max_count)
    require_count("hidden_size", hidden_size)
    labels = LabelRule(
        teachers=read_names("teachers", teachers),
        classes=read_names("classes", classes),
        min_score=min_score,
        iou_threshold=iou_threshold,
        min_teachers=min_teachers,
    )
    return CountingMethod(labels=labels, max_count=max_count, hidden_size=hidden_size)


def count_boxes(boxes: BoxTargets, mask_BT: Tensor) -> Tensor:
    """int64 (B, T): how many boxes each step has; 0 where the mask is False."""
    total_steps = mask_BT.shape[1]
    inside = boxes.step < total_steps
    place = boxes.row[inside] * total_steps + boxes.step[inside]
    counts = torch.bincount(place, minlength=mask_BT.numel()).view_as(mask_BT)
    return counts * mask_BT
