"""What passes between the loader, a method and the training loop.

Conventions: B clips, C audio channels or classes, S samples, K kept classes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from avkd.stages.losses.kl import SparseTargets


@dataclass(frozen=True, kw_only=True)
class TargetShape:
    """What a store holds of one teacher, as far as building a student goes."""

    num_steps: int
    num_classes: int
    """0 where the teacher stored no logits."""
    embedding_size: int = 0
    """0 where the teacher stored no embeddings."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Some clips with all that was stored about them."""

    clip_ids: tuple[str, ...]
    waveform: Tensor
    """float32 (B, C, S) in [-1, 1]; spans all steps, zeros after the end of the sound."""
    num_steps: Tensor
    """int64 (B,): how many of the steps are real; the rest is masked."""
    targets: Mapping[str, Tensor | SparseTargets] = field(default_factory=dict)
    """By teacher: logits float (B, steps, classes), or their largest."""
    embeddings: Mapping[str, Tensor] = field(default_factory=dict)
    """By teacher: float (B, steps, D)."""
    labels: Tensor | None = None
    """int64 (B,): human truth, for supervised methods only."""

    @property
    def total_steps(self) -> int:
        """The length of the step axis: of the targets, or the most real steps without any."""
        for target in self.targets.values():
            return _step_axis(target)
        for embedding in self.embeddings.values():
            return embedding.shape[1]
        return int(self.num_steps.max())

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch with every tensor on that device."""
        return Batch(
            clip_ids=self.clip_ids,
            waveform=self.waveform.to(device),
            num_steps=self.num_steps.to(device),
            targets={name: target.to(device) for name, target in self.targets.items()},
            embeddings={name: value.to(device) for name, value in self.embeddings.items()},
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


def _step_axis(target: Tensor | SparseTargets) -> int:
    return (target if isinstance(target, Tensor) else target.ids).shape[1]
