"""An encoder of the sound around each step, with what is known of the camera beside it.

Conventions: B clips, T steps, C channels, S samples, N real steps of a batch, W samples of a
window, D width of an embedding.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from avkd.errors import InvalidValueError
from avkd.stages.encoders.camera_metadata import METADATA_SCALE, METADATA_SIZE, build_metadata
from avkd.stages.encoders.real_steps import StepPool, real_mask, samples_per_step
from avkd.stages.encoders.step_windows import (
    ChannelOrder,
    Channels,
    count_steps,
    cut_windows,
)
from avkd.stages.encoders.stream_inputs import (
    require_amount,
    require_share,
    require_waveform,
    take_stream,
)
from avkd.stages.encoders.streams import InputShape, StreamEncoder


@dataclass(frozen=True, kw_only=True)
class StepSoundOptions:
    """What encoders of the sound around steps share."""

    stream: str = "waveform"
    metadata: Sequence[str] = ()
    channels: Channels = "all"
    step_seconds: float = 0.0
    """0: as the store says."""
    window_seconds: float = 1.0
    dropout: float = 0.0
    max_gain_decibels: float = 0.0
    metadata_scale: float = METADATA_SCALE
    drop_metadata: float = 0.0

    def __post_init__(self) -> None:
        require_amount("step_seconds", self.step_seconds)
        require_share("dropout", self.dropout)
        require_amount("max_gain_decibels", self.max_gain_decibels)
        if not self.window_seconds > 0:
            raise InvalidValueError(f"window_seconds {self.window_seconds:g} must be above 0")


class StepSoundEncoder(StreamEncoder):
    """A network over the window of sound around each real step."""

    def __init__(
        self,
        network: nn.Module,
        vector_size: int,
        shapes: Mapping[str, InputShape],
        options: StepSoundOptions,
    ) -> None:
        """``network`` maps windows (N, C, W) to vectors (N, vector_size).

        Raises:
            InvalidValueError: A stream is missing, or the length of a step is not known.
        """
        super().__init__()
        self.stream = options.stream
        self.streams = (options.stream, *options.metadata)
        self.samples_per_step = find_samples_per_step(shapes, options)
        self.window_samples = count_window_samples(shapes, options)
        self.num_channels = shapes[options.stream].shape[0]
        self.order = ChannelOrder(options.channels)
        self.max_gain_decibels = options.max_gain_decibels
        self.network = network
        self.dropout = nn.Dropout(options.dropout)
        self.metadata = build_metadata(
            shapes, options.metadata, options.metadata_scale, options.drop_metadata
        )
        self.pool = StepPool("mean", vector_size)
        self.part_sizes = {options.stream: vector_size}
        if self.metadata is not None:
            self.part_sizes["metadata"] = METADATA_SIZE
        self.embedding_size = sum(self.part_sizes.values())

    def forward(self, inputs: Mapping[str, Tensor], num_steps: Tensor) -> Tensor:
        """(B, D): the mean over real steps."""
        embedding_BTD = self.encode_steps(inputs, num_steps)
        pooled: Tensor = self.pool(embedding_BTD, real_mask(num_steps, embedding_BTD.shape[1]))
        return pooled

    def encode_steps(self, inputs: Mapping[str, Tensor], num_steps: Tensor) -> Tensor:
        """(B, T, D): an embedding for each of the steps that the waveform spans, 0 where not real.

        Only real steps pass through the network. The camera's part is the same in all of a clip.

        Raises:
            InvalidValueError: A stream is missing or has another shape than at building.
        """
        waveform, num_steps, total = self.take_sound(inputs, num_steps)
        mask_BT = real_mask(num_steps.to(waveform.device), total)
        vectors = self.dropout(self._hear(self._change_gain(waveform), num_steps, mask_BT))
        if self.metadata is not None:
            camera = self.metadata(inputs)
            vectors = torch.cat([vectors, camera[mask_BT.nonzero()[:, 0]].float()], dim=1)
        embedding_BTD: Tensor = vectors.new_zeros((*mask_BT.shape, self.embedding_size))
        embedding_BTD[mask_BT] = vectors
        return embedding_BTD

    def take_sound(
        self, inputs: Mapping[str, Tensor], num_steps: Tensor
    ) -> tuple[Tensor, Tensor, int]:
        """The waveform (B, C, S), real steps (B,) of 1 or more, and how many steps it spans.

        Raises:
            InvalidValueError: The stream is missing or has another shape than at building.
        """
        waveform = take_stream(inputs, self.stream, 3, "(clips, channels, samples)")
        if waveform.shape[1] != self.num_channels:
            raise InvalidValueError(
                f"{self.stream!r} has {waveform.shape[1]} channels but the encoder was built for "
                f"{self.num_channels}; use the store that it was trained on, or train it anew"
            )
        num_steps = num_steps.clamp_min(1)
        return (
            waveform,
            num_steps,
            count_steps(waveform.shape[-1], self.samples_per_step, num_steps),
        )

    def _hear(self, waveform: Tensor, num_steps: Tensor, mask_BT: Tensor) -> Tensor:
        """(N, D) of the real steps that ``mask_BT`` (B, T) marks."""
        windows = cut_windows(waveform, num_steps, self.samples_per_step, self.window_samples)
        vectors: Tensor = self.network(self.order(windows)).float()
        return vectors

    def _change_gain(self, waveform: Tensor) -> Tensor:
        """Each clip louder or softer while training, all its microphones alike."""
        if not self.training or not self.max_gain_decibels:
            return waveform
        decibels = (2 * torch.rand(len(waveform), 1, 1) - 1) * self.max_gain_decibels
        return waveform * (10 ** (decibels / 20)).to(waveform)


Built = TypeVar("Built", bound=StepSoundEncoder)


def build_step_sound(
    build_network: Callable[[int, int, float], tuple[nn.Module, int]],
    encoder: str,
    shapes: Mapping[str, InputShape],
    options: StepSoundOptions,
    kind: type[Built],
) -> Built:
    """An encoder on a network that is told how many channels are heard, the rate, a step's samples.

    ``build_network`` returns the network and the width of its vectors.

    Raises:
        InvalidValueError: There is no such stream, nothing is known of the camera, or an order is
            asked of one microphone.
    """
    shape = require_waveform(shapes, options.stream, encoder, 0)
    _require_metadata(shapes, options.metadata)
    order = ChannelOrder(options.channels)
    if shape.shape[0] < 2 and options.channels in ("swapped", "shuffled"):
        raise InvalidValueError(
            f"channels {options.channels!r} needs two microphones or more but "
            f"{options.stream!r} has one; cache the sound with all its channels"
        )
    per_step = find_samples_per_step(shapes, options)
    network, size = build_network(order.count(shape.shape[0]), shape.sample_rate, per_step)
    return kind(network, size, shapes, options)


def _require_metadata(shapes: Mapping[str, InputShape], names: Sequence[str]) -> None:
    if isinstance(names, str) or not (missing := [name for name in names if name not in shapes]):
        return
    known = [name for name, shape in shapes.items() if len(shape.shape) == 1]
    raise InvalidValueError(
        f"the store has no {' and no '.join(map(repr, missing))} of the camera but "
        f"{', '.join(known) or 'nothing'}; extract the corpus's columns with --vector, or name "
        "what there is in encoder.options.metadata ([] for nothing)"
    )


def find_samples_per_step(shapes: Mapping[str, InputShape], options: StepSoundOptions) -> float:
    """The samples of a step: as the option says, else as the store does.

    Raises:
        InvalidValueError: Neither does.
    """
    shape = shapes[options.stream]
    if step_seconds := options.step_seconds or shape.step_seconds:
        return step_seconds * shape.sample_rate
    if found := samples_per_step(shapes, options.stream):
        return found
    raise InvalidValueError(
        "how long a step is cannot be told from the store's inputs; "
        "set encoder.options.step_seconds to the store's"
    )


def count_window_samples(shapes: Mapping[str, InputShape], options: StepSoundOptions) -> int:
    """The samples of a window."""
    return max(1, round(options.window_seconds * shapes[options.stream].sample_rate))
