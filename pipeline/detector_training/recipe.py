"""The complete description of a detector's training, as frozen values that go to JSON and back."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.pipeline.recipe import OptimiserConfig, ScheduleConfig
from avkd.stages.teachers.detector_folder import DetectorDescription
from avkd.stages.teachers.pyramid_options import PyramidOptions, check_picture_size
from avkd.stages.teachers.request import PICTURE_STREAMS
from avkd.stages.types import FrameFormat

_STRICT: Mapping[str, object] = {"extra": "forbid", "strict": True}


@dataclass(frozen=True, kw_only=True)
class DetectorData:
    """Which pictures are learned from, and what of their truth."""

    __pydantic_config__: ClassVar[Mapping[str, object]] = _STRICT

    stream: str = "rgb"
    value_range: tuple[float, float] | None = None
    """Of 16-bit gray pictures: what becomes 0 and what becomes 1. None: 8-bit RGB."""
    picture_size: tuple[int, int] = (320, 192)
    """Width and height to which pictures are stretched: multiples of 32."""
    classes: tuple[str, ...] = ("vehicle",)
    """Each a kind of the truth, or ``NAME=KIND,KIND``; one alone that is no kind stands for all."""
    split: str | None = None
    """Only recordings whose corpus column ``split`` says so; None: all."""
    min_visible: float = 0.25
    """A box of which a smaller share is visible is neither something to find nor background."""
    validation_fraction: float = 0.15
    """Share of the recordings held out for the score."""
    batch_size: int = 8
    max_gigabytes: float = 2.0
    """Of memory for decoded pictures; of more, every second, third, ... is learned from."""
    flip: float = 0.5
    """How likely a picture is mirrored."""
    brightness: float = 0.3
    """RGB is made brighter or darker, and its contrast weaker or stronger, by up to this share."""

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if self.stream not in PICTURE_STREAMS:
            raise UnknownNameError("stream of pictures", self.stream, PICTURE_STREAMS)
        low, high = self.value_range or (0.0, 1.0)
        _require(low < high, "value_range", self.value_range, "the lower value first")
        check_picture_size(self.picture_size)
        _require(bool(self.classes), "classes", "()", "one name at least")
        for name in ("min_visible", "flip", "brightness"):
            value = getattr(self, name)
            _require(0 <= value <= 1, name, value, "from 0 to 1")
        fraction = self.validation_fraction
        _require(0 <= fraction < 1, "validation_fraction", fraction, "at least 0 and below 1")
        _require(self.batch_size >= 1, "batch_size", self.batch_size, "1 or more")
        _require(self.max_gigabytes > 0, "max_gigabytes", self.max_gigabytes, "above 0")

    @property
    def frame_format(self) -> FrameFormat:
        """The pictures as extraction shows them to the detector."""
        width, height = self.picture_size
        return FrameFormat(
            height=height,
            width=width,
            crop_fraction=1.0,
            fit="stretch",
            pixels="rgb24" if self.value_range is None else "gray16",
        )


@dataclass(frozen=True, kw_only=True)
class DetectorRecipe:
    """One complete description of a detector's training."""

    __pydantic_config__: ClassVar[Mapping[str, object]] = _STRICT

    data: DetectorData = field(default_factory=DetectorData)
    network: PyramidOptions = field(default_factory=PyramidOptions)
    optimiser: OptimiserConfig = field(
        default_factory=lambda: OptimiserConfig(
            name="adamw", learning_rate=2e-3, weight_decay=0.02, max_grad_norm=10.0
        )
    )
    schedule: ScheduleConfig = field(
        default_factory=lambda: ScheduleConfig(
            num_updates=1000, warmup_updates=50, shape="cosine", checkpoint_updates=100
        )
    )
    """By updates: a corpus of any size takes the same time."""
    seed: int = 0

    def describe(
        self, class_names: tuple[str, ...], facts: Mapping[str, object]
    ) -> DetectorDescription:
        """Describe the detector that it makes."""
        return DetectorDescription(
            stream=self.data.stream,
            value_range=self.data.value_range,
            picture_size=self.data.picture_size,
            class_names=class_names,
            network=self.network,
            seed=self.seed,
            facts=facts,
        )


def recipe_values(recipe: DetectorRecipe) -> dict[str, Any]:
    """The recipe as JSON values; ``read_recipe`` gives an equal recipe back."""
    from pydantic import TypeAdapter

    values: dict[str, Any] = TypeAdapter(DetectorRecipe).dump_python(recipe, mode="json")
    return values


def read_recipe(values: Mapping[str, Any]) -> DetectorRecipe:
    """Read what ``recipe_values`` gave.

    Raises:
        InvalidValueError: A field is unknown or of the wrong type.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(DetectorRecipe).validate_json(json.dumps(values))
    except ValidationError as error:
        first = error.errors()[0]
        cause = first.get("ctx", {}).get("error")
        place = ".".join(map(str, first["loc"]))
        raise InvalidValueError(
            str(cause) if cause is not None else f"{place}: {first['msg'].lower()}"
        ) from error


def with_settings(recipe: DetectorRecipe, settings: Sequence[str]) -> DetectorRecipe:
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
    return read_recipe(values)


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


def _require(holds: bool, name: str, value: object, rule: str) -> None:
    if not holds:
        raise InvalidValueError(f"data.{name} {value} must be {rule}")
