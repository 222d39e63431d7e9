"""The networks of mutual learning: an audio student and a light audio-visual teacher beside it.

That the teacher sees and hears and the student only hears is sourced (Yin et al., AAAI 2021, the
abstract [S]); the form of both networks is unknown [U] and chosen by us. The heavy visual backbone
is frozen: the teacher looks at its stored embeddings.

Conventions: B clips, D width of an embedding, K classes.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from avkd.errors import InvalidValueError
from avkd.stages.encoders.fusion import ConcatenatedStreams
from avkd.stages.encoders.stream_inputs import require_choice, require_count, require_share
from avkd.stages.encoders.streams import InputShape, StreamEncoder, build_stream_encoder
from avkd.stages.methods.clip_student import ClipStudent, Prediction
from avkd.stages.methods.heads import LateHead, mlp_head

Fusion: TypeAlias = Literal["mlp", "gated"]
Deploy: TypeAlias = Literal["", "student", "teacher", "audio", "visual"]
FUSIONS: tuple[Fusion, ...] = ("mlp", "gated")
BRANCHES = ("audio", "visual")
"""The teacher's, in the order of its streams."""


class PairPrediction(NamedTuple):
    """What the networks there are say of the clips of a batch."""

    student: Prediction | None
    teacher: Prediction | None
    """Fused; its votes by stream are those of its branches."""


@dataclass(frozen=True, kw_only=True)
class TeacherOptions:
    """How the teacher is built."""

    visual: str
    """The stream of its visual branch: a teacher whose embedding is stored, or a vector."""
    visual_options: Mapping[str, object] = field(default_factory=dict)
    """Of the encoder ``stored``."""
    audio: str = ""
    """The encoder of its audio branch; empty: as the student's."""
    audio_options: Mapping[str, object] = field(default_factory=dict)
    """Of that encoder; ``OPTION.KEY`` for one that is a mapping."""
    fusion: Fusion = "mlp"
    hidden_size: int = 128
    dropout: float = 0.0

    def __post_init__(self) -> None:
        require_choice("fusion", self.fusion, FUSIONS)
        require_count("fusion_size", self.hidden_size)
        require_share("fusion_dropout", self.dropout)
        if self.audio_options and not self.audio:
            raise InvalidValueError(
                "teacher_audio_options need the encoder that takes them; name teacher_audio"
            )


class GatedFusion(nn.Module):
    """Projected parts of an embedding, weighted by what they hold themselves, to logits."""

    def __init__(
        self, part_sizes: Mapping[str, int], num_classes: int, hidden_size: int, dropout: float
    ) -> None:
        """``part_sizes`` are the widths of the streams' parts, in order."""
        super().__init__()
        self.part_sizes = list(part_sizes.values())
        self.projections = nn.ModuleList(nn.Linear(size, hidden_size) for size in self.part_sizes)
        self.gate = nn.Linear(sum(self.part_sizes), len(self.part_sizes))
        self.dropout = nn.Dropout(dropout)
        self.classes = nn.Linear(hidden_size, num_classes)

    def forward(self, embedding: Tensor) -> Tensor:
        """Logits (B, K) of embeddings (B, D)."""
        pairs = zip(self.projections, torch.split(embedding, self.part_sizes, dim=1), strict=True)
        projected_BND = torch.stack([torch.relu(project(part)) for project, part in pairs], dim=1)
        weights_BN = self.gate(embedding).softmax(dim=1)
        logits: Tensor = self.classes(
            self.dropout((weights_BN[..., None] * projected_BND).sum(dim=1))
        )
        return logits


class FusionHead(nn.Module):
    """What an audio-visual teacher says of both streams together, and of each alone."""

    def __init__(
        self, encoder: ConcatenatedStreams, num_classes: int, options: TeacherOptions
    ) -> None:
        """One linear layer for each branch, and a fusion of their embeddings."""
        super().__init__()
        self.branches = LateHead(encoder.part_sizes, num_classes, normalise=False)
        size, dropout = options.hidden_size, options.dropout
        self.fused = (
            mlp_head(encoder, num_classes, size, dropout)
            if options.fusion == "mlp"
            else GatedFusion(encoder.part_sizes, num_classes, size, dropout)
        )

    def votes(self, embedding: Tensor) -> dict[str, Tensor]:
        """By stream: the logits (B, K) of its branch."""
        return self.branches.votes(embedding)

    def forward(self, embedding: Tensor) -> Tensor:
        """Fused logits (B, K)."""
        logits: Tensor = self.fused(embedding)
        return logits


