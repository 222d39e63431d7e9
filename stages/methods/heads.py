"""Heads: embeddings of clips to logits.

Conventions: B clips, D width of an embedding, K classes.
"""

import inspect
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, normalize

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.stages.encoders.stream_inputs import require_count, require_share
from avkd.stages.encoders.streams import StreamEncoder

AAM_SCALE = 32.0


class Normalised(nn.Module):
    """A head that is given embeddings of length 1."""

    def __init__(self, head: nn.Module) -> None:
        """Wrap the head."""
        super().__init__()
        self.head = head

    def forward(self, embedding: Tensor) -> Tensor:
        """Logits (B, K) of embeddings (B, D)."""
        logits: Tensor = self.head(normalize(embedding, dim=1))
        return logits


class LateHead(nn.Module):
    """One linear layer for each stream, whose logits are averaged."""

    def __init__(self, part_sizes: Mapping[str, int], num_classes: int, normalise: bool) -> None:
        """``part_sizes`` are the widths of the streams' parts of an embedding, in order."""
        super().__init__()
        self.part_sizes = dict(part_sizes)
        self.normalise = normalise
        self.heads = nn.ModuleList(nn.Linear(size, num_classes) for size in part_sizes.values())

    def votes(self, embedding: Tensor) -> dict[str, Tensor]:
        """By stream: its logits (B, K)."""
        parts = torch.split(embedding, list(self.part_sizes.values()), dim=1)
        if self.normalise:
            parts = tuple(normalize(part, dim=1) for part in parts)
        heads = zip(self.part_sizes, self.heads, parts, strict=True)
        return {stream: head(part) for stream, head, part in heads}

    def forward(self, embedding: Tensor) -> Tensor:
        """Logits (B, K): the mean of the votes."""
        return torch.stack(list(self.votes(embedding).values())).mean(dim=0)


class CosineHead(nn.Module):
    """Cosines between an embedding and one learned direction a class, times a scale.

    The head of AAM-Softmax (ArcFace; Deng et al., 2019). Its margin is a matter of the loss, which
    finds the cosines by ``cosines``; these logits are the plain ones that a KL is taken of.
    """

    def __init__(self, embedding_size: int, num_classes: int, scale: float) -> None:
        """``scale`` is the s of the loss; it is not learned."""
        super().__init__()
        self.scale = scale
        self.weight = nn.Parameter(torch.empty(num_classes, embedding_size))
        nn.init.xavier_normal_(self.weight)

    def cosines(self, embedding: Tensor) -> Tensor:
        """(B, K) in [-1, 1], in float32 also where the rest is computed in half precision."""
        with torch.autocast(embedding.device.type, enabled=False):
            return linear(normalize(embedding.float(), dim=1), normalize(self.weight, dim=1))

    def forward(self, embedding: Tensor) -> Tensor:
        """Logits (B, K)."""
        return self.scale * self.cosines(embedding)


def linear_head(encoder: StreamEncoder, num_classes: int, normalise: bool = False) -> nn.Module:
    """One linear layer; ``normalise`` gives it embeddings of length 1."""
    head = nn.Linear(encoder.embedding_size, num_classes)
    return Normalised(head) if normalise else head


def late_head(encoder: StreamEncoder, num_classes: int, normalise: bool = False) -> LateHead:
    """A linear layer for each stream; ``normalise`` brings each part to length 1.

    Raises:
        InvalidValueError: The embedding has no parts.
    """
    if not encoder.part_sizes:
        raise InvalidValueError(
            f"head 'late' needs an embedding in parts but that of {', '.join(encoder.streams)} "
            "has none; use the encoder fusion with kind 'late', or the head 'linear'"
        )
    return LateHead(encoder.part_sizes, num_classes, normalise)


def cosine_head(encoder: StreamEncoder, num_classes: int, scale: float = AAM_SCALE) -> CosineHead:
    """The head of AAM-Softmax.

    Raises:
        InvalidValueError: The scale is not above 0.
    """
    if not scale > 0:
        raise InvalidValueError(f"scale {scale:g} must be above 0")
    return CosineHead(encoder.embedding_size, num_classes, scale)


def mlp_head(
    encoder: StreamEncoder,
    num_classes: int,
    hidden_size: int = 128,
    dropout: float = 0.0,
    normalise: bool = False,
) -> nn.Module:
    """Two linear layers with ReLU and dropout between.

    Raises:
        InvalidValueError: An option is out of its range.
    """
    require_count("hidden_size", hidden_size)
    require_share("dropout", dropout)
    head = nn.Sequential(
        nn.Linear(encoder.embedding_size, hidden_size),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(hidden_size, num_classes),
    )
    return Normalised(head) if normalise else head


HEADS: Mapping[str, Callable[..., nn.Module]] = {
    "linear": linear_head,
    "late": late_head,
    "cosine": cosine_head,
    "mlp": mlp_head,
}


def build_head(kind: str, encoder: StreamEncoder, num_classes: int, **options: object) -> nn.Module:
    """A fresh head for the embeddings of an encoder: (B, D) to logits (B, K).

    Raises:
        UnknownNameError: There is no such kind.
        InvalidValueError: The kind does not take one of the options, or does not fit the encoder.
    """
    if kind not in HEADS:
        raise UnknownNameError("head", kind, HEADS)
    require_count("num_classes", num_classes)
    build = HEADS[kind]
    known = list(inspect.signature(build).parameters)[2:]
    if stray := sorted(set(options) - set(known)):
        raise InvalidValueError(
            f"head {kind!r} takes no option {stray[0]!r}; it takes: {', '.join(known)}"
        )
    return build(encoder, num_classes, **options)
