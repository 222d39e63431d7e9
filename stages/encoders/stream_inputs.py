"""What encoders of streams ask of their inputs and options: the checks and their messages."""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from avkd.errors import InvalidValueError
from avkd.stages.encoders.streams import InputShape, require_stream


def take_stream(inputs: Mapping[str, Tensor], stream: str, num_axes: int, what: str) -> Tensor:
    """One input of a batch, with that many axes; ``what`` describes it in the message.

    Raises:
        InvalidValueError: The batch lacks it, or it has another number of axes.
    """
    if stream not in inputs:
        raise InvalidValueError(
            f"the batch has no {stream!r} but {', '.join(sorted(inputs)) or 'nothing'}; "
            "read it, or encode another stream"
        )
    value = inputs[stream]
    if value.ndim != num_axes:
        raise InvalidValueError(f"{stream!r} has shape {tuple(value.shape)} but must be {what}")
    return value


def require_width(value: Tensor, stream: str, width: int) -> None:
    """Refuse vectors of another width than the encoder was built for.

    Raises:
        InvalidValueError: The last axis is another.
    """
    if value.shape[-1] != width:
        raise InvalidValueError(
            f"{stream!r} has vectors of {value.shape[-1]} but the encoder was built for {width}; "
            "use the store that it was trained on, or train it anew"
        )


def require_waveform(
    shapes: Mapping[str, InputShape], stream: str, encoder: str, sample_rate: int
) -> InputShape:
    """The shape of a waveform at the rate that an encoder hears; 0 is any rate.

    Raises:
        InvalidValueError: There is no such stream, it is no waveform, or it has another rate.
    """
    shape = require_stream(shapes, stream)
    if len(shape.shape) != 2 or not shape.sample_rate:
        raise InvalidValueError(
            f"{encoder} needs a waveform but {stream!r} has rows of shape {shape.shape}; "
            "name the stream of the sound"
        )
    if sample_rate and shape.sample_rate != sample_rate:
        raise InvalidValueError(
            f"the store's {stream} is at {shape.sample_rate} Hz but {encoder} hears "
            f"{sample_rate} Hz; cache it at that rate, or choose another encoder"
        )
    return shape


def require_count(name: str, value: int) -> None:
    """Refuse what is no whole number above 0.

    Raises:
        InvalidValueError: It is not.
    """
    if not isinstance(value, int) or value < 1:
        raise InvalidValueError(f"{name} {value!r} must be a whole number, 1 or more")


def require_counts(name: str, values: Sequence[int]) -> None:
    """Refuse what is not one or more whole numbers above 0.

    Raises:
        InvalidValueError: It is not.
    """
    if not isinstance(values, (list, tuple)) or not values:
        raise InvalidValueError(f"{name} {values!r} must be one or more whole numbers")
    for value in values:
        require_count(f"{name} {tuple(values)}:", value)


def require_share(name: str, value: float) -> None:
    """Refuse what is not a probability below 1.

    Raises:
        InvalidValueError: It is not.
    """
    if not 0 <= value < 1:
        raise InvalidValueError(f"{name} {value:g} must be at least 0 and below 1")


def require_amount(name: str, value: float) -> None:
    """Refuse what is below 0.

    Raises:
        InvalidValueError: It is.
    """
    if not value >= 0:
        raise InvalidValueError(f"{name} {value:g} must be 0 or more; 0 switches it off")


def require_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Refuse a word that is not among the choices.

    Raises:
        InvalidValueError: It is not.
    """
    if value not in choices:
        raise InvalidValueError(f"{name} {value!r} is not known; use {' or '.join(choices)}")


def keep_out_of_checkpoints(module: nn.Module) -> None:
    """Mark every buffer of a front end as not worth saving: it is computed, not learned."""
    for part in module.modules():
        for name, buffer in list(part.named_buffers(recurse=False)):
            part.register_buffer(name, buffer, persistent=False)
