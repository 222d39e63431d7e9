"""What a method is, and the methods there are."""

from collections.abc import Callable, Mapping
from typing import ParamSpec, Protocol

from torch import nn

from avkd.stages.encoders.registry import Encoder
from avkd.stages.methods.batch import Batch, LossParts, TargetShape
from avkd.stages.registry import Registry

Options = ParamSpec("Options")


class Method(Protocol):
    """How a student learns from what was stored."""

    def build_student(self, encoder: Encoder, targets: Mapping[str, TargetShape]) -> nn.Module:
        """A student on the encoder with all that this method trains.

        Raises:
            InvalidValueError: The stored targets are not what the method needs.
        """

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
