"""Multimodal knowledge expansion of dense prediction (Xue, Ren, Gao and Zhao, ICCV 2021).

The form of their task on NYU-Depth-v2: a teacher that sees colours, trained on few labelled
pictures, says the class of every pixel of unlabelled ones; a student that sees depth (or heat) as
well learns these hard pseudo-labels by cross-entropy with its own input disturbed (method ``mke``
tells of the loss). Their network, schedule and perturbation are unknown [U]; the result is a mean
IoU of 48.88 % [S:MKE-lb]. What disturbs the pictures are options of the encoder, but for the
mirror, which turns the pseudo-labels with them. That, and that rare classes may count for more,
is ours.

Conventions: B clips, T steps, N real steps of a batch, K classes, H and W pixels.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.stages.encoders.picture_maps import PictureMapsEncoder
from avkd.stages.encoders.real_steps import real_mask
from avkd.stages.encoders.registry import Encoder
from avkd.stages.encoders.stream_inputs import require_amount
from avkd.stages.encoders.streams import StreamEncoder
from avkd.stages.methods.batch import Batch, LearningShape, LossParts, Needs
from avkd.stages.methods.dense_student import DenseStudent
from avkd.stages.methods.registry import register_method
from avkd.stages.types import IGNORED_CLASS


@dataclass(frozen=True, kw_only=True)
class MkeDenseMethod:
    """The configured loss; holds no tensors."""

    teacher: str
    steps_per_clip: int
    balance: float
    flip: float

    def build_student(
        self, encoder: Encoder | StreamEncoder, learning: LearningShape
    ) -> DenseStudent:
        """The encoder with a class for each pixel of the teacher's maps.

        Raises:
            InvalidValueError: The encoder gives no maps, or there is not exactly one teacher with
                class maps.
            UnknownNameError: There is no such teacher.
        """
        if not isinstance(encoder, PictureMapsEncoder):
            raise InvalidValueError(
                "method 'mke_dense' needs an encoder of maps of pictures; use picture_maps"
            )
        teacher = self._find_teacher(learning)
        shape = learning.targets[teacher]
        return DenseStudent(
            encoder, class_names=shape.map_classes, teacher=teacher, map_size=shape.map_size
        )

    def needs(self, student: nn.Module) -> Needs:
        """The encoder's streams and the teacher's class maps; no label.

        Raises:
            InvalidValueError: It is another kind of student.
        """
        if not isinstance(student, DenseStudent):
            raise InvalidValueError(f"a {type(student).__name__} says no class of pixels")
        return Needs(inputs=student.streams, class_maps_of=(student.teacher,))

    def loss(self, student: nn.Module, batch: Batch) -> LossParts:
        """The mean over the pixels of real steps, and ``agreement``: the share said alike.

        Pixels count by ``balance``, with a mean weight of 1.

        Raises:
            InvalidValueError: The batch lacks the maps of the teacher, or they are of another size.
        """
        if len(batch.class_maps) != 1:
            raise InvalidValueError(
                "mke_dense needs the class maps of one teacher but the batch has those of "
                f"{', '.join(batch.class_maps) or 'none'}; extract a teacher that stores them"
            )
        (maps,) = batch.class_maps.values()
        lesson = _Lesson(inputs=batch.inputs, num_steps=batch.num_steps, maps=maps)
        if student.training and self.steps_per_clip:
            lesson = _draw_steps(lesson, self.steps_per_clip)
        if student.training and self.flip:
            lesson = _mirror(lesson, self.flip)
        logits: Tensor = student(lesson.inputs, lesson.num_steps)
        return _compare(logits, lesson.real_maps(), self.balance)

    def _find_teacher(self, learning: LearningShape) -> str:
        """The teacher named, or the only one with class maps; true ones are never meant unnamed."""
        found = {name: shape for name, shape in learning.targets.items() if shape.map_classes}
        if self.teacher and self.teacher not in found:
            raise UnknownNameError("teacher with class maps", self.teacher, found)
        if self.teacher:
            return self.teacher
        said = [name for name, shape in found.items() if not shape.is_truth]
        if len(said) != 1:
            true = " (the truth must be named)" if len(found) > len(said) else ""
            raise InvalidValueError(
                f"mke_dense learns from one teacher but {', '.join(said) or 'none'} stored class "
                f"maps; name it as method.options.teacher{true}, or extract a segmentation teacher"
            )
        return said[0]


@register_method
def mke_dense(
    teacher: str = "", steps_per_clip: int = 0, balance: float = 0.0, flip: float = 0.0
) -> MkeDenseMethod:
    """Cross-entropy with the hard class maps of a teacher.

    ``teacher`` empty takes the only one with class maps; those that are the truth, for an upper
    bound, are learned from only where they are named. ``steps_per_clip`` above 0 learns from so
    many steps of a clip at each update, drawn anew: neighbours show almost the same. A pixel counts
    by its class's share of the batch to the power of -``balance``: 0 is the plain mean, 1 gives
    every class the same weight in all. ``flip`` is how likely a clip is mirrored, with its maps.

    Raises:
        InvalidValueError: An option is out of its range.
    """
    require_amount("steps_per_clip", steps_per_clip)
    for name, share in (("balance", balance), ("flip", flip)):
        if not 0 <= share <= 1:
            raise InvalidValueError(f"{name} {share:g} must be from 0 to 1")
    return MkeDenseMethod(
        teacher=teacher,
        steps_per_clip=int(steps_per_clip),
        balance=float(balance),
        flip=float(flip),
    )


@dataclass(frozen=True, kw_only=True)
class _Lesson:
    """What a student sees, and what it should say."""

    inputs: Mapping[str, Tensor]
    num_steps: Tensor
    """int64 (B,)."""
    maps: Tensor
    """uint8 (B, T, H, W)."""

    def real_maps(self) -> Tensor:
        """Int64 (N, H, W) of the real steps, in order."""
        mask_BT = real_mask(self.num_steps.to(self.maps.device), self.maps.shape[1])
        return self.maps[mask_BT].long()


def _draw_steps(lesson: _Lesson, most: int) -> _Lesson:
    """Up to ``most`` real steps of each clip, in order, drawn on the CPU from torch's generator."""
    num_clips, num_steps = lesson.maps.shape[:2]
    real = real_mask(lesson.num_steps.cpu(), num_steps)
    # Steps that are not real come last, and in order: they stay behind the real ones.
    draws = torch.rand(num_clips, num_steps).masked_fill(~real, 2.0)
    taken = draws.argsort(dim=1)[:, :most].sort(dim=1).values.to(lesson.maps.device)
    clips = torch.arange(num_clips, device=taken.device)[:, None]
    return replace(
        lesson,
        inputs={name: value[clips, taken] for name, value in lesson.inputs.items()},
        num_steps=lesson.num_steps.clamp_max(most),
        maps=lesson.maps[clips, taken],
    )


