"""How the small TOML beside a network in a file is read: strictly.

What is not known is an error, not ignored, and what it names lies beside it. Imports no torch.
"""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.stages.teachers.class_names import read_class_names
from avkd.stages.teachers.request import NAME_PATTERN

ONNX_SUFFIX = ".onnx"
STRICTLY = {"extra": "forbid", "strict": True}
"""Of pydantic, for what is read here."""
_MAX_BYTES = 1_000_000

Told = TypeVar("Told")
ClassNames: TypeAlias = Mapping[str, tuple[str, ...]]
"""By output, where they are named."""


@dataclass(frozen=True, kw_only=True)
class OutputDescription:
    """What an output of the network is."""

    __pydantic_config__ = STRICTLY

    source: str
    """Its name in the file (``from`` in the TOML); the place, such as ``0``, where it has none."""
    kind: Literal["logits", "embedding", "map"]
    activation: Literal["softmax", "sigmoid", "none"] | None = None
    """Of logits; softmax by default."""
    classes: str = ""
    """Of logits: a file beside the TOML with one name a line."""


def read_toml(path: Path) -> Mapping[str, Any]:
    """Read a file that is not large.

    Raises:
        InvalidValueError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_BYTES + 1)
        if len(text) > _MAX_BYTES:
            raise ValueError(f"more than {_MAX_BYTES} bytes")
        return tomllib.loads(text.decode("utf-8"))
    except FileNotFoundError as error:
        raise InvalidValueError(
            f"no description of a teacher at {str(path)!r}; docs/teachers.md shows one"
        ) from error
    # RecursionError: thousands of brackets.
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidValueError(
            f"{path} cannot be read as TOML ({type(error).__name__}: {error}); "
            "docs/teachers.md shows one that can"
        ) from error


def parse(path: Path, kind: type[Told], tables: Mapping[str, type[Any]]) -> Told:
    """Read a description as a dataclass, whose outputs are ``OutputDescription``.

    Args:
        path: of the TOML.
        kind: the dataclass.
        tables: as what other tables than those of outputs are read, by name.

    Raises:
        InvalidValueError: naming the first key that is wrong, and what it should be.
    """
    from pydantic import TypeAdapter, ValidationError

    content = read_toml(path)
    _refuse_unknown(path, content, {"": kind, **tables})
    try:
        # Through JSON, where a list may stand for a tuple and nothing else for anything.
        text = json.dumps(_rename_from(content), default=str)
        return TypeAdapter(kind).validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(_name_of(each) for each in first["loc"])
        raise InvalidValueError(
            f"{path}: {key}: {first['msg']}; docs/teachers.md says what it may be"
        ) from error


def find_beside(folder: Path, name: str, what: str) -> Path:
    """Find a file in a folder or below it, links followed.

    Raises:
        InvalidValueError: it is elsewhere, or is not there.
    """
    home = folder.resolve()
    try:
        found = (folder / name).resolve()
        is_file = found.is_file()
    except (OSError, ValueError, RuntimeError) as error:
        raise InvalidValueError(
            f"{what} {name!r} is no path ({type(error).__name__}); name a file beside it"
        ) from error
    if Path(name).is_absolute() or not found.is_relative_to(home):
        raise InvalidValueError(
            f"{what} {name!r} leads out of {folder}; copy the file there and name it without a "
            "folder"
        )
    if not is_file:
        raise InvalidValueError(f"{what} {name!r} is not in {folder}; copy the file there")
    return found


def find_network(path: Path, name: str, suffixes: tuple[str, ...], way_out: str) -> None:
    """See that the network is there, and one that is read.

    Raises:
        InvalidValueError: it is not.
    """
    file = find_beside(path.parent, name, f"{path}: file")
    if file.suffix not in suffixes:
        wanted = f"neither {' nor '.join(suffixes)}" if len(suffixes) > 1 else f"not {suffixes[0]}"
        raise InvalidValueError(f"{path}: file {name!r} is {wanted}; {way_out}")


def find_class_names(path: Path, outputs: Mapping[str, OutputDescription]) -> ClassNames:
    """Read the names of classes that a description points at."""
    return {
        name: read_class_names(
            find_beside(path.parent, output.classes, f"{path}: outputs.{name}.classes")
        )
        for name, output in outputs.items()
        if output.classes
    }


def refuse_wrong_outputs(path: Path, outputs: Mapping[str, OutputDescription]) -> None:
    """Refuse names that are no names, and words that are of logits alone."""
    sources = [output.source for output in outputs.values()]
    faults = {
        "outputs: none is named; store at least one": not sources,
        "outputs: one of the file is stored twice; name each once": len(set(sources))
        < len(sources),
    }
    for name, output in outputs.items():
        is_named = NAME_PATTERN.fullmatch(name) is not None
        is_logits = output.kind == "logits"
        faults |= {
            f"outputs: {name!r} is not made of letters, digits, '.', '-' and '_' alone": (
                not is_named
            ),
            f"outputs.{name}: activation and classes are of logits, not of a {output.kind}": (
                not is_logits and (output.activation is not None or output.classes != "")
            ),
        }
    refuse_first(path, faults)


def refuse_other_classes(
    path: Path, name: str, told: OutputDescription, class_names: tuple[str, ...], num_classes: int
) -> None:
    """Refuse names of classes that are not as many as the network has."""
    if class_names and len(class_names) != num_classes:
        raise InvalidValueError(
            f"{path}: outputs.{name}: {told.classes!r} names {len(class_names)} classes, "
            f"but {told.source!r} of the file has {num_classes}; name one a line"
        )


def refuse_first(path: Path, faults: Mapping[str, bool]) -> None:
    """Raise the first fault that is there."""
    for fault, is_there in faults.items():
        if is_there:
            raise InvalidValueError(f"{path}: {fault}")


def _refuse_unknown(
    path: Path, content: Mapping[str, Any], tables: Mapping[str, type[Any]]
) -> None:
    """Before anything else: a misspelt key is also a missing one, and says more."""
    parts: list[tuple[str, object, type[Any]]] = [
        (name, content.get(name) if name else content, kind) for name, kind in tables.items()
    ]
    outputs = content.get("outputs")
    if isinstance(outputs, dict):
        parts += [(f"outputs.{n}", each, OutputDescription) for n, each in outputs.items()]
    for where, part, kind in parts:
        known = [_name_of(each.name) for each in fields(kind)]
        for key in part if isinstance(part, dict) else ():
            if key not in known:
                raise UnknownNameError(f"key of {path}{where and f', [{where}]'}", key, known)


def _rename_from(content: Mapping[str, Any]) -> dict[str, Any]:
    """``from`` is a word of Python's."""
    outputs = content.get("outputs")
    if not isinstance(outputs, dict):
        return dict(content)
    renamed = {
        name: {"source" if key == "from" else key: value for key, value in output.items()}
        if isinstance(output, dict)
        else output
        for name, output in outputs.items()
    }
    return {**content, "outputs": renamed}


def _name_of(key: object) -> str:
    return "from" if key == "source" else str(key)
