"""Recipes of trainings from pictures: frozen values that go to JSON and back, and their checks."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.stages.teachers.pyramid_options import check_picture_size
from avkd.stages.teachers.request import PICTURE_STREAMS
from avkd.stages.types import FrameFormat

STRICT: Mapping[str, object] = {"extra": "forbid", "strict": True}
"""What pydantic is told of a recipe's parts."""

Recipe = TypeVar("Recipe")


class PictureData(Protocol):
    """Which pictures are learned from, and how they are changed."""

    @property
    def stream(self) -> str:
        """Whose pictures."""
        ...

    @property
    def value_range(self) -> tuple[float, float] | None:
        """Of 16-bit gray pictures: what becomes 0 and what becomes 1. None: 8-bit RGB."""
        ...

    @property
    def picture_size(self) -> tuple[int, int]:
        """Width and height to which pictures are stretched."""
        ...

    @property
    def validation_fraction(self) -> float:
        """Share of the recordings held out for the score."""
        ...

    @property
    def batch_size(self) -> int:
        """Pictures of an update."""
        ...

    @property
    def max_gigabytes(self) -> float:
        """Of memory for decoded pictures."""
        ...

    @property
    def flip(self) -> float:
        """How likely a picture is mirrored."""
        ...

    @property
    def brightness(self) -> float:
        """By up to which share RGB is made brighter or darker."""
        ...


def check_pictures(data: PictureData) -> None:
    """Refuse what cannot be.

    Raises:
        InvalidValueError: a value is outside of what it may be.
    """
    if data.stream not in PICTURE_STREAMS:
        raise UnknownNameError("stream of pictures", data.stream, PICTURE_STREAMS)
    low, high = data.value_range or (0.0, 1.0)
    require(low < high, "value_range", data.value_range, "the lower value first")
    check_picture_size(data.picture_size)
    for name in ("flip", "brightness"):
        value = getattr(data, name)
        require(0 <= value <= 1, name, value, "from 0 to 1")
    fraction = data.validation_fraction
    require(0 <= fraction < 1, "validation_fraction", fraction, "at least 0 and below 1")
    require(data.batch_size >= 1, "batch_size", data.batch_size, "1 or more")
    require(data.max_gigabytes > 0, "max_gigabytes", data.max_gigabytes, "above 0")


def shown_frames(data: PictureData) -> FrameFormat:
    """Give the pictures as extraction shows them to the teacher."""
    width, height = data.picture_size
    return FrameFormat(
        height=height,
        width=width,
        crop_fraction=1.0,
        fit="stretch",
        pixels="rgb24" if data.value_range is None else "gray16",
    )


def require(holds: bool, name: str, value: object, rule: str) -> None:
    """Refuse a field of ``data`` that breaks its rule.

    Raises:
        InvalidValueError: it does.
    """
    if not holds:
        raise InvalidValueError(f"data.{name} {value} must be {rule}")


def recipe_values(recipe: object) -> dict[str, Any]:
    """The recipe as JSON values; ``read_values`` gives an equal recipe back."""
    from pydantic import TypeAdapter

    values: dict[str, Any] = TypeAdapter(type(recipe)).dump_python(recipe, mode="json")
    return values


def read_values(kind: type[Recipe], values: Mapping[str, Any]) -> Recipe:
    """Read what ``recipe_values`` gave of a recipe of that kind.

    Raises:
        InvalidValueError: A field is unknown or of the wrong type.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(kind).validate_json(json.dumps(values))
    except ValidationError as error:
        first = error.errors()[0]
        cause = first.get("ctx", {}).get("error")
        place = ".".join(map(str, first["loc"]))
        raise InvalidValueError(
            str(cause) if cause is not None else f"{place}: {first['msg'].lower()}"
        ) from error


def with_settings(recipe: Recipe, settings: Sequence[str]) -> Recipe:
    """The recipe with fields replaced, each by a text such as ``optimiser.learning_rate=3e-4``.

    Values are JSON or plain words; ``none`` is null.

    Raises:
        InvalidValueError: A text has no ``=``, no field is of that name, or the value does not fit.
    """
    values = recipe_values(recipe)
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise InvalidValueError(f"override {setting!r} is not of the form field=value")
        _put(values, name.strip(), text.strip())
    return read_values(type(recipe), values)


def leaves(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted field name to value."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        is_group = isinstance(value, Mapping)
        found |= leaves(value, f"{prefix}{name}.") if is_group else {f"{prefix}{name}": value}
    return found


def _put(values: dict[str, Any], name: str, text: str) -> None:
    known = leaves(values)
    if name not in known:
        raise UnknownNameError("recipe field", name, known)
    *groups, last = name.split(".")
    for group in groups:
        values = values[group]
    try:
        values[last] = json.loads("null" if text.lower() == "none" else text)
    except json.JSONDecodeError:
        values[last] = text
