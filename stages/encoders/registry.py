"""What an encoder is, and the encoders there are.

Conventions: B clips, C channels or classes, S samples, T columns (steps of a feature map in time).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ParamSpec

from torch import Tensor, nn

from avkd.errors import InvalidValueError
from avkd.stages.registry import Registry

Options = ParamSpec("Options")


class Encoder(nn.Module, ABC):
    """The body of a student: waveforms to feature maps over time.

    A base class and not a Protocol, because a student must also be able to register it as a
    submodule, and Python cannot say "a module that fits this Protocol".
    """

    layer_names: tuple[str, ...]
    """What ``features`` can return, in the order of computation; the last feeds the heads."""
    feature_layer: str
    """The layer that a linear probe reads unless told otherwise."""
    head_layer: str
    """What the outputs of the heads are called beside the layers, such as ``conv8``."""
    sample_rate: int
    """Hz that the waveforms must have."""
    min_samples: int
    """The shortest waveform for which a head still gives one column."""

    @abstractmethod
    def features(self, waveform: Tensor, layer: str) -> Tensor:
        """The feature map (B, C, T) of one layer for waveforms (B, 1, S) in [-1, 1].

        Raises:
            UnknownNameError: The encoder has no such layer.
            InvalidValueError: The waveform is too short for the layer.
        """

    @abstractmethod
    def num_channels(self, layer: str) -> int:
        """The channels C of a layer."""

    @abstractmethod
    def build_head(self, num_classes: int) -> nn.Module:
        """A fresh head: trunk (B, C, T) to logits over columns (B, num_classes, T')."""

    def forward(self, waveform: Tensor) -> Tensor:
        """The feature map (B, C, T) of the last layer of the trunk."""
        return self.features(waveform, self.layer_names[-1])


ENCODERS: Registry[Encoder] = Registry(
    kind="encoder", package="avkd.stages.encoders", entry_point_group="avkd.encoders"
)


def register_encoder(builder: Callable[Options, Encoder]) -> Callable[Options, Encoder]:
    """Enter a function that builds an encoder, under the function's name."""
    return ENCODERS.register(builder)


def encoder_names() -> tuple[str, ...]:
    """Every encoder there is, sorted."""
    return ENCODERS.names()


def build_encoder(name: str, **options: object) -> Encoder:
    """Build an encoder with fresh weights from torch's global generator.

    Raises:
        UnknownNameError: No encoder has that name.
        InvalidValueError: The encoder does not take one of the options.
    """
    return ENCODERS.build(name, **options)


def require_samples(encoder: str, layer: str, given: int, needed: int) -> None:
    """Refuse waveforms that end before a layer's first column.

    Raises:
        InvalidValueError: Fewer samples were given than needed.
    """
    if given < needed:
        raise InvalidValueError(
            f"{encoder} needs {needed} samples for {layer}, got {given}; "
            "use longer clips or repeat them"
        )
