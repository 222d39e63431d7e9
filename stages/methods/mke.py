"""Multimodal knowledge expansion (MKE; Xue, Ren, Gao and Zhao, ICCV 2021).

A teacher of one modality, trained on few labels, says what unlabelled clips are. A student that
also has another modality learns this with its input disturbed, and comes to be better than its
teacher. The teacher's input is never disturbed: its word is stored.

The paper's loss is cls(y, T(f(x))) + gamma reg(f(x), T(f(x))) for a perturbation T [R]; as released
it is the cross-entropy with the teacher's hard labels of a disturbed student, gamma 0 and no
threshold [S: TwoMoon/mke.ipynb at 7600bd5].

Conventions: B clips, K classes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn

from avkd.errors import InvalidValueError
from avkd.stages.encoders.registry import Encoder
from avkd.stages.encoders.streams import StreamEncoder
from avkd.stages.losses.clip_level import clip_kl_per_clip
from avkd.stages.losses.cross_entropy import (
    LossOn,
    compared,
    cross_entropy_per_clip,
    require_loss_on,
)
from avkd.stages.losses.kl import SparseTargets, dense_kl
from avkd.stages.methods.batch import Batch, LearningShape, LossParts, Needs
from avkd.stages.methods.clip_student import ClipStudent, Prediction
from avkd.stages.methods.heads import build_head
from avkd.stages.methods.perturbation import mix_up
from avkd.stages.methods.pseudo_labels import (
    THRESHOLD_VALUES,
    Threshold,
    confident_clips,
    pseudo_labels,
    take_clips,
    take_targets,
)
from avkd.stages.methods.registry import register_method, require_stream_encoder
from avkd.stages.methods.supervised import require_vote_weight

Targets: TypeAlias = Literal["hard", "soft"]
LOSS_NAMES: Mapping[Targets, str] = {"hard": "cross_entropy", "soft": "kl"}
MIN_CLIPS = 2
"""Of which a student learns: batch normalisation needs two."""


class TaughtStudent(ClipStudent):
    """A student that knows whose word it learns."""

    def __init__(self, encoder: StreamEncoder, head: nn.Module, teacher: str) -> None:
        """``teacher`` is its name in the store."""
        super().__init__(encoder, head)
        self.teacher = teacher


@dataclass(frozen=True, kw_only=True)
class MkeMethod:
    """The configured loss; holds no tensors."""

    targets: Targets
    temperature: float
    loss_on: LossOn
    threshold: Threshold
    threshold_value: float
    head: str
    head_options: Mapping[str, Any] = field(default_factory=dict)
    mixup: float
    gamma: float
    vote_weight: float

    def build_student(
        self, encoder: Encoder | StreamEncoder, learning: LearningShape
    ) -> TaughtStudent:
        """The encoder with a head for the teacher's classes.

        Raises:
            InvalidValueError: There is not exactly one teacher with logits, or head and encoder do
                not fit.
        """
        encoder = require_stream_encoder(encoder, "mke")
        teachers = [name for name, shape in learning.targets.items() if shape.num_classes]
        if len(teachers) != 1:
            raise InvalidValueError(
                f"mke learns from one teacher but {', '.join(teachers) or 'none'} stored logits; "
                "name it with --teacher"
            )
        num_classes = learning.targets[teachers[0]].num_classes
        head = build_head(self.head, encoder, num_classes, **self.head_options)
        return TaughtStudent(encoder, head, teachers[0])

    def needs(self, student: nn.Module) -> Needs:
        """The streams of the encoder and the teacher's logits; no label.

        Raises:
            InvalidValueError: It is another kind of student.
        """
        if not isinstance(student, TaughtStudent):
            raise InvalidValueError(f"a {type(student).__name__} does not know its teacher")
        return Needs(inputs=student.streams, logits_of=(student.teacher,))

    def loss(self, student: nn.Module, batch: Batch) -> LossParts:
        """The mean over the clips that the threshold keeps.

        Parts are the unweighted losses, ``agreement`` with the teacher's classes, and with a
        threshold the share of clips that it ``kept``. Validation is without threshold and mixup.
        """
        if not student.training or self.threshold == "none":
            return self._learn(student, batch)
        (target,) = batch.targets.values()
        kept = confident_clips(target, batch.num_steps, self.threshold, self.threshold_value)
        places = kept.nonzero()[:, 0]
        # The clips that are not kept are not looked at either: they are no part of the batch, whose
        # mean and whose noise they would change.
        is_enough = len(places) >= MIN_CLIPS
        learned = self._learn(student, take_clips(batch, places) if is_enough else batch)
        total = learned.total if is_enough else 0 * learned.total
        return LossParts(total=total, parts={**learned.parts, "kept": kept.float().mean()})

    def _learn(self, student: nn.Module, batch: Batch) -> LossParts:
        lesson = self._set_lesson(batch, disturb=student.training)
        said: Prediction = student(lesson.inputs, lesson.num_steps)
        total = self._distance(said.logits, lesson)
        name = LOSS_NAMES[self.targets]
        parts = {name: total.detach(), "agreement": _agreement(said.logits, lesson)}
        if self.vote_weight:
            per_vote = [self._distance(vote, lesson) for vote in said.stream_logits.values()]
            votes = torch.stack(per_vote).mean()
            total, parts[f"{name}/votes"] = total + self.vote_weight * votes, votes.detach()
        if self.gamma and student.training:
            drift = dense_kl(said.logits, _undisturbed(student, lesson)).mean()
            total, parts["consistency"] = total + self.gamma * drift, drift.detach()
        return LossParts(total=total, parts=parts)

    def _set_lesson(self, batch: Batch, *, disturb: bool) -> "_Lesson":
        (target,) = batch.targets.values()
        own = (1.0, target, batch.num_steps)
        if not (self.mixup and disturb):
            return _Lesson(inputs=batch.inputs, num_steps=batch.num_steps, targets=(own,))
        mixed = mix_up(batch.inputs, batch.num_steps, self.mixup)
        others = take_targets(target, mixed.partner)
        return _Lesson(
            inputs=mixed.inputs,
            num_steps=mixed.num_steps,
            targets=(
                (mixed.share, target, batch.num_steps),
                (1 - mixed.share, others, batch.num_steps[mixed.partner]),
            ),
        )

    def _distance(self, logits_BK: Tensor, lesson: "_Lesson") -> Tensor:
        per_target = [
            share * self._per_clip(logits_BK, target, num_steps)
            for share, target, num_steps in lesson.targets
        ]
        return torch.stack(per_target).sum(dim=0).mean()

    def _per_clip(
        self, logits_BK: Tensor, target: Tensor | SparseTargets, num_steps: Tensor
    ) -> Tensor:
        if self.targets == "hard":
            classes = pseudo_labels(target, num_steps)
            return cross_entropy_per_clip(logits_BK, classes, self.loss_on)
        logits_BK = compared(logits_BK, self.loss_on)
        return clip_kl_per_clip(logits_BK, target, num_steps, self.temperature)


@register_method
def mke(
    targets: Targets = "hard",
    temperature: float = 1.0,
    loss_on: LossOn = "logits",
    threshold: Threshold | None = "none",
    threshold_value: float | None = None,
    head: str = "linear",
    head_options: Mapping[str, object] | None = None,
    mixup: float = 0.0,
    gamma: float = 0.0,
    vote_weight: float = 0.0,
) -> MkeMethod:
    """Pseudo-labels of one stored teacher; how the student is disturbed its encoder says.

    ``targets`` are the teacher's classes (``hard``) or its softmax at ``temperature`` (``soft``,
    KL). ``threshold`` leaves out clips of which the teacher is not sure: below a ``fixed``
    confidence (0.95 by default), a ``quantile`` of the batch's (0.5), or FlexMatch's for each class
    (0.95); the mean is over the clips that stay, where FixMatch divides by all. ``mixup`` is the
    alpha of its Beta distribution. ``gamma`` adds the KL from what the undisturbed student says to
    what the disturbed one does, without gradient to the former. ``vote_weight`` adds the loss of
    each stream's own vote, for a ``late`` head. ``loss_on`` ``probabilities`` is the first
    published version, with a softmax before the cross-entropy.

    Raises:
        InvalidValueError: An option is out of its range.
    """
    if targets not in LOSS_NAMES:
        raise InvalidValueError(f"targets {targets!r} are not known; use {' or '.join(LOSS_NAMES)}")
    threshold = threshold or "none"  # the word `none` of an override is null
    if threshold not in THRESHOLD_VALUES:
        known = " or ".join(THRESHOLD_VALUES)
        raise InvalidValueError(f"threshold {threshold!r} is not known; use {known}")
    value = THRESHOLD_VALUES[threshold] if threshold_value is None else threshold_value
    if not 0 <= value <= 1:
        raise InvalidValueError(f"threshold_value {value:g} must be from 0 to 1")
    if not temperature > 0:
        raise InvalidValueError(f"temperature {temperature:g} must be above 0")
    for name, weight in (("mixup", mixup), ("gamma", gamma)):
        if not weight >= 0:
            raise InvalidValueError(f"{name} {weight:g} must be 0 or more; 0 switches it off")
    require_loss_on(loss_on)
    require_vote_weight(vote_weight, head)
    return MkeMethod(
        targets=targets,
        temperature=temperature,
        loss_on=loss_on,
        threshold=threshold,
        threshold_value=value,
        head=head,
        head_options=dict(head_options or {}),
        mixup=mixup,
        gamma=gamma,
        vote_weight=vote_weight,
    )


def _agreement(logits_BK: Tensor, lesson: "_Lesson") -> Tensor:
    """The share of clips that the student takes for what the teacher does."""
    _, target, num_steps = lesson.targets[0]
    return (logits_BK.detach().argmax(dim=-1) == pseudo_labels(target, num_steps)).float().mean()


def _undisturbed(student: nn.Module, lesson: "_Lesson") -> Tensor:
    """Logits (B, K) without noise, dropout or augmentation, and without gradient."""
    student.eval()
    with torch.no_grad():
        said: Prediction = student(lesson.inputs, lesson.num_steps)
    student.train()
    return said.logits


@dataclass(frozen=True, kw_only=True)
class _Lesson:
    """What a student is given of a batch, and what it should say."""

    inputs: Mapping[str, Tensor]
    num_steps: Tensor
    """int64 (B,)."""
    targets: tuple[tuple[float | Tensor, Tensor | SparseTargets, Tensor], ...]
    """How much each counts (B,), and its logits and real steps; the clips' own first."""
