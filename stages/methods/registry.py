"""What a method is, and the methods there are."""

from collections.abc import Callable
from typing import ParamSpec, Protocol

from torch import nn

from avkd.errors import InvalidValueError
from avkd.stages.encoders.registry import Encoder
from avkd.stages.encoders.streams import StreamEncoder
from avkd.stages.methods.batch import Batch, LearningShape, LossParts, Needs
from avkd.stages.registry import Registry

Options = ParamSpec("Options")


class Method(Protocol):
    """How a student learns from what was stored."""

    def build_student(self, encoder: Encoder | StreamEncoder, learning: LearningShape) -> nn.Module:
        """A student on the encoder with all that this method trains.

        Raises:
            InvalidValueError: The encoder or what is stored is not what the method needs.
        """

    def needs(self, student: nn.Module) -> Needs:
        """What the method reads of every row to train that student, which is not wrapped."""

    def loss(self, student: nn.Module, batch: Batch) -> LossParts:
        """The loss of one batch.

        Calls the student only as a module, so that it may be wrapped for several processes.
        """


METHODS: Registry[Method] = Registry(
    kind="method", package="avkd.stages.methods", entry_point_group="avkd.methods"
)


def register_method(builder: Callable[Options, Method]) -> Callable[Options, Method]:
    """Enter a function that builds a method, under the function's name."""
    return METHODS.register(builder)


def method_names() -> tuple[str, ...]:
    """Every method there is, sorted."""
    return METHODS.names()


def build_method(name: str, **options: object) -> Method:
    """Build a method.

    Raises:
        UnknownNameError: No method has that name.
        InvalidValueError: The method does not take one of the options.
    """
    return METHODS.build(name, **options)


def require_sound_encoder(encoder: Encoder | StreamEncoder, method: str) -> Encoder:
    """The encoder, if it is one of sound over time.

    Raises:
        InvalidValueError: It is an encoder of streams.
    """
    if isinstance(encoder, StreamEncoder):
        raise InvalidValueError(
            f"method {method!r} needs an encoder of sound over time, not one of "
            f"{', '.join(encoder.streams)}; see avkd list encoders"
        )
    return encoder


def require_stream_encoder(encoder: Encoder | StreamEncoder, method: str) -> StreamEncoder:
    """The encoder, if it gives one embedding a clip.

    Raises:
        InvalidValueError: It is an encoder of sound over time.
    """
    if isinstance(encoder, Encoder):
        raise InvalidValueError(
            f"method {method!r} needs an encoder of one embedding a clip; "
            "wrap the one of sound as encoder.name=sound"
        )
    return encoder
