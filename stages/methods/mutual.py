"""Mutual learning of an audio-visual teacher and an audio student (Yin et al., AAAI 2021).

Sourced, from the abstract [S]: an audio-visual teacher, an audio-only student; transfer from two
modalities to one in one direction is unsatisfactory, so that both are trained mutually, with a
single-modal and a cross-modal transfer loss. Everything else is unknown [U] and a design of ours,
with S the student, A, V and F the teacher's audio branch, visual branch and fusion, and y labels:

    teacher  L(y, F) + v L(y, A) + v L(y, V) + a1 D(S -> A) + a2 D(S -> F)
    student  L(y, S)                         + b1 D(A -> S) + b2 D(F -> S)

D(P -> Q) is KL(P || Q) with P detached, as in Deep Mutual Learning (Zhang et al., CVPR 2018). The
single-modal terms are those with a1 and b1, the cross-modal ones those with a2 and b2; whether the
latter pair the student with F or with V the abstract does not say.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor, nn

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.stages.encoders.registry import Encoder
from avkd.stages.encoders.stream_inputs import require_amount, require_choice
from avkd.stages.encoders.streams import StreamEncoder
from avkd.stages.losses.batch_rules import mean_of_kept, require_above_zero
from avkd.stages.losses.clip_level import clip_kl
from avkd.stages.losses.cross_entropy import cross_entropy_per_clip
from avkd.stages.losses.kl import SparseTargets
from avkd.stages.losses.tagging import binary_kl, is_labelled, label_bce
from avkd.stages.methods.batch import (
    Batch,
    LearningShape,
    LossParts,
    Needs,
    require_same_classes,
)
from avkd.stages.methods.clip_student import ClipStudent, Prediction
from avkd.stages.methods.heads import build_head
from avkd.stages.methods.mutual_pair import (
    Deploy,
    Fusion,
    MutualPair,
    PairPrediction,
    TeacherOptions,
    build_teacher,
    fresh_copy,
)
from avkd.stages.methods.mutual_transfers import (
    Kind,
    Learner,
    Switch,
    Transfer,
    Transfers,
    keep_stored,
    require_live_targets,
    require_taught_branches,
    switch_transfers,
)
from avkd.stages.methods.registry import register_method, require_stream_encoder

LabelKind: TypeAlias = Literal["classes", "class"]
Form: TypeAlias = Literal["joint", "one_way"]
CrossPair: TypeAlias = Literal["fused", "visual"]
WAY_OUT = (
    "store the targets of one that was trained on these labels, or name them in its order as "
    "data.classes"
)
SUPERVISED_NAMES: Mapping[LabelKind, str] = {
    "classes": "binary_cross_entropy",
    "class": "cross_entropy",
}


@dataclass(frozen=True, kw_only=True)
class MutualMethod:
    """The configured losses; holds no tensors."""

    label_kind: LabelKind
    form: Form
    learner: Learner
    head: str
    teacher_options: TeacherOptions
    transfers: Transfers
    cross_pair: CrossPair
    stored: Mapping[Kind, str]
    """By kind of transfer: whose stored logits stand for the network that is not trained."""
    vote_weight: float
    temperature: float
    deploy: Deploy

    def build_student(
        self, encoder: Encoder | StreamEncoder, learning: LearningShape
    ) -> MutualPair:
        """The networks of the form: the student on the encoder, the teacher as its options say.

        Of one seed, the student's first weights are those of ``supervised`` with that encoder and
        head, and the teacher's are the same in both forms, and none of the student's.

        Raises:
            InvalidValueError: The encoder is of several streams, or what is stored does not fit.
        """
        encoder = require_stream_encoder(encoder, "mutual")
        if len(encoder.streams) != 1:
            raise InvalidValueError(
                f"mutual's student takes one stream, not {', '.join(encoder.streams)}; the "
                "teacher's second one is method.options.visual"
            )
        num_classes = len(learning.class_names)
        if num_classes < 2:
            raise InvalidValueError("mutual learns from labels as well; name data.label_column")
        self._require_stored(learning)
        student = ClipStudent(encoder, build_head(self.head, encoder, num_classes))
        if self.form == "one_way" and self.learner == "student":
            return MutualPair(student, None, self.deploy)
        audio = encoder if self.teacher_options.audio else fresh_copy(encoder)
        teacher = build_teacher(audio, learning.inputs, num_classes, self.teacher_options)
        return MutualPair(student if self.form == "joint" else None, teacher, self.deploy)

    def needs(self, student: nn.Module) -> Needs:
        """The streams of the networks, the labels, and logits where one side is stored.

        Where a transfer counts, rows without a label are learned from as well.
        """
        assert isinstance(student, MutualPair)
        return Needs(
            inputs=student.streams,
            logits_of=self._stored_names(),
            labels=self.label_kind,
            takes_unlabelled=any(self.transfers.values()),
        )

    def loss(self, student: nn.Module, batch: Batch) -> LossParts:
        """The sum for all networks that are trained; parts are unweighted.

        Rows without labels count in the transfer terms alone.

        Raises:
            InvalidValueError: The batch has no labels.
        """
        if batch.labels is None:
            raise InvalidValueError("mutual needs labels; name their data.label_column")
        said: PairPrediction = student(batch.inputs, batch.num_steps)
        losses = self._supervised(said, batch.labels)
        counts = dict.fromkeys(losses, int(self._has_label(batch.labels).sum()))
        weights = {name: self._supervised_weight(name) for name in losses}
        for transfer, weight in self.transfers.items():
            losses[f"kl/{transfer}"] = self._transferred(transfer, said, batch)
            weights[f"kl/{transfer}"] = weight
        total = torch.stack([weights[name] * loss for name, loss in losses.items()]).sum()
        parts = {name: loss.detach() for name, loss in losses.items()}
        return LossParts(total=total, parts=parts, weights=weights, num_clips=counts)

    def _supervised(self, said: PairPrediction, labels: Tensor) -> dict[str, Tensor]:
        logits: dict[str, Tensor] = {}
        if said.student is not None:
            logits["student"] = said.student.logits
        if said.teacher is not None:
            logits["fused"] = said.teacher.logits
            logits |= dict(zip(("audio", "visual"), _votes(said.teacher), strict=True))
        name = SUPERVISED_NAMES[self.label_kind]
        return {f"{name}/{who}": self._label_loss(each, labels) for who, each in logits.items()}

    def _supervised_weight(self, name: str) -> float:
        return self.vote_weight if name.endswith(("/audio", "/visual")) else 1.0

    def _label_loss(self, logits_BK: Tensor, labels: Tensor) -> Tensor:
        if self.label_kind == "classes":
            return label_bce(logits_BK, labels)
        return mean_of_kept(cross_entropy_per_clip(logits_BK, labels), self._has_label(labels))

    def _has_label(self, labels: Tensor) -> Tensor:
        return is_labelled(labels) if self.label_kind == "classes" else labels >= 0

    def _transferred(self, transfer: Transfer, said: PairPrediction, batch: Batch) -> Tensor:
        """KL of the side that learns from the other one."""
        student = None if said.student is None else said.student.logits
        teacher = None if said.teacher is None else self._paired(transfer, said.teacher)
        to_student = transfer.direction == "to_student"
        pupil, model = (student, teacher) if to_student else (teacher, student)
        assert pupil is not None
        if model is None:
            return self._divergence(pupil, batch.targets[self.stored[transfer.kind]])
        return self._divergence(pupil, model.detach())

    def _paired(self, transfer: Transfer, teacher: Prediction) -> Tensor:
        """What of the teacher the student is compared with."""
        audio, visual = _votes(teacher)
        if transfer.kind == "single":
            return audio
        return visual if self.cross_pair == "visual" else teacher.logits

    def _divergence(self, pupil_BK: Tensor, model: Tensor | SparseTargets) -> Tensor:
        if self.label_kind == "class":
            return clip_kl(pupil_BK, model, temperature=self.temperature)
        if isinstance(model, SparseTargets):
            raise InvalidValueError(
                "label_kind 'classes' needs the logits of all classes but these are sparse; "
                "store them with sparse_top_k 0"
            )
        return binary_kl(pupil_BK, model, self.temperature)

    def _stored_names(self) -> tuple[str, ...]:
        if self.form == "joint":
            return ()
        return tuple(dict.fromkeys(self.stored[transfer.kind] for transfer in self.transfers))

    def _require_stored(self, learning: LearningShape) -> None:
        for name in self._stored_names():
            if name not in learning.targets:
                raise UnknownNameError("teacher of the store", name, learning.targets)
            target = learning.targets[name]
            if target.num_steps:
                raise InvalidValueError(
                    f"{name!r} stored logits for {target.num_steps} steps but the labels are of "
                    "whole clips; store the targets of a teacher that was trained on these labels"
                )
            require_same_classes(name, target, learning.class_names, WAY_OUT)


@register_method
def mutual(
    label_kind: LabelKind = "classes",
    form: Form = "joint",
    learner: Learner = "student",
    single_modal: Switch = "both",
    cross_modal: Switch = "both",
    cross_pair: CrossPair = "fused",
    mutual: bool = True,
    a1: float = 1.0,
    a2: float = 1.0,
    b1: float = 1.0,
    b2: float = 1.0,
    vote_weight: float = 1.0,
    temperature: float = 1.0,
    head: str = "linear",
    visual: str = "efficientnet_lite0",
    visual_options: Mapping[str, object] | None = None,
    teacher_audio: str = "",
    teacher_audio_options: Mapping[str, object] | None = None,
    fusion: Fusion = "mlp",
    fusion_size: int = 128,
    fusion_dropout: float = 0.0,
    teacher: str = "",
    audio_teacher: str = "",
    deploy: Deploy = "",
) -> MutualMethod:
    """Audio-visual teacher and audio student, each learning from labels and from the other.

    ``label_kind`` is ``classes`` (a Bernoulli for each) or ``class`` (a softmax). ``single_modal``
    and ``cross_modal`` are ``both`` ways, ``to_student``, ``to_teacher`` or ``off``; ``mutual``
    false takes away all that goes to the teacher. ``vote_weight`` is that of the labels' loss of
    each branch. ``cross_pair`` compares with the ``fused`` or the ``visual`` logits.

    The teacher's visual branch is the encoder ``stored`` over ``visual``; its audio branch is a
    fresh copy of the student's encoder, or ``teacher_audio``. ``form`` ``one_way`` trains the
    ``learner`` alone, against the stored logits of ``teacher`` (cross-modal) and ``audio_teacher``
    (single-modal); where ``learner`` is ``teacher``, both may name a student. A name that is empty
    leaves its term out. ``deploy`` keeps another network than the one trained for: ``teacher``, or
    its branch ``audio`` or ``visual``.

    Raises:
        InvalidValueError: An option is out of its range, or does not go with the others.
    """
    require_choice("label_kind", label_kind, get_args(LabelKind))
    require_choice("form", form, get_args(Form))
    require_choice("learner", learner, get_args(Learner))
    require_choice("cross_pair", cross_pair, get_args(CrossPair))
    require_choice("deploy", deploy, get_args(Deploy))
    require_above_zero("temperature", temperature)
    require_amount("vote_weight", vote_weight)
    weights = {
        Transfer("single", "to_teacher"): a1,
        Transfer("cross", "to_teacher"): a2,
        Transfer("single", "to_student"): b1,
        Transfer("cross", "to_student"): b2,
    }
    transfers = switch_transfers(single_modal, cross_modal, weights, mutual=mutual)
    stored: Mapping[Kind, str] = {"single": audio_teacher, "cross": teacher}
    if form == "joint":
        require_live_targets(stored)
        require_taught_branches(transfers, cross_pair, vote_weight)
    else:
        transfers = keep_stored(transfers, learner, stored)
    return MutualMethod(
        label_kind=label_kind,
        form=form,
        learner=learner,
        head=head,
        teacher_options=TeacherOptions(
            visual=visual,
            visual_options=dict(visual_options or {}),
            audio=teacher_audio,
            audio_options=dict(teacher_audio_options or {}),
            fusion=fusion,
            hidden_size=fusion_size,
            dropout=fusion_dropout,
        ),
        transfers=transfers,
        cross_pair=cross_pair,
        stored=stored,
        vote_weight=vote_weight,
        temperature=temperature,
        deploy=deploy,
    )


def _votes(teacher: Prediction) -> tuple[Tensor, Tensor]:
    audio, visual = teacher.stream_logits.values()
    return audio, visual
