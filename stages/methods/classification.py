"""Plain supervised training: the control from scratch, and fine-tuning.

SoundNet's fine-tuning replaces the heads by one with a class for each label; so does this.
"""

from dataclasses import dataclass

from torch import nn
from torch.nn.functional import cross_entropy

from avkd.errors import InvalidValueError
from avkd.stages.encoders.registry import Encoder
from avkd.stages.encoders.streams import StreamEncoder
from avkd.stages.methods.batch import Batch, LearningShape, LossParts, Needs, StudentOutput
from avkd.stages.methods.registry import register_method, require_sound_encoder
from avkd.stages.methods.student import Student

LABELS = "labels"
"""The name of the one head, where distillation has the teachers' names."""


@dataclass(frozen=True, kw_only=True)
class ClassificationMethod:
    """Cross-entropy of a clip's mean logits with its label."""

    num_classes: int
    label_smoothing: float

    def build_student(self, encoder: Encoder | StreamEncoder, learning: LearningShape) -> Student:
        """One head for the labels; the teachers' targets are not used."""
        del learning
        return Student(require_sound_encoder(encoder, "classification"), {LABELS: self.num_classes})

    def needs(self, student: nn.Module) -> Needs:
        """Sound and a class."""
        del student
        return Needs(labels="class")

    def loss(self, student: nn.Module, batch: Batch) -> LossParts:
        """The mean cross-entropy over clips, with the accuracy beside it.

        Raises:
            InvalidValueError: The batch has no labels.
        """
        if batch.labels is None:
            raise InvalidValueError("classification needs labels; choose a labelled corpus")
        output: StudentOutput = student(batch.waveform, 1)
        logits = output.logits[LABELS][:, 0].float()
        total = cross_entropy(logits, batch.labels, label_smoothing=self.label_smoothing)
        hits = (logits.argmax(dim=-1) == batch.labels).float().mean()
        return LossParts(
            total=total, parts={"cross_entropy": total.detach(), "accuracy": hits.detach()}
        )


@register_method
def classification(num_classes: int, label_smoothing: float = 0.0) -> ClassificationMethod:
    """Cross-entropy on labels, over the mean of the head's columns.

    Raises:
        InvalidValueError: There are fewer than two classes.
    """
    if num_classes < 2:
        raise InvalidValueError(f"num_classes {num_classes} must be 2 or more")
    return ClassificationMethod(num_classes=num_classes, label_smoothing=label_smoothing)
