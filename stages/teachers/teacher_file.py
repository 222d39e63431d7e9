"""Networks in files: ONNX or torch.export, with a small TOML beside them that describes them.

``--teacher NAME=PATH.toml``; docs/teachers.md says what the TOML holds. Imports no torch: ONNX
needs none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from avkd.errors import InvalidValueError
from avkd.stages.teachers.declaration import (
    Predictions,
    Teacher,
    TeacherDeclaration,
    runtime_fingerprint,
)
from avkd.stages.teachers.files.description import FoundDescription, read_file_description
from avkd.stages.teachers.files.reading import (
    ONNX_SUFFIX,
    OutputDescription,
    refuse_other_classes,
)
from avkd.stages.teachers.loaded import Finish, Frames, LoadedTeacher, Run, begin_run
from avkd.stages.teachers.registry import TEACHER_FILE, register_teacher
from avkd.stages.teachers.request import TeacherRequest, choose_place
from avkd.stages.teachers.runtimes.sessions import (
    SESSION_RUNTIMES,
    build_session,
    count_threads,
    say_briefly,
)
from avkd.stages.types import TeacherOutput

_PROBE_BATCH = 2
"""More than one, so that an axis of the batch shows."""
_PROBE_THREADS = 1
_AXES = {"logits": ("class",), "embedding": ("feature",)}
_MAP_AXES = {
    ("NCHW", 3): ("channel", "height", "width"),
    ("NHWC", 3): ("height", "width", "channel"),
    ("NCHW", 2): ("height", "width"),
    ("NHWC", 2): ("height", "width"),
}


@dataclass(frozen=True, kw_only=True)
class _Built:
    """A network that runs, and what was found on the way to that."""

    run: Run
    own_batch_size: int
    """That the file was exported with; 0 is any."""
    digests: Mapping[str, str]
    shapes: Mapping[str, tuple[int, ...]]
    """Of one frame, by the name that is stored."""


@register_teacher(TEACHER_FILE)
class TeacherFileFamily:
    """Stream, pictures, outputs and classes are those of the TOML."""

    summary = "PATH.toml: any ONNX or torch.export file with a description beside it"

    def settle(self, request: TeacherRequest) -> TeacherRequest:
        """Take from the description what the request leaves open; refuse what it asks otherwise."""
        found = read_file_description(request.family)
        _refuse_options(request, found)
        is_onnx = found.file.suffix == ONNX_SUFFIX
        runtimes = tuple(SESSION_RUNTIMES) if is_onnx else ("torch",)
        if request.runtime not in ("auto", *runtimes):
            raise InvalidValueError(
                f"teacher {request.name!r} is {found.file.name}, which runs under "
                f"{' or '.join(runtimes)}, not {request.runtime}; leave --runtime out"
            )
        device, runtime = choose_place(request, runtimes)
        return replace(
            request,
            family=str(found.path),
            stream=found.told.stream,
            value_range=found.told.input.value_range,
            picture_size=(found.told.width, found.told.height),
            runtime=runtime,
            device=device,
        )

    def declare(self, request: TeacherRequest) -> TeacherDeclaration:
        """Run the network once on a CPU: only it knows its widths for sure."""
        found = read_file_description(request.family)
        here = replace(request, device="cpu", is_compiled=False)
        if request.precision == "float16":
            here = replace(here, precision="float32")
        return _declare(found, request, _build(found, here, is_probe=True))

    def load(self, request: TeacherRequest) -> Teacher:
        """Load into the request's runtime."""
        found = read_file_description(request.family)
        built = _build(found, request, is_probe=False)
        return LoadedTeacher(declaration=_declare(found, request, built), run=built.run)


class _Checked:
    """A run whose outputs have the names that are stored, and the shapes that were declared."""

    def __init__(self, run: Run, found: FoundDescription, batch_size: int) -> None:
        self._run = run
        self._names = {each.source: name for name, each in found.told.outputs.items()}
        self._file = str(found.file)
        self._batch_size = batch_size
        self.shapes: dict[str, tuple[int, ...]] = {}

    def __call__(self, frames: Frames) -> Predictions:
        return self._check(self._run(frames))

    def begin(self, frames: Frames) -> Finish:
        """Begin where the run can."""
        finish = begin_run(self._run, frames)
        return lambda: self._check(finish())

    def _check(self, predictions: Predictions) -> Predictions:
        checked = {}
        for source, name in self._names.items():
            array = predictions[source]
            if array.dtype.kind != "f":
                raise InvalidValueError(
                    f"{self._file}: output {source!r} is {array.dtype}, not float; "
                    "export what comes before it"
                )
            if array.shape[:1] != (self._batch_size,):
                raise InvalidValueError(
                    f"{self._file}: output {source!r} is {array.shape} for {self._batch_size} "
                    "pictures, not one thing a picture; export it with a free batch axis, or with "
                    "a batch of 1"
                )
            shape = array.shape[1:]
            if self.shapes.setdefault(name, shape) != shape:
                raise InvalidValueError(
                    f"{self._file}: output {source!r} was {self.shapes[name]} a picture and is now "
                    f"{shape}; its size must not depend on what is seen"
                )
            checked[name] = array.astype(np.float32, copy=False)
        return checked


