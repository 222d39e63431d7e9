"""Several streams, each with its own encoder, to one embedding.

Early and late fusion put the embeddings side by side and differ in the head: ``linear`` or ``mlp``
joins the streams, ``late`` lets each vote. Gated fusion weighs them for each clip, as the
audio-visual speaker encoders of Qian, Chen and Wang (2021) do in spirit (recalled).

A stream that a clip lacks is not special: rows of zeros are encoded like any others. To make a
network that bears such rows, train with ``drop_stream``, which takes whole embeddings away (the
modality dropout of Neverova et al., 2016).

Conventions: B clips, N streams, D width of the embedding.
"""

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.stages.encoders.stream_inputs import require_choice, require_count, require_share
from avkd.stages.encoders.streams import (
    STREAM_ENCODERS,
    InputShape,
    StreamEncoder,
    build_stream_encoder,
    register_stream_encoder,
)


class ConcatenatedStreams(StreamEncoder):
    """Embeddings side by side."""

    def __init__(self, encoders: Mapping[str, StreamEncoder], drop_stream: float) -> None:
        """``encoders`` by stream."""
        super().__init__()
        self.streams = tuple(encoders)
        self.part_sizes = {name: encoder.embedding_size for name, encoder in encoders.items()}
        self.embedding_size = sum(self.part_sizes.values())
        self.encoders = nn.ModuleList(encoders.values())
        self.drop_stream = drop_stream

    def forward(self, inputs: Mapping[str, Tensor], num_steps: Tensor) -> Tensor:
        """(B, D); while training, the parts of dropped streams are zero."""
        parts = [encoder(inputs, num_steps).float() for encoder in self.encoders]
        if self.training and self.drop_stream:
            kept_BN = keep_streams(len(num_steps), len(parts), self.drop_stream).to(parts[0])
            parts = [part * kept for part, kept in zip(parts, kept_BN.T[..., None], strict=True)]
        return torch.cat(parts, dim=1)


class GatedStreams(StreamEncoder):
    """A mean of projected embeddings, whose weights the clip itself decides."""

    def __init__(
        self, encoders: Mapping[str, StreamEncoder], embedding_size: int, drop_stream: float
    ) -> None:
        """``encoders`` by stream; each is projected to ``embedding_size``."""
        super().__init__()
        self.streams = tuple(encoders)
        self.embedding_size = embedding_size
        self.encoders = nn.ModuleList(encoders.values())
        self.projections = nn.ModuleList(
            nn.Linear(encoder.embedding_size, embedding_size) for encoder in encoders.values()
        )
        self.gate = nn.Linear(len(encoders) * embedding_size, len(encoders))
        self.drop_stream = drop_stream

    def forward(self, inputs: Mapping[str, Tensor], num_steps: Tensor) -> Tensor:
        """(B, D); while training, dropped streams have no weight."""
        projected_BND = self._project(inputs, num_steps)
        kept_BN: Tensor | None = None
        if self.training and self.drop_stream:
            num_clips, num_streams, _ = projected_BND.shape
            kept_BN = keep_streams(num_clips, num_streams, self.drop_stream)
            kept_BN = kept_BN.to(projected_BND.device)
            projected_BND = projected_BND * kept_BN[..., None]
        weights_BN = self._weigh(projected_BND, kept_BN)
        return (weights_BN[..., None] * projected_BND).sum(dim=1)

    def weights(self, inputs: Mapping[str, Tensor], num_steps: Tensor) -> Tensor:
        """(B, N): how much each stream counts in each clip, with none dropped; rows sum to 1."""
        return self._weigh(self._project(inputs, num_steps), None)

    def _project(self, inputs: Mapping[str, Tensor], num_steps: Tensor) -> Tensor:
        pairs = zip(self.encoders, self.projections, strict=True)
        return torch.stack([project(encode(inputs, num_steps)) for encode, project in pairs], dim=1)

    def _weigh(self, projected_BND: Tensor, kept_BN: Tensor | None) -> Tensor:
        scores_BN: Tensor = self.gate(projected_BND.flatten(1)).float()
        if kept_BN is not None:
            scores_BN = scores_BN.masked_fill(~kept_BN, -torch.inf)
        return scores_BN.softmax(dim=1)


