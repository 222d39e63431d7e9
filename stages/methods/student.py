"""A student: an encoder with one head for each teacher.

Conventions: B clips, S samples, T columns.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from avkd.errors import InvalidValueError
from avkd.stages.encoders.registry import Encoder
from avkd.stages.encoders.steps import columns_to_steps
from avkd.stages.methods.batch import Needs, StudentOutput


class Student(nn.Module):
    """An encoder, its heads, and projectors where embeddings are learned too."""

    def __init__(
        self,
        encoder: Encoder,
        num_classes: Mapping[str, int],
        embedding_sizes: Mapping[str, int] | None = None,
    ) -> None:
        """Build a head for each entry of ``num_classes``, a projector for each embedding size.

        Raises:
            InvalidValueError: A name cannot be the name of a head.
        """
        super().__init__()
        self.encoder = encoder
        self.heads = _named({name: encoder.build_head(size) for name, size in num_classes.items()})
        trunk = encoder.num_channels(encoder.layer_names[-1])
        sizes = embedding_sizes or {}
        self.projectors = _named({name: nn.Conv1d(trunk, size, 1) for name, size in sizes.items()})

    @property
    def layer_names(self) -> tuple[str, ...]:
        """What ``features`` can return: the encoder's layers and, last, the heads side by side."""
        return (*self.encoder.layer_names, self.encoder.head_layer)

    def forward(self, waveform: Tensor, num_steps: int) -> StudentOutput:
        """Logits and embeddings for each of ``num_steps`` equal parts of waveforms (B, 1, S)."""
        trunk = self.encoder(waveform)
        return StudentOutput(
            logits=_over_steps(self.heads, trunk, num_steps),
            embeddings=_over_steps(self.projectors, trunk, num_steps),
        )

    def features(self, waveform: Tensor, layer: str) -> Tensor:
        """The feature map (B, C, T) of a layer; the head layer is all heads' columns concatenated.

        Raises:
            UnknownNameError: There is no such layer.
            InvalidValueError: The waveform is too short for the layer.
        """
        if layer != self.encoder.head_layer:
            return self.encoder.features(waveform, layer)
        trunk = self.encoder(waveform)
        return torch.cat([head(trunk) for head in self.heads.values()], dim=1)


def sound_needs(student: nn.Module) -> Needs:
    """The sound, and the targets of every head and projector of a ``Student``.

    Raises:
        InvalidValueError: It is another kind of student.
    """
    if not isinstance(student, Student):
        raise InvalidValueError(f"a {type(student).__name__} has no heads by teacher")
    return Needs(logits_of=tuple(student.heads), embeddings_of=tuple(student.projectors))


def _over_steps(heads: nn.ModuleDict, trunk: Tensor, num_steps: int) -> dict[str, Tensor]:
    return {name: columns_to_steps(head(trunk), num_steps) for name, head in heads.items()}


def _named(modules: Mapping[str, nn.Module]) -> nn.ModuleDict:
    for name in modules:
        # Torch joins names with dots and keeps modules beside the dictionary's own methods.
        if "." in name or hasattr(nn.ModuleDict, name):
            raise InvalidValueError(
                f"{name!r} cannot name a head; store the teacher as another name"
            )
    return nn.ModuleDict(dict(modules))