def _mirror(lesson: _Lesson, share: float) -> _Lesson:
    """Some clips left to right, drawn on the CPU from torch's generator."""
    turned = (torch.rand(len(lesson.maps)) < share).to(lesson.maps.device)

    def turn(value: Tensor) -> Tensor:
        """Of (B, T, H, W) or (B, T, H, W, channels)."""
        return torch.where(turned.view(-1, *[1] * (value.ndim - 1)), value.flip(3), value)

    inputs = {name: turn(value) for name, value in lesson.inputs.items()}
    return replace(lesson, inputs=inputs, maps=turn(lesson.maps))


def _compare(logits: Tensor, classes: Tensor, balance: float) -> LossParts:
    """Of logits (N, K, H, W) with classes (N, H, W)."""
    if logits.shape[-2:] != classes.shape[-2:]:
        raise InvalidValueError(
            f"the student says maps of {tuple(logits.shape[-2:])} but the teacher's are "
            f"{tuple(classes.shape[-2:])} (height, width); train on the store that the student "
            "was built for"
        )
    counts = classes != IGNORED_CLASS
    num_pixels = counts.sum().clamp_min(1)
    summed = functional.cross_entropy(
        logits.float(),
        classes,
        weight=_weigh(classes, logits.shape[1], balance) if balance else None,
        ignore_index=IGNORED_CLASS,
        reduction="sum",
    )
    total = summed / num_pixels
    agreement = ((logits.max(dim=1).indices == classes) & counts).sum() / num_pixels
    parts = {"cross_entropy": total.detach(), "agreement": agreement.detach()}
    return LossParts(total=total, parts=parts)


def _weigh(classes: Tensor, num_classes: int, balance: float) -> Tensor:
    """Weights (K,) of pixels by their class, of mean 1 over those that count."""
    counts = torch.bincount(classes.flatten(), minlength=IGNORED_CLASS + 1)[:num_classes].float()
    shares = counts / counts.sum().clamp_min(1)
    weights = torch.where(counts > 0, shares**-balance, 0.0)
    return weights / (shares * weights).sum().clamp_min(1e-12)