@register_stream_encoder
def fusion(
    shapes: Mapping[str, InputShape],
    streams: Mapping[str, str],
    kind: str = "gated",
    options: Mapping[str, object] | None = None,
    embedding_size: int = 128,
    drop_stream: float = 0.0,
) -> ConcatenatedStreams | GatedStreams:
    """Encoders of two or more streams, joined ``early``, ``late`` or ``gated``.

    ``streams`` names the encoder of each stream, ``options`` theirs as ``STREAM.OPTION`` (or
    ``STREAM.OPTION.KEY`` for one that is a mapping). ``embedding_size`` is that of ``gated``; the
    others keep each part's own (``part_sizes``). ``drop_stream`` is the probability that a stream
    of a clip is taken away while training; one always stays.

    Raises:
        UnknownNameError: There is no such encoder.
        InvalidValueError: There are fewer than two streams, or an option fits none of them.
    """
    require_choice("kind", kind, ("early", "late", "gated"))
    require_count("embedding_size", embedding_size)
    require_share("drop_stream", drop_stream)
    if not isinstance(streams, Mapping) or len(streams) < 2:
        raise InvalidValueError(
            f"streams {streams!r} must name the encoders of two streams or more, by stream"
        )
    chosen = _by_stream(streams, options or {})
    encoders = {
        stream: _build(name, stream, shapes, chosen[stream]) for stream, name in streams.items()
    }
    if kind == "gated":
        return GatedStreams(encoders, embedding_size, drop_stream)
    return ConcatenatedStreams(encoders, drop_stream)


def keep_streams(num_clips: int, num_streams: int, drop: float) -> Tensor:
    """Bool (B, N), False with probability ``drop``; a row never loses its last stream.

    Drawn on the CPU from torch's global generator, so that one seed gives one run on every device.
    """
    draws = torch.rand(num_clips, num_streams)
    return (draws >= drop) | (draws == draws.max(dim=1, keepdim=True).values)


def _by_stream(
    streams: Mapping[str, str], options: Mapping[str, object]
) -> dict[str, dict[str, Any]]:
    chosen: dict[str, dict[str, Any]] = {stream: {} for stream in streams}
    for name, value in options.items():
        # The longest, where one stream's name begins another's.
        stream = max((s for s in streams if name.startswith(f"{s}.")), key=len, default=None)
        if stream is None:
            known = ", ".join(f"{each}.OPTION" for each in streams)
            raise InvalidValueError(f"option {name!r} is not of the form {known}")
        option, _, key = name.removeprefix(f"{stream}.").partition(".")
        if not key:
            chosen[stream][option] = dict(value) if isinstance(value, Mapping) else value
        elif isinstance(chosen[stream].setdefault(option, {}), dict):
            chosen[stream][option][key] = value
        else:
            raise InvalidValueError(f"option {name!r}: {stream}.{option} is a plain value as well")
    return chosen


def _build(
    name: str, stream: str, shapes: Mapping[str, InputShape], options: Mapping[str, Any]
) -> StreamEncoder:
    parameters = inspect.signature(STREAM_ENCODERS.get(name)).parameters
    own = {"stream": stream} if "stream" in parameters else {"streams": (stream,)}
    if name == fusion.__name__:
        known = sorted({*STREAM_ENCODERS.names()} - {name})
        raise UnknownNameError("encoder of one stream", name, known)
    if stray := sorted({"stream", "streams"} & set(options)):
        raise InvalidValueError(f"option {stream}.{stray[0]} is settled by the key {stream!r}")
    return build_stream_encoder(name, shapes, **own, **options)
