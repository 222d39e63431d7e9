"""A multi-layer perceptron over vector streams, such as the coordinates of the two moons.

The network of MKE's released TwoMoon experiment (Xue et al., ICCV 2021; `TwoMoon/mke.ipynb` at
7600bd5), without its last layer, which is the head.

Conventions: B clips, D width of a vector.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from avkd.errors import InvalidValueError
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


class VectorEncoder(StreamEncoder):
    """Linear layers with ReLU over the streams side by side, disturbed while training.

    The order of random draws is the released code's: in every training forward the input noise,
    then the noise of the first hidden layer, each also where it counts 0 times, then dropout, all
    from torch's global generator.
    """

    def __init__(
        self,
        sizes: Mapping[str, int],
        hidden_sizes: Sequence[int],
        *,
        input_noise: float,
        hidden_noise: float,
        dropout: float,
    ) -> None:
        """``sizes`` are the widths of the streams, in order; layers are made from first to last."""
        super().__init__()
        self.streams = tuple(sizes)
        self.sizes = dict(sizes)
        self.embedding_size = hidden_sizes[-1]
        widths = pairwise([sum(sizes.values()), *hidden_sizes])
        self.layers = nn.ModuleList(nn.Linear(before, after) for before, after in widths)
        self.dropout = nn.Dropout(dropout)
        self.input_noise = input_noise
        self.hidden_noise = hidden_noise

    def forward(self, inputs: Mapping[str, Tensor], num_steps: Tensor) -> Tensor:
        """The last hidden layer (B, D); vectors have no steps."""
        del num_steps
        hidden = self._perturb(self._join(inputs), self.input_noise)
        for number, layer in enumerate(self.layers):
            hidden = torch.relu(layer(hidden))
            if number == 0:
                hidden = self._perturb(hidden, self.hidden_noise)
            hidden = self.dropout(hidden)
        return hidden

    def _join(self, inputs: Mapping[str, Tensor]) -> Tensor:
        vectors = []
        for stream, width in self.sizes.items():
            vector = take_stream(inputs, stream, 2, "(clips, width)")
            require_width(vector, stream, width)
            vectors.append(vector)
        return torch.cat(vectors, dim=1)

    def _perturb(self, values: Tensor, amount: float) -> Tensor:
        """Normal noise, scaled by the mean magnitude of the whole batch."""
        if not self.training:
            return values
        return values + amount * values.abs().mean() * torch.randn_like(values)


@register_stream_encoder
def vectors(
    shapes: Mapping[str, InputShape],
    streams: Sequence[str] = ("alpha",),
    hidden_size: int = 32,
    num_layers: int = 2,
    input_noise: float = 0.0,
    hidden_noise: float = 0.0,
    dropout: float = 0.0,
) -> VectorEncoder:
    """A perceptron over one or more vector streams; MKE's own for the default sizes.

    ``input_noise`` is the paper's a (1 is the published setting), ``hidden_noise`` its b.

    Raises:
        InvalidValueError: A stream is missing or no vector, or an option is out of its range.
    """
    if isinstance(streams, str) or not streams or len(set(streams)) != len(streams):
        raise InvalidValueError(f"streams {streams!r} must be one or more names, each once")
    require_count("hidden_size", hidden_size)
    require_count("num_layers", num_layers)
    require_amount("input_noise", input_noise)
    require_amount("hidden_noise", hidden_noise)
    require_share("dropout", dropout)
    return VectorEncoder(
        {stream: _width(shapes, stream) for stream in streams},
        [hidden_size] * num_layers,
        input_noise=input_noise,
        hidden_noise=hidden_noise,
        dropout=dropout,
    )


def _width(shapes: Mapping[str, InputShape], stream: str) -> int:
    shape = require_stream(shapes, stream).shape
    if len(shape) != 1:
        raise InvalidValueError(
            f"{stream!r} has rows of shape {shape} but vectors needs one axis; "
            "encode it with pictures, sound or stored"
        )
    return shape[0]
