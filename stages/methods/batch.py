"""What passes between the loader, a method and the training loop.

Conventions: B clips, C channels, S samples, D width of a vector, K classes, H and W cells of a map.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor

from avkd.errors import InvalidValueError
from avkd.stages.detection.boxes import BoxTargets
from avkd.stages.encoders.streams import InputShape
from avkd.stages.losses.kl import SparseTargets

LabelKind: TypeAlias = Literal["none", "class", "classes"]
"""Whether rows have no label that is used, one class, or any number of classes."""
WAVEFORM = "waveform"
FRAMES = "frames"


@dataclass(frozen=True, kw_only=True)
class TargetShape:
    """What a store holds of one teacher, as far as building a student goes."""

    num_steps: int
    """0 where the teacher speaks of a clip as a whole."""
    num_classes: int
    """0 where the teacher stored no logits."""
    embedding_size: int = 0
    """0 where the teacher stored no embeddings."""
    class_names: tuple[str, ...] = ()
    """Of its logits; empty where they have no names."""
    box_classes: tuple[str, ...] = ()
    """Of its boxes; empty where it stored none."""
    map_shapes: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)
    """By output: (C, H, W) of the maps that it stored of each step; C is 1 of attention."""
    map_classes: tuple[str, ...] = ()
    """Of its class maps; empty where it stored none."""
    map_size: tuple[int, int] = (0, 0)
    """Height and width of its class maps."""
    is_truth: bool = False
    """Whether they are no teacher's word but true: never learned from unless named."""


