"""Three-level knowledge distillation for person verification (Zhang, Chen and Qian, 2021).

An audio-visual teacher of speakers was trained and has spoken; a student of one modality learns the
same speakers from labels and from what the teacher stored of every utterance, on three levels:
what it says (label), where it puts the utterance (embedding), and how a batch of utterances lies
(distribution). The paper (Interspeech 2021, pages 1897 to 1901) is known by its title and these
three words [S]; the losses are standard forms [R] in a design of ours, their weights, the
temperature and which distance between distributions was taken are unknown [U].

Scores of trials are cosines, so the embedding and the distribution level compare directions: all
embeddings are brought to length 1 (ours).

Conventions: B clips, S steps, K speakers, D width of the teacher's embedding.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.stages.encoders.registry import Encoder
from avkd.stages.encoders.streams import StreamEncoder
from avkd.stages.losses.batch_rules import mean_of_kept, require_above_zero
from avkd.stages.losses.clip_level import clip_kl
from avkd.stages.losses.embedding import cosine_distance, mean_squared_error
from avkd.stages.losses.geometry import unit_vectors
from avkd.stages.losses.margin import aam_softmax, margin_alignment
from avkd.stages.losses.relational import RELATIONAL_DISTANCES, relational_distance
from avkd.stages.losses.steps import real_steps
from avkd.stages.methods.batch import (
    Batch,
    LearningShape,
    LossParts,
    Needs,
    TargetShape,
    require_same_classes,
)
from avkd.stages.methods.clip_student import ClipStudent, Prediction
from avkd.stages.methods.heads import AAM_SCALE, build_head
from avkd.stages.methods.registry import register_method, require_stream_encoder

EmbeddingLevel: TypeAlias = Literal["cosine", "mse", "margin"]
PARTS = ("aam", "label", "embedding", "distribution")
EMBEDDING_LEVELS = ("cosine", "mse", "margin")
WITHIN_EACH_SIDE = ("similarity", "rkd")
"""The distances that compare relations, whatever the widths: they look past a projection."""
WAY_OUT = (
    "train it on the same split and labels, name them in its order as data.classes, or set "
    "method.options.label_weight=0"
)
LEAST_CLIPS: Mapping[str, int] = {"mmd": 2, "info_nce": 2}
"""Of a batch that has a distribution; 3 for all others."""


class TaughtSpeech(NamedTuple):
    """What a student says of a batch, and where the teacher would look for it."""

    logits: Tensor
    """(B, K): scaled cosines, without a margin."""
    embedding: Tensor
    """(B, D'), the student's own."""
    projected: Tensor
    """(B, D)"""


class ThreeLevelPair(nn.Module):
    """A student, and the projection of its embedding to the teacher's width while they differ."""

    def __init__(self, student: ClipStudent, teacher: str, embedding_size: int) -> None:
        """``embedding_size`` is the teacher's; 0 where no level looks at embeddings."""
        super().__init__()
        self.student = student
        self.teacher = teacher
        size = student.encoder.embedding_size
        self.projection = (
            nn.Linear(size, embedding_size, bias=False)
            if embedding_size not in (0, size)
            else nn.Identity()
        )

    def forward(self, inputs: Mapping[str, Tensor], num_steps: Tensor) -> TaughtSpeech:
        """Logits and both embeddings of clips."""
        said: Prediction = self.student(inputs, num_steps)
        return TaughtSpeech(said.logits, said.embedding, self.projection(said.embedding))


@dataclass(frozen=True, kw_only=True)
class ThreeLevelMethod:
    """The configured loss; holds no tensors."""

    label_loss_weight: float
    label_weight: float
    embedding_weight: float
    distribution_weight: float
    temperature: float
    embedding: EmbeddingLevel
    embedding_margin: float
    distribution: str
    distribution_options: Mapping[str, float] = field(default_factory=dict)
    scale: float
    margin: float

    def __post_init__(self) -> None:
        weights = self.weights
        for name, weight in weights.items():
            if not weight >= 0:
                raise InvalidValueError(f"{name} {weight:g} must be 0 or more; 0 switches it off")
        if not any(weights.values()):
            raise InvalidValueError("all weights are 0: nothing is learned; set one above 0")
        require_above_zero("temperature", self.temperature)
        require_above_zero("scale", self.scale)
        if self.embedding not in EMBEDDING_LEVELS:
            known = " or ".join(EMBEDDING_LEVELS)
            raise InvalidValueError(f"embedding {self.embedding!r} is not known; use {known}")
        if self.distribution not in RELATIONAL_DISTANCES:
            raise UnknownNameError("relational distance", self.distribution, RELATIONAL_DISTANCES)

    @property
    def weights(self) -> Mapping[str, float]:
        """By option; AAM-Softmax's first."""
        return {
            "label_loss_weight": self.label_loss_weight,
            "label_weight": self.label_weight,
            "embedding_weight": self.embedding_weight,
            "distribution_weight": self.distribution_weight,
        }

    @property
    def compares_embeddings(self) -> bool:
        """Whether the teacher's embeddings are read."""
        return bool(self.embedding_weight or self.distribution_weight)

    def build_student(
        self, encoder: Encoder | StreamEncoder, learning: LearningShape
    ) -> ThreeLevelPair:
        """The encoder with a cosine head over the labels' speakers.

        Raises:
            InvalidValueError: There are no labels, not exactly one teacher that stored what the
                levels compare, or its classes are not those of the labels.
        """
        encoder = require_stream_encoder(encoder, "three_level")
        num_classes = len(learning.class_names)
        if num_classes < 2:
            raise InvalidValueError("three_level learns from labels; name their data.label_column")
        student = ClipStudent(encoder, build_head("cosine", encoder, num_classes, scale=self.scale))
        if not (self.label_weight or self.compares_embeddings):
            return ThreeLevelPair(student, "", 0)
        teacher, shape = self._find_teacher(learning)
        if self.label_weight:
            require_same_classes(teacher, shape, learning.class_names, WAY_OUT)
        # Fresh weights are drawn after the student's: they begin alike with and without a teacher.
        size = shape.embedding_size if self._needs_same_width else 0
        return ThreeLevelPair(student, teacher, size)

    def needs(self, student: nn.Module) -> Needs:
        """The encoder's streams, labels, and what the levels that count compare.

        Where a level counts, rows without a label are learned from as well.

        Raises:
            InvalidValueError: It is another kind of student.
        """
        if not isinstance(student, ThreeLevelPair):
            raise InvalidValueError(f"a {type(student).__name__} does not know its teacher")
        return Needs(
            inputs=student.student.streams,
            logits_of=(student.teacher,) if self.label_weight else (),
            embeddings_of=(student.teacher,) if self.compares_embeddings else (),
            labels="class",
            takes_unlabelled=bool(self.label_weight or self.compares_embeddings),
        )

    def loss(self, student: nn.Module, batch: Batch) -> LossParts:
        """The weighted sum of AAM-Softmax over labelled clips and of each level over all.

        The parts are unweighted. ``accuracy`` is of the labelled clips, and no part where there are
        none; ``aam`` is 0 then. A batch with too few clips for the distribution level, as the last
        of an epoch may be, goes without it and its part.

        Raises:
            InvalidValueError: The batch has no labels, or the temperature was not stored.
        """
        if batch.labels is None:
            raise InvalidValueError("three_level needs labels; name their data.label_column")
        said: TaughtSpeech = student(batch.inputs, batch.num_steps)
        cosines = said.logits / self.scale
        losses = {"aam": aam_softmax(cosines, batch.labels, self.scale, self.margin)}
        losses |= self._levels(said, batch)
        weights = dict(zip(PARTS, self.weights.values(), strict=True))
        total = torch.stack([weights[name] * loss for name, loss in losses.items()]).sum()
        parts = {name: loss.detach() for name, loss in losses.items()}
        num_labelled = int((batch.labels >= 0).sum())
        if num_labelled:
            hits = (said.logits.detach().argmax(dim=-1) == batch.labels).float()
            parts["accuracy"] = mean_of_kept(hits, batch.labels >= 0)
        counts = {"aam": num_labelled, "accuracy": num_labelled}
        return LossParts(total=total, parts=parts, weights=weights, num_clips=counts)

    def _levels(self, said: TaughtSpeech, batch: Batch) -> dict[str, Tensor]:
        levels: dict[str, Tensor] = {}
        if self.label_weight:
            (target,) = batch.targets.values()
            levels["label"] = clip_kl(said.logits, target, batch.num_steps, self.temperature)
        if not self.compares_embeddings:
            return levels
        (stored,) = batch.embeddings.values()
        teacher = clip_embeddings(stored, batch.num_steps)
        if self.embedding_weight:
            levels["embedding"] = self._compare(said.projected, teacher)
        if self.distribution_weight and len(teacher) >= LEAST_CLIPS.get(self.distribution, 3):
            is_within = self.distribution in WITHIN_EACH_SIDE
            own = said.embedding if is_within else said.projected
            levels["distribution"] = relational_distance(
                self.distribution, unit_vectors(own.float()), teacher, **self.distribution_options
            )
        return levels

    def _compare(self, student_BD: Tensor, teacher_BD: Tensor) -> Tensor:
        """The embedding level, the mean over clips; the teacher's have length 1."""
        if self.embedding == "margin":
            return margin_alignment(student_BD, teacher_BD, self.embedding_margin)
        if self.embedding == "mse":
            return mean_squared_error(unit_vectors(student_BD.float()), teacher_BD).mean()
        return cosine_distance(student_BD, teacher_BD).mean()

    def _find_teacher(self, learning: LearningShape) -> tuple[str, TargetShape]:
        """The only teacher that stored what the levels compare."""
        found = {
            name: shape
            for name, shape in learning.targets.items()
            if (shape.num_classes or not self.label_weight)
            and (shape.embedding_size or not self.compares_embeddings)
        }
        if len(found) != 1:
            wanted = ["logits"] if self.label_weight else []
            wanted += ["embeddings"] if self.compares_embeddings else []
            raise InvalidValueError(
                f"three_level learns from one teacher but {', '.join(found) or 'none'} stored "
                f"{' and '.join(wanted)}; name it with --teacher, or store one"
            )
        return next(iter(found.items()))

    @property
    def _needs_same_width(self) -> bool:
        is_within = self.distribution in WITHIN_EACH_SIDE
        return bool(self.embedding_weight or (self.distribution_weight and not is_within))


def clip_embeddings(stored: Tensor, num_steps: Tensor) -> Tensor:
    """(B, D) of length 1: what a teacher stored of a clip, or its mean over the real steps.

    Of (B, D), or (B, S, D) from a teacher that looks at frames.
    """
    stored = stored.float()
    if stored.dim() == 3:
        real = real_steps(num_steps, stored.shape[1], stored.device)
        # Their sum points where their mean does.
        stored = stored.masked_fill(~real[..., None], 0).sum(dim=1)
    return unit_vectors(stored)


@register_method
def three_level(
    label_loss_weight: float = 1.0,
    label_weight: float = 1.0,
    embedding_weight: float = 1.0,
    distribution_weight: float = 1.0,
    temperature: float = 1.0,
    embedding: EmbeddingLevel = "cosine",
    embedding_margin: float = 0.2,
    distribution: str = "mmd",
    distribution_options: Mapping[str, float] | None = None,
    scale: float = AAM_SCALE,
    margin: float = 0.2,
) -> ThreeLevelMethod:
    """AAM-Softmax, and an audio-visual teacher on three levels; a weight of 0 switches one off.

    ``label_loss_weight`` is that of AAM-Softmax with ``scale`` and ``margin`` [R]. The label level
    is T^2 KL(teacher || student) of the plain scaled cosines at ``temperature``. ``embedding`` is
    one minus the ``cosine``, the ``mse`` of vectors of length 1 (which is 2 / D of the former, so
    that it wants a weight D / 2 as large [D]), or the cosine distance beyond ``embedding_margin``.
    ``distribution`` names a distance of stages/losses/relational.py, with its own options.

    Raises:
        InvalidValueError: An option is out of its range.
        UnknownNameError: There is no such distance.
    """
    return ThreeLevelMethod(
        label_loss_weight=label_loss_weight,
        label_weight=label_weight,
        embedding_weight=embedding_weight,
        distribution_weight=distribution_weight,
        temperature=temperature,
        embedding=embedding,
        embedding_margin=embedding_margin,
        distribution=distribution,
        distribution_options=dict(distribution_options or {}),
        scale=scale,
        margin=margin,
    )
