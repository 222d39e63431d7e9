"""The complete description of a training run, as frozen values that go to JSON and back.

A recipe names everything that decides a student: two runs of one recipe over one store are the same
run. Unknown fields and wrong types are refused, in JSON as in overrides.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias, get_type_hints

from avkd.errors import InvalidValueError, UnknownNameError

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError

Scalar: TypeAlias = bool | int | float | str | None
Value: TypeAlias = Scalar | tuple[Scalar, ...]
Option: TypeAlias = Value | Mapping[str, Value]
_STRICT: Mapping[str, object] = {"extra": "forbid", "strict": True}


@dataclass(frozen=True, kw_only=True)
class MethodConfig:
    """What the student learns from the targets, and by which loss."""

    __pydantic_config__: ClassVar[Mapping[str, object]] = _STRICT

    name: str = "soundnet"
    options: Mapping[str, Option] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """The student's body."""

    __pydantic_config__: ClassVar[Mapping[str, object]] = _STRICT

    name: str
    options: Mapping[str, Option] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """What a batch holds and in which order the rows come."""

    __pydantic_config__: ClassVar[Mapping[str, object]] = _STRICT

    input_name: str = "waveform"
    """The student input in the store; where the store has none, recordings are decoded."""
    split: str | None = None
    """Only recordings whose corpus column ``split`` says so are learned from; None: all."""
    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Only recordings whose corpus columns have one of these values, such as what a teacher is to
    be trusted on: ``{"light": ("day", "dusk")}``."""
    label_column: str | None = None
    """The corpus column of human truth, for methods that need it: a class, or several joined by
    ``;``. Rows without one are left out, unless the method learns from them by other terms. None:
    no label is read."""
    classes: tuple[str, ...] = ()
    """The labels there may be; empty: those of the rows that are learned from, sorted."""
    min_rows_per_class: int = 1
    """A label with fewer rows is refused: a speaker of one utterance has nothing to be like."""
    group_column: str | None = None
    """A corpus column, such as ``speaker``, of which no value may be in two splits; None: any."""
    clip_seconds: float | None = None
    """Length of what the student hears, at least the store's own (None); SoundNet's method fills
    the rest by repeating sound and targets in step."""
    num_steps: int | None = None
    """Steps of that length, as a check on the store; None: however many it gives."""
    batch_size: int = 64
    """Over all processes."""
    block_rows: int = 16
    """Neighbouring rows that are read together."""
    buffer_rows: int = 256
    """Rows that are mixed with each other."""
    validation_fraction: float = 0.1
    """Share of the recordings held out for the validation loss."""

    def __post_init__(self) -> None:
        _require(self.batch_size >= 1, "data.batch_size", self.batch_size, "1 or more")
        _require(self.block_rows >= 1, "data.block_rows", self.block_rows, "1 or more")
        _require(
            self.buffer_rows >= self.block_rows,
            "data.buffer_rows",
            self.buffer_rows,
            "at least data.block_rows",
        )
        _require(
            0 <= self.validation_fraction < 1,
            "data.validation_fraction",
            self.validation_fraction,
            "at least 0 and below 1",
        )


@dataclass(frozen=True, kw_only=True)
class OptimiserConfig:
    """Which optimiser, and its constants."""

    __pydantic_config__: ClassVar[Mapping[str, object]] = _STRICT

    name: Literal["adam", "adamw", "sgd"] = "adam"
    learning_rate: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    momentum: float = 0.0
    """Of sgd."""
    weight_decay: float = 0.0
    max_grad_norm: float | None = None
    """Gradients are scaled down to this norm; None: never."""

    def __post_init__(self) -> None:
        rate = self.learning_rate
        _require(rate > 0, "optimiser.learning_rate", rate, "above 0")


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """How long to train and how the learning rate goes; exactly one of the two lengths is set."""

    __pydantic_config__: ClassVar[Mapping[str, object]] = _STRICT

    num_epochs: int | None = None
    num_updates: int | None = None
    warmup_updates: int = 0
    shape: Literal["constant", "cosine"] = "constant"
    checkpoint_updates: int = 1000
    """Updates between two checkpoints."""

    def __post_init__(self) -> None:
        lengths = [n for n in (self.num_epochs, self.num_updates) if n is not None]
        if len(lengths) != 1 or lengths[0] < 1:
            raise InvalidValueError(
                f"schedule has num_epochs {self.num_epochs} and num_updates {self.num_updates}; "
                "set exactly one of them to 1 or more (the other to none)"
            )
        every = self.checkpoint_updates
        _require(every >= 1, "schedule.checkpoint_updates", every, "1 or more")


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """How the frozen student is probed, and how its supervised controls are trained."""

    __pydantic_config__: ClassVar[Mapping[str, object]] = _STRICT

    layer: str | None = None
    """The probed layer; None: the encoder's own choice."""
    clip_seconds: float | None = None
    """Clips are repeated or cut to this length; None: the longest clip of the dataset."""
    window_seconds: float | None = 1.0
    """Length of the window of columns that is one example; None: the mean over all columns."""
    cost: float = 0.01
    """C of the linear SVM; chosen on the validation split where there is one."""
    gain: float = 1.0
    """Multiplies the waveform; SoundNet's released scripts evaluate at twice the amplitude."""
    num_updates: int = 400
    """Of the students that are trained on labels (scratch, fine-tuned), at most."""
    num_epochs: int = 60
    """Of the same, at most: a few clips are learned by heart soon."""
    batch_size: int = 16
    learning_rate: float = 1e-3


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One complete description of a run."""

    __pydantic_config__: ClassVar[Mapping[str, object]] = _STRICT

    name: str
    variant: str
    encoder: EncoderConfig
    schedule: ScheduleConfig
    method: MethodConfig = field(default_factory=MethodConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    seed: int = 0
    seeding: Literal["per_update", "once"] = "per_update"
    """Whether random numbers of a method begin anew at each update, or run on from the student's
    first weights, as published experiments do."""


def to_json(recipe: Recipe) -> str:
    """The recipe as indented JSON; from_json gives an equal recipe back."""
    return _adapter().dump_json(recipe, indent=2).decode()


def from_json(text: str | bytes) -> Recipe:
    """Read what to_json wrote; unknown fields and wrong types raise InvalidValueError."""
    from pydantic import ValidationError

    try:
        return _adapter().validate_json(text)
    except ValidationError as error:
        raise InvalidValueError(f"not a recipe: {_first_problem(error)}") from error


def flatten(recipe: Recipe) -> dict[str, object]:
    """Dotted field name to value, for tables and for telling two recipes apart."""
    return dict(_leaves("", json.loads(to_json(recipe))))


def differing_fields(one: Recipe, other: Recipe) -> tuple[str, ...]:
    """Dotted names of the fields in which two recipes differ, in order."""
    left, right = flatten(one), flatten(other)
    names = dict.fromkeys((*left, *right))
    return tuple(n for n in names if left.get(n, _MISSING) != right.get(n, _MISSING))


def with_overrides(recipe: Recipe, overrides: Sequence[str]) -> Recipe:
    """The recipe with fields replaced, each override of the form ``optimiser.learning_rate=3e-4``.

    Values are JSON or plain words; ``none`` is null. Options of the method and the
    encoder take any name, which is checked when they are built. A path goes into an option that is
    a mapping, and what is left of it there is one key, as encoders of several streams have them:
    ``encoder.options.options.waveform.body_options.hop_seconds=0.03``.
    """
    values = json.loads(to_json(recipe))
    for override in overrides:
        name, equals, text = override.partition("=")
        if not equals:
            raise InvalidValueError(f"override {override!r} is not of the form field=value")
        _set(values, Recipe, name.strip().split("."), text.strip())
    return from_json(json.dumps(values))


_MISSING = object()


def _require(holds: bool, name: str, value: object, rule: str) -> None:
    if not holds:
        raise InvalidValueError(f"{name} {value} must be {rule}")


@cache
def _adapter() -> "TypeAdapter[Recipe]":
    from pydantic import TypeAdapter

    return TypeAdapter(Recipe)


def _first_problem(error: "ValidationError") -> str:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"]) or "the whole"
    cause = first.get("ctx", {}).get("error")
    return str(cause) if cause is not None else f"{place}: {first['msg'].lower()}"


def _leaves(prefix: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(f"{prefix}.{key}" if prefix else key, inner)
    else:
        yield prefix, value


def _set(values: dict[str, Any], kind: type, path: list[str], text: str) -> None:
    """Put the value that the text means at a dotted place below a config of that kind."""
    for depth, part in enumerate(path):
        hints = _field_types(kind)
        if part not in hints:
            known = (".".join((*path[:depth], name)) for name in hints)
            raise UnknownNameError("recipe field", ".".join(path[: depth + 1]), known)
        rest = path[depth + 1 :]
        if not rest:
            values[part] = _parsed(hints[part], text, ".".join(path))
        elif part == "options":
            _set_option(values[part], rest, text)
            return
        elif not is_dataclass(hints[part]):
            raise InvalidValueError(f"{'.'.join(path)}: {part} is a plain value, it has no fields")
        else:
            values, kind = values[part], hints[part]


def _set_option(options: dict[str, Any], path: list[str], text: str) -> None:
    """Put a value among options, or into the mapping that one of them is."""
    whole, value = ".".join(path), _option(text)
    name, *rest = path
    if not rest or whole in options:
        options[whole] = value
        return
    if not isinstance(options.setdefault(name, {}), dict):
        raise InvalidValueError(f"option {whole}: {name} is a plain value")
    if isinstance(value, dict):
        raise InvalidValueError(
            f"option {whole}: {name} is a mapping and holds no other; set the values one by one, "
            f"as ...{whole}.KEY=VALUE"
        )
    options[name][".".join(rest)] = value


def _field_types(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {f.name: hints[f.name] for f in fields(kind)}


def _parsed(hint: Any, text: str, name: str) -> object:
    """What the text means for a field of that type: JSON, a word, or none for null."""
    from pydantic import TypeAdapter, ValidationError

    adapter: TypeAdapter[object] = TypeAdapter(hint)
    readings = [json.dumps(text), text]
    if text.lower() == "none":
        readings.insert(0, "null")
    problems = []
    for reading in readings:
        try:
            value = adapter.validate_json(reading, strict=True)
        except ValidationError as error:
            problems.append(_first_problem(error).split(": ", 1)[-1])
        else:
            return json.loads(adapter.dump_json(value))
    raise InvalidValueError(f"{name}={text}: {problems[0]}")


def _option(text: str) -> object:
    """JSON where the text is JSON, else the word itself; ``none`` is null."""
    try:
        return json.loads("null" if text.lower() == "none" else text)
    except json.JSONDecodeError:
        return text
