"""Learning from human truth: teachers that need labels, upper bounds, students on their own.

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
from avkd.stages.losses.batch_rules import mean_of_kept
from avkd.stages.losses.cross_entropy import LossOn, cross_entropy_per_clip, require_loss_on
from avkd.stages.losses.margin import aam_softmax_per_clip
from avkd.stages.losses.tagging import is_labelled, label_bce_per_clip
from avkd.stages.methods.batch import Batch, LearningShape, LossParts, Needs
from avkd.stages.methods.clip_student import ClipStudent, Prediction, deployed_student
from avkd.stages.methods.heads import AAM_SCALE, build_head
from avkd.stages.methods.registry import register_method, require_stream_encoder

Task: TypeAlias = Literal["class", "classes", "verification"]
LOSS_NAMES: Mapping[Task, str] = {
    "class": "cross_entropy",
    "classes": "binary_cross_entropy",
    "verification": "aam",
}


@dataclass(frozen=True, kw_only=True)
class SupervisedMethod:
    """The configured loss; holds no tensors."""

    task: Task
    head: str
    head_options: Mapping[str, Any] = field(default_factory=dict)
    loss_on: LossOn
    scale: float
    margin: float
    label_smoothing: float
    vote_weight: float

    def build_student(
        self, encoder: Encoder | StreamEncoder, learning: LearningShape
    ) -> ClipStudent:
        """The encoder with a head for the labels' classes.

        Raises:
            InvalidValueError: There are no labels, or head and encoder do not fit.
        """
        encoder = require_stream_encoder(encoder, "supervised")
        if len(learning.class_names) < 2:
            raise InvalidValueError("supervised learns from labels; name their data.label_column")
        num_classes = len(learning.class_names)
        return ClipStudent(
            encoder, build_head(self.head, encoder, num_classes, **self.head_options)
        )

    def needs(self, student: nn.Module) -> Needs:
        """The streams of the encoder, and one class a clip or several."""
        kind: Literal["class", "classes"] = "classes" if self.task == "classes" else "class"
        return Needs(inputs=deployed_student(student).streams, labels=kind)

    def loss(self, student: nn.Module, batch: Batch) -> LossParts:
        """The mean over labelled clips; ``accuracy`` counts classes of clips, or decisions.

        Raises:
            InvalidValueError: The batch has no labels.
        """
        if batch.labels is None:
            raise InvalidValueError("supervised needs labels; name their data.label_column")
        said: Prediction = student(batch.inputs, batch.num_steps)
        kept = is_labelled(batch.labels) if self.task == "classes" else batch.labels >= 0
        main = mean_of_kept(self._per_clip(said.logits, batch.labels), kept)
        parts = {
            LOSS_NAMES[self.task]: main.detach(),
            "accuracy": mean_of_kept(self._hits(said.logits, batch.labels), kept),
        }
        if not self.vote_weight:
            return LossParts(total=main, parts=parts)
        per_vote = [self._per_clip(vote, batch.labels) for vote in said.stream_logits.values()]
        votes = mean_of_kept(torch.stack(per_vote).mean(dim=0), kept)
        parts[f"{LOSS_NAMES[self.task]}/votes"] = votes.detach()
        return LossParts(total=main + self.vote_weight * votes, parts=parts)

    def _per_clip(self, logits_BK: Tensor, labels: Tensor) -> Tensor:
        if self.task == "classes":
            return label_bce_per_clip(logits_BK, labels)
        if self.task == "verification":
            return aam_softmax_per_clip(logits_BK / self.scale, labels, self.scale, self.margin)
        return cross_entropy_per_clip(logits_BK, labels, self.loss_on, self.label_smoothing)

    def _hits(self, logits_BK: Tensor, labels: Tensor) -> Tensor:
        """(B,): of several classes the share of right yes or no, at a probability of one half."""
        logits_BK = logits_BK.detach()
        if self.task == "classes":
            return ((logits_BK > 0) == (labels > 0)).float().mean(dim=-1)
        return (logits_BK.argmax(dim=-1) == labels).float()


@register_method
def supervised(
    task: Task = "class",
    head: str | None = None,
    head_options: Mapping[str, object] | None = None,
    loss_on: LossOn = "logits",
    scale: float = AAM_SCALE,
    margin: float = 0.2,
    label_smoothing: float = 0.0,
    vote_weight: float = 0.0,
) -> SupervisedMethod:
    """Cross-entropy of one class, binary cross-entropy of several, or AAM-Softmax of speakers.

    ``head`` is ``linear``, ``mlp``, ``late`` or ``cosine`` (heads.py), which verification needs and
    takes by default. ``scale`` and ``margin`` are those of AAM-Softmax. ``vote_weight`` adds the
    loss of each stream's own vote, for a ``late`` head. ``loss_on`` ``probabilities`` is the first
    published version of MKE's TwoMoon, with a softmax before the cross-entropy.

    Raises:
        InvalidValueError: An option is out of its range, or does not go with the others.
    """
    if task not in LOSS_NAMES:
        raise InvalidValueError(f"task {task!r} is not known; use {' or '.join(LOSS_NAMES)}")
    kind = head or ("cosine" if task == "verification" else "linear")
    options = dict(head_options or {})
    if task == "verification":
        if kind != "cosine":
            raise InvalidValueError(f"task 'verification' needs the head 'cosine', not {kind!r}")
        options["scale"] = scale
    require_loss_on(loss_on)
    if task != "class" and (loss_on != "logits" or label_smoothing):
        raise InvalidValueError(f"loss_on and label_smoothing go with task 'class', not {task!r}")
    if not 0 <= label_smoothing < 1:
        raise InvalidValueError(f"label_smoothing {label_smoothing:g} must be from 0 to below 1")
    require_vote_weight(vote_weight, kind)
    return SupervisedMethod(
        task=task,
        head=kind,
        head_options=options,
        loss_on=loss_on,
        scale=scale,
        margin=margin,
        label_smoothing=label_smoothing,
        vote_weight=vote_weight,
    )


def require_vote_weight(vote_weight: float, head: str) -> None:
    """Refuse a weight of votes below 0, or where no stream has one.

    Raises:
        InvalidValueError: It is so.
    """
    if vote_weight < 0 or (vote_weight and head != "late"):
        raise InvalidValueError(
            f"vote_weight {vote_weight:g} must be 0 or more, and 0 with the head {head!r}: only "
            "'late' has a vote for each stream"
        )
