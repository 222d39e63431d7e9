"""A small network over what a frozen teacher saw: its stored embeddings, heavy backbone offline.

Conventions: B clips, T steps, D width of a stored embedding.
"""

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn

from avkd.errors import InvalidValueError
from avkd.stages.encoders.real_steps import StepPool, real_mask
from avkd.stages.encoders.stream_inputs import (
    require_amount,
    require_count,
    require_share,
    require_width,
    take_stream,
)
from avkd.stages.encoders.streams import (
    InputShape,
    StreamEncoder,
    register_stream_encoder,
    require_stream,
)


class StoredEncoder(StreamEncoder):
    """Stored embeddings, pooled over the real steps, through a perceptron."""

    def __init__(
        self,
        stream: str,
        *,
        size: int,
        has_steps: bool,
        hidden_size: int,
        num_layers: int,
        layer_norm: bool,
        input_noise: float,
        dropout: float,
        pool: str,
    ) -> None:
        """``size`` is the width of a stored embedding, ``has_steps`` whether a clip has several."""
        super().__init__()
        self.streams = (stream,)
        self.size = size
        self.has_steps = has_steps
        self.embedding_size = hidden_size
        self.input_noise = input_noise
        self.norm = nn.LayerNorm(size) if layer_norm else nn.Identity()
        self.pool = StepPool(pool, size)
        widths = pairwise([size, *[hidden_size] * num_layers])
        self.layers = nn.ModuleList(nn.Linear(before, after) for before, after in widths)
        self.dropout = nn.Dropout(dropout)

    def forward(self, inputs: Mapping[str, Tensor], num_steps: Tensor) -> Tensor:
        """(B, hidden_size)."""
        hidden = self._pooled(inputs, num_steps)
        for layer in self.layers:
            hidden = self.dropout(torch.relu(layer(hidden)))
        return hidden

    def _pooled(self, inputs: Mapping[str, Tensor], num_steps: Tensor) -> Tensor:
        stream = self.streams[0]
        what = "(clips, steps, width)" if self.has_steps else "(clips, width)"
        stored = take_stream(inputs, stream, 3 if self.has_steps else 2, what)
        require_width(stored, stream, self.size)
        stored = self._perturb(self.norm(stored.float()))
        if not self.has_steps:
            return stored
        pooled: Tensor = self.pool(stored, real_mask(num_steps, stored.shape[1]))
        return pooled

    def _perturb(self, stored: Tensor) -> Tensor:
        if not self.training or not self.input_noise:
            return stored
        scale = self.input_noise * stored.abs().mean(dim=-1, keepdim=True)
        return stored + scale * torch.randn_like(stored)


@register_stream_encoder
def stored(
    shapes: Mapping[str, InputShape],
    stream: str = "efficientnet_lite0",
    hidden_size: int = 128,
    num_layers: int = 1,
    dropout: float = 0.1,
    pool: str = "mean",
    layer_norm: bool = True,
    input_noise: float = 0.0,
) -> StoredEncoder:
    """A perceptron over a teacher's embeddings, one a step or one a clip.

    ``pool`` is ``mean`` or ``attention`` over real steps. ``layer_norm`` brings embeddings of any
    teacher to one scale. ``input_noise`` above 0 disturbs them while training, in units of each
    vector's mean magnitude.

    Raises:
        InvalidValueError: The stream is missing or has another shape, or an option is out of range.
    """
    shape = require_stream(shapes, stream)
    if len(shape.shape) not in (1, 2) or shape.sample_rate:
        raise InvalidValueError(
            f"{stream!r} has rows of shape {shape.shape} but stored needs embeddings, "
            "(steps, width) or (width,); name a teacher that stored them"
        )
    require_count("hidden_size", hidden_size)
    require_count("num_layers", num_layers)
    require_share("dropout", dropout)
    require_amount("input_noise", input_noise)
    return StoredEncoder(
        stream,
        size=shape.shape[-1],
        has_steps=len(shape.shape) == 2,
        hidden_size=hidden_size,
        num_layers=num_layers,
        layer_norm=layer_norm,
        input_noise=input_noise,
        dropout=dropout,
        pool=pool,
    )