def _build(found: FoundDescription, request: TeacherRequest, *, is_probe: bool) -> _Built:
    """Put the network into its runtime and look at black pictures, which tells the shapes."""
    build = _build_onnx if found.file.suffix == ONNX_SUFFIX else _build_export
    run, own_batch_size, digests = build(found, request, is_probe=is_probe)
    batch_size = own_batch_size or (_PROBE_BATCH if is_probe else request.batch_size)
    checked = _Checked(run, found, batch_size)
    frame_format = found.frame_format
    try:
        checked(np.zeros((batch_size, *frame_format.picture_shape), frame_format.dtype))
    except InvalidValueError:
        raise
    except Exception as error:
        raise InvalidValueError(
            f"{found.file} does not run on pictures of {found.told.width}x{found.told.height} in "
            f"batches of {batch_size} ({say_briefly(error)}); mend {found.path.name}, or export "
            "the network again"
        ) from error
    return _Built(
        run=checked, own_batch_size=own_batch_size, digests=digests, shapes=checked.shapes
    )


def _build_onnx(
    found: FoundDescription, request: TeacherRequest, *, is_probe: bool
) -> tuple[Run, int, Mapping[str, str]]:
    from avkd.stages.teachers.files.onnx_file import read_onnx
    from avkd.stages.teachers.files.onnx_frames import build_model

    read = read_onnx(found)
    batch_size = read.batch_size or (_PROBE_BATCH if is_probe else request.batch_size)
    run = build_session(
        build_model(found, read, batch_size),
        _sources(found),
        request,
        batch_size=batch_size,
        num_threads=_PROBE_THREADS if is_probe else count_threads(),
        way_out="use another --runtime, or export it again",
    )
    return run, read.batch_size, read.digests


def _build_export(
    found: FoundDescription, request: TeacherRequest, *, is_probe: bool
) -> tuple[Run, int, Mapping[str, str]]:
    """A probe differs in its batch alone."""
    from avkd.stages.teachers.files.export_file import build_export, read_export

    read = read_export(found, request)
    return build_export(found, read, request), read.batch_size, read.digests


def _declare(found: FoundDescription, request: TeacherRequest, built: _Built) -> TeacherDeclaration:
    outputs = tuple(
        _declare_output(found, name, each, built.shapes[name])
        for name, each in found.told.outputs.items()
    )
    batch_size = built.own_batch_size or request.batch_size
    return TeacherDeclaration(
        name=request.name,
        stream=found.told.stream,
        frame_format=found.frame_format,
        outputs=outputs,
        fingerprint=_fingerprint(found, replace(request, batch_size=batch_size), built, outputs),
        batch_size=batch_size,
    )


def _declare_output(
    found: FoundDescription, name: str, told: OutputDescription, shape: tuple[int, ...]
) -> TeacherOutput:
    class_names = found.class_names.get(name, ())
    layout = found.told.input.layout
    axes = _MAP_AXES.get((layout, len(shape))) if told.kind == "map" else _AXES[told.kind]
    if axes is None or len(shape) != len(axes):
        wanted = "(height, width), with channels or without" if told.kind == "map" else "one axis"
        raise InvalidValueError(
            f"{found.path}: outputs.{name}: {told.source!r} of the file is {shape} a picture, but "
            f"a {told.kind} has {wanted}; name another output, or another kind"
        )
    refuse_other_classes(found.path, name, told, class_names, shape[0] if shape else 0)
    is_logits = told.kind == "logits"
    return TeacherOutput(
        name=name,
        shape=shape,
        axes=axes,
        class_names=class_names,
        activation=(told.activation or "softmax") if is_logits else "none",
    )


def _fingerprint(
    found: FoundDescription,
    request: TeacherRequest,
    built: _Built,
    outputs: Sequence[TeacherOutput],
) -> dict[str, object]:
    """Neither the places nor the comments of the files: what was moved is the same teacher."""
    told, looks, frames = found.told, found.told.input, found.frame_format
    return {
        "family": TEACHER_FILE,
        "kind": found.file.suffix.removeprefix("."),
        "weights_sha256": dict(sorted(built.digests.items())),
        "stream": told.stream,
        "preprocessing": {
            "height": frames.height,
            "width": frames.width,
            "crop_fraction": frames.crop_fraction,
            "fit": frames.fit,
            "interpolation": "bicubic",
            "pixels": frames.pixels,
            "layout": looks.layout,
            "dtype": looks.dtype,
            "scale": looks.scale,
            "mean": list(looks.mean),
            "std": list(looks.std),
            "value_range": list(looks.value_range) if looks.value_range else None,
        },
        "outputs": [
            {
                "name": output.name,
                "shape": list(output.shape),
                "from": told.outputs[output.name].source,
                "kind": told.outputs[output.name].kind,
                "activation": output.activation,
            }
            for output in outputs
        ],
        **runtime_fingerprint(request),
    }


def _refuse_options(request: TeacherRequest, found: FoundDescription) -> None:
    told = found.told
    if request.weights or request.classes or request.maps:
        raise InvalidValueError(
            f"teacher {request.name!r} is described by {found.path}, which names its weights, "
            "classes and maps; leave --weights, --classes and --maps out"
        )
    own = {
        "stream": told.stream,
        "value_range": told.input.value_range,
        "picture_size": (told.width, told.height),
    }
    for field, value in own.items():
        asked = getattr(request, field)
        if asked and asked != value:
            raise InvalidValueError(
                f"teacher {request.name!r} is described by {found.path} with {field} {value}, "
                f"not {asked}; leave --stream and --picture-size out, or mend the description"
            )


def _sources(found: FoundDescription) -> list[str]:
    return [output.source for output in found.told.outputs.values()]
