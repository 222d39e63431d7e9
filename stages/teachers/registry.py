"""The teacher families there are, and the two ways to use one: declare it, load it.

A family is one file in this folder with one decorated class; other packages plug in through the
entry-point group ``avkd.teachers``, whose entry names a family and points at its class. A built-in
family wins over a plug-in of its name.
"""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Protocol, TypeVar

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.stages import teachers
from avkd.stages.teachers.audio_declaration import AnyDeclaration, AnyTeacher, AudioDeclaration
from avkd.stages.teachers.chosen import choose, choose_of
from avkd.stages.teachers.detector_folder import DETECTOR_FOLDER
from avkd.stages.teachers.files.sound_description import describes_sound
from avkd.stages.teachers.request import (
    RUNTIMES,
    TEACHER_FILE_SUFFIX,
    TeacherRequest,
    resolve,
)
from avkd.stages.teachers.segmenter_folder import SEGMENTER_FOLDER

ENTRY_POINT_GROUP = "avkd.teachers"
# They hold no family and import torch, which naming a teacher must not.
_TORCH_MODULES = frozenset(
    {
        "audio_network",
        "checkpoint",
        "classifier",
        "detector",
        "network",
        "pyramid_detector",
        "pyramid_loss",
        "pyramid_points",
        "segmenter",
        "torchvision_detection",
    }
)
DETECTOR_RUN = "detector_run"
"""The family of every detector that avkd trained; a request names its folder."""
SEGMENTER_RUN = "segmenter_run"
"""The same of segmenters."""
_RUNS = {DETECTOR_RUN: DETECTOR_FOLDER, SEGMENTER_RUN: SEGMENTER_FOLDER}
TEACHER_FILE = "teacher_file"
"""The family of every network in a file; a request names the description beside it."""
AUDIO_FILE = "audio_file"
"""The same of networks of sound."""


class TeacherFamily(Protocol):
    """A kind of teacher; the key under which it is registered is the first part of its names.

    One that does not run under every runtime has, beside these, ``runtimes``: a tuple of names. One
    that settles other open choices has ``settle``: a request to the request settled.
    """

    @property
    def summary(self) -> str:
        """One line for ``avkd list teachers``."""
        ...

    def declare(self, request: TeacherRequest) -> AnyDeclaration:
        """Declare without running; the request is resolved."""
        ...

    def load(self, request: TeacherRequest) -> AnyTeacher:
        """Build the network and its runtime; the request is resolved."""
        ...


FamilyBuilder = TypeVar("FamilyBuilder", bound=Callable[[], TeacherFamily])
_families: dict[str, TeacherFamily] = {}


def register_teacher(key: str) -> Callable[[FamilyBuilder], FamilyBuilder]:
    """Register a class, or a function without arguments, that gives a family.

    Raises:
        InvalidValueError: if the key is taken, or holds a ``/``, which parts a family from a model.
    """

    def register(builder: FamilyBuilder) -> FamilyBuilder:
        if key in _families:
            raise InvalidValueError(f"teacher family {key!r} is registered twice; rename one")
        if not key or "/" in key:
            raise InvalidValueError(f"teacher family {key!r} must be a name without '/'")
        _families[key] = builder()
        return builder

    return register


def teacher_families() -> Mapping[str, TeacherFamily]:
    """Give every family by key, in name order, plug-ins included."""
    _scan_folder()
    for name, entry_point in _plugins().items():
        if name not in _families:
            _load_plugin(entry_point)
    return dict(sorted(_families.items()))


def find_family(family: str) -> TeacherFamily:
    """Find the family of ``KEY`` or ``KEY/MODEL``, of a trained one's folder, or of a description.

    Raises:
        UnknownNameError: with the close matches.
    """
    runs = (key for key, kind in _RUNS.items() if kind.is_at(family))
    is_file = family.endswith(TEACHER_FILE_SUFFIX)
    key = _find_file_family(family) if is_file else next(runs, family.partition("/")[0])
    _scan_folder()
    if key not in _families:
        plugins = _plugins()
        if key not in plugins:
            raise UnknownNameError("teacher", family, {*_families, *plugins})
        _load_plugin(plugins[key])
    return _families[key]


def _find_file_family(path: str) -> str:
    """Give the family of a description: of sound, or of pictures, which tells what is wrong."""
    return AUDIO_FILE if describes_sound(path) else TEACHER_FILE


def settle_teacher(request: TeacherRequest) -> TeacherRequest:
    """Settle the open choices of a request as its family allows (``request.resolve``)."""
    family = find_family(request.family)
    settle = getattr(family, "settle", lambda unsettled: unsettled)
    return resolve(settle(request), getattr(family, "runtimes", RUNTIMES))


def declare_teacher(request: TeacherRequest) -> AnyDeclaration:
    """Say what a teacher looks at, gives and is; open choices of the request are settled first.

    Raises:
        InvalidValueError: the family does not do what the request asks for.
    """
    declaration = find_family(request.family).declare(settle_teacher(request))
    _refuse_unmet(request, declaration)
    return choose(request, declaration)


def load_teacher(request: TeacherRequest) -> AnyTeacher:
    """Build a teacher that can look or listen; its declaration is that of ``declare_teacher``."""
    return choose_of(request, find_family(request.family).load(settle_teacher(request)))


def _refuse_unmet(request: TeacherRequest, declaration: AnyDeclaration) -> None:
    """A family that knows nothing of an option must not seem to have obeyed it."""
    frames = None if isinstance(declaration, AudioDeclaration) else declaration.frame_format
    size = frames and (frames.width, frames.height)
    is_gray = frames is not None and frames.pixels == "gray16"
    names = [output.name for output in declaration.outputs]
    unmet = {
        f"the stream {request.stream!r}": request.stream not in ("", declaration.stream),
        "a range of 16-bit gray": request.value_range is not None and not is_gray,
        "a picture size": request.picture_size not in (None, size),
        "maps": bool(request.maps) and not any(n.startswith(request.maps) for n in names),
    }
    for what, is_unmet in unmet.items():
        if is_unmet:
            raise InvalidValueError(
                f"teacher {request.name!r} is of the family {request.family!r}, which does not "
                f"take {what}; choose a detector, or leave it out"
            )


def _scan_folder() -> None:
    for module in pkgutil.iter_modules(teachers.__path__):
        if not module.ispkg and module.name not in _TORCH_MODULES:
            importlib.import_module(f"{teachers.__name__}.{module.name}")


def _plugins() -> dict[str, EntryPoint]:
    return {entry_point.name: entry_point for entry_point in entry_points(group=ENTRY_POINT_GROUP)}


def _load_plugin(entry_point: EntryPoint) -> None:
    """Import a plug-in; its class may carry the decorator or leave the entry's name to speak."""
    try:
        builder = entry_point.load()
    except Exception as error:
        raise InvalidValueError(
            f"teacher plug-in {entry_point.name!r} ({entry_point.value}) cannot be imported: "
            f"{error}; mend or uninstall it"
        ) from error
    if entry_point.name not in _families:
        register_teacher(entry_point.name)(builder)
