"""A student, or a teacher, that says one thing of a clip: an encoder of streams and a head.

Conventions: B clips, D width of the embedding, K classes.
"""

from collections.abc import Mapping
from typing import NamedTuple, Protocol, cast

from torch import Tensor, nn

from avkd.stages.encoders.streams import StreamEncoder


class Prediction(NamedTuple):
    """What is said of the clips of a batch."""

    logits: Tensor
    """(B, K)"""
    embedding: Tensor
    """(B, D)"""
    stream_logits: Mapping[str, Tensor]
    """By stream, (B, K): what each says alone, where the head joins such votes; else empty."""


class Deployable(Protocol):
    """A module that trains more than what is kept for use."""

    @property
    def student(self) -> "ClipStudent":
        """The part that is used once training is over."""
        ...


class ClipStudent(nn.Module):
    """An encoder and a head."""

    def __init__(self, encoder: StreamEncoder, head: nn.Module) -> None:
        """Join the two; the head gives logits (B, K) of embeddings (B, D)."""
        super().__init__()
        self.encoder = encoder
        self.head = head

    @property
    def streams(self) -> tuple[str, ...]:
        """The inputs that it reads."""
        return self.encoder.streams

    def forward(self, inputs: Mapping[str, Tensor], num_steps: Tensor) -> Prediction:
        """Predict for clips, ``num_steps`` (B,) of which are real."""
        embedding = self.encoder(inputs, num_steps)
        votes = getattr(self.head, "votes", None)
        stream_logits: Mapping[str, Tensor] = {} if votes is None else votes(embedding)
        return Prediction(self.head(embedding), embedding, stream_logits)


def deployed_student(module: nn.Module) -> ClipStudent:
    """The student to use of what a method trained: itself, or the ``student`` in it."""
    return module if isinstance(module, ClipStudent) else cast(Deployable, module).student
