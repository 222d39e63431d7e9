"""SoundNet (Aytar, Vondrick and Torralba, NIPS 2016): sound learns what pictures were classed as.

For each stored teacher a head predicts the teacher's distribution for each step, and the loss is
KL(teacher || student), summed over teachers and steps.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from avkd.errors import InvalidValueError
from avkd.stages.encoders.registry import Encoder
from avkd.stages.encoders.streams import StreamEncoder
from avkd.stages.losses.embedding import cosine_distance, l2_of_probabilities
from avkd.stages.losses.kl import (
    SparseTargets,
    kl_over_steps,
    require_same_steps,
    sparse_kl_over_steps,
    torch7_weight,
)
from avkd.stages.losses.steps import blank_masked_steps, sum_real_steps
from avkd.stages.methods.batch import (
    Batch,
    LearningShape,
    LossParts,
    Needs,
    StudentOutput,
    TargetShape,
)
from avkd.stages.methods.registry import register_method, require_sound_encoder
from avkd.stages.methods.student import Student, sound_needs
from avkd.stages.methods.tiling import tile_batch

Distance = Literal["kl", "l2"]
Weighting = Literal["given", "torch7"]


@dataclass(frozen=True, kw_only=True)
class SoundNetMethod:
    """The configured loss; holds no tensors."""

    distance: Distance
    temperature: float
    teacher_weights: Mapping[str, float] = field(default_factory=dict)
    weighting: Weighting
    embedding_weight: float
    tile: bool

    def build_student(self, encoder: Encoder | StreamEncoder, learning: LearningShape) -> Student:
        """A head for each teacher that stored logits, a projector for each with embeddings.

        Raises:
            InvalidValueError: No teacher stored what the loss needs, one stored it of whole clips,
                or a weight names none.
        """
        targets = learning.targets
        num_classes = {name: t.num_classes for name, t in targets.items() if t.num_classes}
        sizes = {name: t.embedding_size for name, t in targets.items() if t.embedding_size}
        if not num_classes:
            raise InvalidValueError(
                f"teachers ({', '.join(targets) or 'none'}) stored no logits; extract a classifier"
            )
        if self.embedding_weight and not sizes:
            raise InvalidValueError(
                f"embedding_weight is {self.embedding_weight:g} but no teacher stored embeddings; "
                "set it to 0 or extract them"
            )
        if stray := sorted(set(self.teacher_weights) - set(targets)):
            raise InvalidValueError(
                f"teacher_weights name {', '.join(stray)}; the teachers are {', '.join(targets)}"
            )
        heard = {**num_classes, **sizes} if self.embedding_weight else num_classes
        for name in heard:
            _require_steps(name, targets[name])
        return Student(
            require_sound_encoder(encoder, "soundnet"),
            num_classes,
            sizes if self.embedding_weight else {},
        )

    def needs(self, student: nn.Module) -> Needs:
        """The targets of every head and projector, and the sound."""
        return sound_needs(student)

    def loss(self, student: nn.Module, batch: Batch) -> LossParts:
        """The weighted sum over teachers; parts are each teacher's unweighted loss."""
        if self.tile:
            batch = tile_batch(batch)
        output: StudentOutput = student(batch.waveform, batch.total_steps)
        weighted: list[Tensor] = []
        parts: dict[str, Tensor] = {}
        for name, logits in output.logits.items():
            part = self._distance(logits, batch.targets[name], batch.num_steps)
            weighted.append(self._weight(name, logits.shape[-1]) * part)
            parts[f"{self.distance}/{name}"] = part.detach()
        for name, embedding in output.embeddings.items():
            part = _over_steps(cosine_distance, embedding, batch.embeddings[name], batch.num_steps)
            weighted.append(self.embedding_weight * part)
            parts[f"cosine/{name}"] = part.detach()
        return LossParts(total=torch.stack(weighted).sum(), parts=parts)

    def _distance(
        self, student: Tensor, target: Tensor | SparseTargets, num_steps: Tensor
    ) -> Tensor:
        if isinstance(target, SparseTargets):
            if self.distance != "kl":
                raise InvalidValueError(
                    f"distance {self.distance!r} needs all logits but these are sparse; "
                    "use 'kl' or store them dense"
                )
            return sparse_kl_over_steps(student, target, num_steps, self.temperature)
        if self.distance == "kl":
            return kl_over_steps(student, target, num_steps, self.temperature)
        require_same_steps(student, target.shape[:2])
        distance = partial(l2_of_probabilities, temperature=self.temperature)
        return _over_steps(distance, student, target, num_steps)

    def _weight(self, teacher: str, num_classes: int) -> float:
        given = self.teacher_weights.get(teacher, 1.0)
        return given * (torch7_weight(num_classes) if self.weighting == "torch7" else 1.0)


@register_method
def soundnet(
    distance: Distance = "kl",
    temperature: float = 1.0,
    teacher_weights: Mapping[str, float] | None = None,
    weighting: Weighting = "given",
    embedding_weight: float = 0.0,
    tile: bool = True,
) -> SoundNetMethod:
    """The paper's loss.

    ``distance`` ``l2`` is its ablation, between probabilities; ``teacher_weights`` default to 1;
    ``weighting`` ``torch7`` multiplies them with the released code's own; ``embedding_weight``
    above 0 adds one minus the cosine to stored embeddings (not in the paper); ``tile`` repeats
    clips with fewer steps until they are full, else the missing steps are masked.

    Raises:
        InvalidValueError: An option is out of its range.
    """
    if distance not in ("kl", "l2"):
        raise InvalidValueError(f"distance {distance!r} is not known; use 'kl' or 'l2'")
    if weighting not in ("given", "torch7"):
        raise InvalidValueError(f"weighting {weighting!r} is not known; use 'given' or 'torch7'")
    if temperature <= 0:
        raise InvalidValueError(f"temperature {temperature:g} must be above 0")
    return SoundNetMethod(
        distance=distance,
        temperature=temperature,
        teacher_weights=dict(teacher_weights or {}),
        weighting=weighting,
        embedding_weight=embedding_weight,
        tile=tile,
    )


def _require_steps(teacher: str, shape: TargetShape) -> None:
    if not shape.num_steps:
        raise InvalidValueError(
            f"teacher {teacher!r} speaks of a clip as a whole but soundnet learns from each step; "
            "name teachers of steps with --teacher, or take a method of whole clips such as mke"
        )


def _over_steps(
    distance: Callable[[Tensor, Tensor], Tensor], student: Tensor, target: Tensor, num_steps: Tensor
) -> Tensor:
    student, target = (blank_masked_steps(each, num_steps) for each in (student, target))
    return sum_real_steps(distance(student, target), num_steps)
