"""What the families of trained teachers share: the folder settles what a request leaves open."""

from dataclasses import replace
from pathlib import Path
from typing import Protocol

from avkd.errors import InvalidValueError
from avkd.stages.teachers.request import TeacherRequest


class Looks(Protocol):
    """What a description says of the pictures that the teacher was trained on."""

    @property
    def stream(self) -> str:
        """Whose pictures."""
        ...

    @property
    def value_range(self) -> tuple[float, float] | None:
        """Of 16-bit gray pictures; None: 8-bit RGB."""
        ...

    @property
    def picture_size(self) -> tuple[int, int]:
        """Width and height."""
        ...


def settle_run(request: TeacherRequest, described: Looks) -> TeacherRequest:
    """Take from the description what the request leaves open.

    Raises:
        InvalidValueError: the request asks for what the teacher was not trained for.
    """
    if request.weights or request.classes:
        raise InvalidValueError(
            f"teacher {request.name!r} is the run {request.family}, which has weights and "
            "classes of its own; leave --weights and --classes out"
        )
    own = {
        "stream": described.stream,
        "value_range": described.value_range,
        "picture_size": described.picture_size,
    }
    for field, value in own.items():
        asked = getattr(request, field)
        if asked and asked != value:
            raise InvalidValueError(
                f"teacher {request.name!r} is the run {request.family}, which was trained on "
                f"{field} {value}, not on {asked}; leave --stream and --picture-size out"
            )
    return replace(
        request,
        family=str(Path(request.family).expanduser().absolute()),
        stream=described.stream,
        value_range=described.value_range,
        picture_size=described.picture_size,
    )
