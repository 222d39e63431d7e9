"""What a request chooses of any teacher, whatever its family: what is stored, augmented views."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import numpy.typing as npt

from avkd.errors import InvalidValueError
from avkd.stages.teachers.audio_declaration import (
    AnyDeclaration,
    AnyTeacher,
    AudioDeclaration,
)
from avkd.stages.teachers.audio_loaded import LoadedAudioTeacher
from avkd.stages.teachers.declaration import Predictions, TeacherDeclaration
from avkd.stages.teachers.loaded import LoadedTeacher
from avkd.stages.teachers.request import TeacherRequest
from avkd.stages.views import ViewSettings

Declaration = TypeVar("Declaration", TeacherDeclaration, AudioDeclaration)
_PLACES = frozenset({"height", "width", "box"})


@dataclass(frozen=True, kw_only=True)
class ChosenTeacher(Generic[Declaration]):
    """A teacher that is stored in another way than its family stores it."""

    declaration: Declaration
    run: Callable[[npt.NDArray[Any]], Predictions]

    def predict(self, frames: npt.NDArray[Any]) -> Predictions:
        """Look or listen as the family's does."""
        return self.run(frames)


def choose(request: TeacherRequest, declaration: AnyDeclaration) -> AnyDeclaration:
    """Give a declaration as the request wants it.

    Raises:
        InvalidValueError: the teacher cannot do that.
    """
    if request.per == "step" and declaration.unit == "clip":
        raise InvalidValueError(
            f"teacher {request.name!r} takes a clip as a whole and says nothing of its steps; "
            "leave --per out"
        )
    per = request.per or declaration.per
    if isinstance(declaration, AudioDeclaration):
        if request.views:
            raise InvalidValueError(
                f"teacher {request.name!r} listens, and views are of pictures; leave --views out"
            )
        return replace(declaration, per=per)
    chosen = replace(declaration, per=per)
    return _choose_views(request, chosen) if request.views else chosen


def choose_of(request: TeacherRequest, teacher: AnyTeacher) -> AnyTeacher:
    """Give a teacher as the request wants it."""
    chosen = choose(request, teacher.declaration)
    if chosen == teacher.declaration:
        return teacher
    # Those that are loaded may compute while their caller goes on.
    if isinstance(chosen, AudioDeclaration):
        if isinstance(teacher, LoadedAudioTeacher):
            return replace(teacher, declaration=chosen)
        return ChosenTeacher(declaration=chosen, run=teacher.predict)
    if isinstance(teacher, LoadedTeacher):
        return replace(teacher, declaration=chosen)
    return ChosenTeacher(declaration=chosen, run=teacher.predict)


def _choose_views(request: TeacherRequest, declared: TeacherDeclaration) -> TeacherDeclaration:
    """Decode all of what the family cuts its centre from: views are parts of that."""
    frames = declared.frame_format
    says_where = any(
        each.layout == "boxes" or _PLACES & {*each.axes} or each.dtype == "uint8"
        for each in declared.outputs
    )
    unmet = {
        "sees 16-bit gray, whose colours mean something": frames.pixels != "rgb24",
        "says where something is in a picture, which a view moves": says_where,
        "takes many pictures at once": declared.unit != "frame",
        "is stored once a clip, of which views would be averaged": declared.per == "clip",
    }
    for why, is_unmet in unmet.items():
        if is_unmet:
            raise InvalidValueError(f"teacher {request.name!r} {why}; leave --views out")
    whole = replace(
        frames,
        height=round(frames.height / frames.crop_fraction),
        width=round(frames.width / frames.crop_fraction),
        crop_fraction=1.0,
    )
    views = ViewSettings(
        num_views=request.views, height=frames.height, width=frames.width, seed=request.seed
    )
    return replace(declared, frame_format=whole, views=views)