class MutualPair(nn.Module):
    """Student and teacher side by side, or one of them where the other is stored targets."""

    def __init__(
        self, student: ClipStudent | None, teacher: ClipStudent | None, deploy: Deploy = ""
    ) -> None:
        """``deploy`` says what is used once training is over; empty: the student if there is one.

        Raises:
            InvalidValueError: What is to be deployed is not there.
        """
        super().__init__()
        self.student_network = student
        self.teacher_network = teacher
        self.deploy = deploy or ("teacher" if student is None else "student")
        if (student if self.deploy == "student" else teacher) is None:
            raise InvalidValueError(
                f"deploy {deploy!r} is of a network that this form does not train; leave it out"
            )

    @property
    def streams(self) -> tuple[str, ...]:
        """The inputs that are read."""
        networks = (self.student_network, self.teacher_network)
        streams = [stream for each in networks if each is not None for stream in each.streams]
        return tuple(dict.fromkeys(streams))

    @property
    def student(self) -> ClipStudent:
        """What is used once training is over: the audio student, unless ``deploy`` says more."""
        if self.deploy == "student":
            assert self.student_network is not None
            return self.student_network
        return self.teacher if self.deploy == "teacher" else self._branch(self.deploy)

    @property
    def teacher(self) -> ClipStudent:
        """The audio-visual teacher."""
        assert self.teacher_network is not None, "the teacher of this form is stored targets"
        return self.teacher_network

    def forward(self, inputs: Mapping[str, Tensor], num_steps: Tensor) -> PairPrediction:
        """Predict for clips; the student first, so that its random draws are those it has alone."""
        student, teacher = self.student_network, self.teacher_network
        return PairPrediction(
            student=None if student is None else student(inputs, num_steps),
            teacher=None if teacher is None else teacher(inputs, num_steps),
        )

    def _branch(self, name: str) -> ClipStudent:
        """One branch of the teacher with its own head, in the pair's mode."""
        place = BRANCHES.index(name)
        encoder, head = self.teacher.encoder, self.teacher.head
        assert isinstance(encoder, ConcatenatedStreams)
        assert isinstance(head, FusionHead)
        parts = list(encoder.encoders)[place], list(head.branches.heads)[place]
        assert isinstance(parts[0], StreamEncoder)
        return ClipStudent(parts[0], parts[1]).train(self.training)


def build_teacher(
    audio: StreamEncoder,
    shapes: Mapping[str, InputShape],
    num_classes: int,
    options: TeacherOptions,
) -> ClipStudent:
    """A teacher whose audio branch is that encoder, unless the options name another.

    Raises:
        InvalidValueError: A stream is missing, or the branches do not look at two streams.
    """
    if options.audio:
        audio = build_stream_encoder(options.audio, shapes, **_nested(options.audio_options))
    if "stream" in options.visual_options:
        raise InvalidValueError("visual_options.stream is settled by the option visual")
    visual = build_stream_encoder(
        "stored", shapes, stream=options.visual, **dict(options.visual_options)
    )
    if len(audio.streams) != 1 or audio.streams == visual.streams:
        raise InvalidValueError(
            f"the teacher's audio branch takes {', '.join(audio.streams)} and its visual branch "
            f"{options.visual}; give each one stream of its own"
        )
    encoder = ConcatenatedStreams({audio.streams[0]: audio, options.visual: visual}, 0.0)
    return ClipStudent(encoder, FusionHead(encoder, num_classes, options))


def fresh_copy(encoder: StreamEncoder) -> StreamEncoder:
    """An encoder of the same form with other first weights, from torch's global generator.

    The weights of a tensor change places: first weights are independent draws from one law a
    tensor, so this is another draw, and of the law that the encoder itself chose.
    """
    copy = deepcopy(encoder)
    with torch.no_grad():
        for weight in copy.parameters():
            order = torch.randperm(weight.numel())
            weight.copy_(weight.flatten()[order].view_as(weight))
    return copy


def _nested(options: Mapping[str, object]) -> dict[str, object]:
    """``{"body_options.widths": w}`` as ``{"body_options": {"widths": w}}``."""
    nested: dict[str, object] = {}
    for name, value in options.items():
        option, _, key = name.partition(".")
        if not key:
            nested[option] = value
            continue
        inner = nested.setdefault(option, {})
        if not isinstance(inner, dict):
            raise InvalidValueError(f"option {name!r}: {option} is a plain value as well")
        inner[key] = value
    return nested