@dataclass(frozen=True, kw_only=True)
class LearningShape:
    """All that a student can be built for."""

    targets: Mapping[str, TargetShape] = field(default_factory=dict)
    """By teacher."""
    inputs: Mapping[str, InputShape] = field(default_factory=dict)
    """By student input, and by teacher for its stored embedding."""
    class_names: tuple[str, ...] = ()
    """Of the labels; empty where none are used."""


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a method reads of every row."""

    inputs: tuple[str, ...] = (WAVEFORM,)
    """Names of student inputs, or of teachers whose embedding the student is given."""
    logits_of: tuple[str, ...] = ()
    embeddings_of: tuple[str, ...] = ()
    boxes_of: tuple[str, ...] = ()
    maps_of: tuple[tuple[str, str], ...] = ()
    """Teacher and output."""
    class_maps_of: tuple[str, ...] = ()
    min_box_score: float = 0.0
    """Boxes with a lower one are not read."""
    min_teachers: int = 1
    """Of ``boxes_of``: how many must have found boxes in the split for there to be labels."""
    any_teacher: bool = False
    """Whether a row is learned from where at least one of ``boxes_of`` has seen it, not all;
    inputs, logits and embeddings must be there as ever."""
    labels: LabelKind = "none"
    takes_unlabelled: bool = False
    """Where labels are read: whether rows without one are learned from too, by other terms."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Some clips with all that was stored about them."""

    clip_ids: tuple[str, ...]
    inputs: Mapping[str, Tensor]
    """By name: ``waveform`` float32 (B, C, S) in [-1, 1] that spans all steps, zeros after the end
    of the sound; ``frames`` uint8 (B, steps, H, W, 3); a vector stream float32 (B, D); a teacher's
    stored embedding float32 (B, steps, D) or (B, D)."""
    num_steps: Tensor
    """int64 (B,): how many of the steps are real; the rest is masked."""
    targets: Mapping[str, Tensor | SparseTargets] = field(default_factory=dict)
    """By teacher: logits float (B, steps, K), or (B, K) of a clip as a whole; or their largest."""
    embeddings: Mapping[str, Tensor] = field(default_factory=dict)
    """By teacher: float (B, steps, D), or (B, D)."""
    boxes: Mapping[str, BoxTargets] = field(default_factory=dict)
    """By teacher: of all clips and steps."""
    maps: Mapping[tuple[str, str], Tensor] = field(default_factory=dict)
    """By teacher and output: float (B, steps, C, H, W), as stored; zeros of a row that the teacher
    has not seen."""
    class_maps: Mapping[str, Tensor] = field(default_factory=dict)
    """By teacher: uint8 (B, steps, H, W), places in its class names; 0 in steps not real."""
    seen: Mapping[str, Tensor] = field(default_factory=dict)
    """By teacher of boxes or maps: bool (B,), whether it has seen the row; of one that has not
    there are no boxes, which does not mean that nothing is there. The loader always tells it, and
    it is True everywhere unless ``Needs.any_teacher``; who is not named has seen all."""
    full_steps: int = 0
    """Steps of a clip of full length, which the waveform spans; 0 where that is not known."""
    labels: Tensor | None = None
    """Human truth: int64 (B,) class numbers, or float32 (B, K) of 0 and 1; -1 where a row has
    none."""

    @property
    def waveform(self) -> Tensor:
        """The input ``waveform``.

        Raises:
            InvalidValueError: The batch holds no sound.
        """
        if WAVEFORM not in self.inputs:
            raise InvalidValueError(f"the batch has no waveform but {', '.join(self.inputs)}")
        return self.inputs[WAVEFORM]

    @property
    def total_steps(self) -> int:
        """The length of the step axis: of what was stored of steps, else the most real steps.

        Boxes have no such axis: with them alone it is that of a full clip, where that is known.
        """
        for stored in (*self.targets.values(), *self.embeddings.values()):
            shape = (stored if isinstance(stored, Tensor) else stored.ids).shape
            if len(shape) == 3:
                return shape[1]
        for maps in (*self.maps.values(), *self.class_maps.values()):
            return maps.shape[1]
        if self.boxes and self.full_steps:
            return self.full_steps
        return int(self.num_steps.max())

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch with every tensor on that device."""
        return Batch(
            clip_ids=self.clip_ids,
            inputs={name: value.to(device) for name, value in self.inputs.items()},
            num_steps=self.num_steps.to(device),
            targets={name: target.to(device) for name, target in self.targets.items()},
            embeddings={name: value.to(device) for name, value in self.embeddings.items()},
            boxes={name: boxes.to(device) for name, boxes in self.boxes.items()},
            maps={key: maps.to(device) for key, maps in self.maps.items()},
            class_maps={name: maps.to(device) for name, maps in self.class_maps.items()},
            seen={name: seen.to(device) for name, seen in self.seen.items()},
            full_steps=self.full_steps,
            labels=None if self.labels is None else self.labels.to(device),
        )


class StudentOutput(NamedTuple):
    """What a student says of a batch; a tuple, so that wrappers of modules can look inside."""

    logits: Mapping[str, Tensor]
    """By teacher (or ``labels``): (B, steps, classes)."""
    embeddings: Mapping[str, Tensor]
    """By teacher: (B, steps, D), only where the student has projectors."""


class LossParts(NamedTuple):
    """The loss of a batch and what it is made of."""

    total: Tensor
    """Scalar with gradient."""
    parts: Mapping[str, Tensor]
    """Scalars without gradient for the log, unweighted, such as ``kl/imagenet``."""
    weights: Mapping[str, float] = MappingProxyType({})
    """By part that the total is the sum of: how much it counts; empty where the parts do not have
    their means over different clips."""
    num_clips: Mapping[str, int] = MappingProxyType({})
    """By part that is no mean over all clips, as of labels: over how many it is one."""


def require_same_classes(
    teacher: str, shape: TargetShape, class_names: Sequence[str], way_out: str
) -> None:
    """Refuse a teacher whose logits are not of the labels' classes, in the same order.

    Of logits without names as many are asked for. ``way_out`` ends the message.

    Raises:
        InvalidValueError: They are not.
    """
    if shape.num_classes != len(class_names):
        raise InvalidValueError(
            f"teacher {teacher!r} knows {shape.num_classes} classes but there are "
            f"{len(class_names)} labels; {way_out}"
        )
    for place, (taught, learned) in enumerate(zip(shape.class_names, class_names, strict=False)):
        if taught != learned:
            raise InvalidValueError(
                f"class {place} of teacher {teacher!r} is {taught!r} but the label is "
                f"{learned!r}; {way_out}"
            )
