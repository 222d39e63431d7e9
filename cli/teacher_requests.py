"""Teachers from what a user writes: names, and options of the form NAME=VALUE."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, cast

from avkd.errors import InvalidValueError, UnknownNameError

if TYPE_CHECKING:
    from avkd.stages.teachers.request import Device, Precision, RuntimeName, TeacherRequest

_FORMS = {
    "--weights": "PATH",
    "--classes": "PATH",
    "--stream": "STREAM",
    "--picture-size": "WIDTHxHEIGHT",
    "--maps": "MAP,MAP",
    "--per": "step|clip",
    "--views": "NUMBER",
}


def parse_teachers(
    names: Sequence[str],
    texts: Mapping[str, Sequence[str]],
    *,
    map_channels: int,
    runtime: "RuntimeName",
    device: "Device",
    precision: "Precision",
    batch_size: int,
    is_compiled: bool = False,
    trusted: Sequence[str] = (),
) -> "tuple[TeacherRequest, ...]":
    """Read the teachers asked for.

    Args:
        names: each ``FAMILY`` or ``NAME=FAMILY``.
        texts: by option, what was given with it.
        map_channels: of the teachers that store feature maps.
        runtime: of all teachers, as are the rest.
        device: where they run.
        precision: of their arithmetic.
        batch_size: frames of a batch.
        is_compiled: whether torch compiles their networks.
        trusted: names of those whose files may run code.

    Raises:
        InvalidValueError: a value cannot be read, or is for no teacher.
    """
    from avkd.stages.teachers.request import parse_teacher

    bare = [
        parse_teacher(
            name.rstrip("/"),
            runtime=runtime,
            device=device,
            precision=precision,
            batch_size=batch_size,
        )
        for name in names
    ]
    known = [teacher.name for teacher in bare]
    given = {option: _parse_pairs(option, each, known) for option, each in texts.items()}
    _refuse_unknown(trusted, known)
    teachers = tuple(
        replace(
            _complete(teacher, given, map_channels),
            is_compiled=is_compiled,
            is_trusted=teacher.name in trusted,
        )
        for teacher in bare
    )
    if map_channels and not any(teacher.map_channels for teacher in teachers):
        raise InvalidValueError(
            f"--map-channels {map_channels} projects feature maps, but no teacher stores any; "
            "name one with --maps NAME=features_0"
        )
    return teachers


def parse_size(option: str, text: str) -> tuple[int, int]:
    """Read width and height.

    Raises:
        InvalidValueError: they are not there.
    """
    width, times, height = text.partition("x")
    if not times or not width.isdecimal() or not height.isdecimal():
        raise InvalidValueError(f"{option} {text!r} is not WIDTHxHEIGHT, such as 64x48")
    return int(width), int(height)


def parse_stream(text: str, option: str = "--stream") -> tuple[str, tuple[float, float] | None]:
    """Read ``STREAM`` or ``STREAM:LOW:HIGH``: its name, and the range of 16-bit gray.

    Raises:
        InvalidValueError: the range is none.
    """
    stream, _, limits = text.partition(":")
    return stream, _parse_range(limits, option) if limits else None


def _complete(
    teacher: "TeacherRequest", given: Mapping[str, Mapping[str, str]], map_channels: int
) -> "TeacherRequest":
    name = teacher.name
    stream, value_range = parse_stream(given["--stream"].get(name, ""))
    size = given["--picture-size"].get(name)
    maps = tuple(each for each in given["--maps"].get(name, "").split(",") if each)
    has_features = any(each.startswith("features") for each in maps)
    per = given["--per"].get(name, "")
    if per not in ("", "step", "clip"):
        raise InvalidValueError(f"--per {name}={per} is neither step nor clip")
    return replace(
        teacher,
        weights=given["--weights"].get(name, ""),
        classes=given["--classes"].get(name, ""),
        stream=stream,
        value_range=value_range,
        picture_size=parse_size("--picture-size", size) if size else None,
        maps=maps,
        map_channels=map_channels if has_features else 0,
        per=cast("Literal['', 'step', 'clip']", per),
        views=_parse_views(given["--views"].get(name)),
    )


def _parse_views(text: str | None) -> int:
    if text is None:
        return 0
    if not text.isdecimal() or not int(text):
        raise InvalidValueError(f"--views {text!r} is no number of views, 1 or more")
    return int(text)


def _refuse_unknown(trusted: Sequence[str], known: Sequence[str]) -> None:
    for name in trusted:
        if name not in known:
            raise UnknownNameError("teacher to --trust", name, known)


def _parse_range(text: str, option: str) -> tuple[float, float]:
    low, colon, high = text.partition(":")
    try:
        limits = float(low), float(high)
    except ValueError:
        limits = math.nan, math.nan
    if not colon or not all(map(math.isfinite, limits)):
        raise InvalidValueError(
            f"{option} range {text!r} is not LOW:HIGH, two numbers such as 21800:25000"
        )
    return limits


def _parse_pairs(option: str, texts: Sequence[str], known: Sequence[str]) -> Mapping[str, str]:
    pairs: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or name not in known:
            raise InvalidValueError(
                f"{option} {text!r} is not NAME={_FORMS[option]} with a teacher's name: "
                f"{', '.join(known)}"
            )
        if name in pairs:
            raise InvalidValueError(
                f"{option} {text!r}: {name!r} was given one before; leave one out"
            )
        pairs[name] = value
    return pairs
