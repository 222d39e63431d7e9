"""Trained teachers: the finished runs that look at what a store holds, never at a file.

Such a teacher reads student inputs and other teachers' embeddings of the same rows and says one
thing of each clip. Imports no torch: a run that has nothing to do must be quick, so what a stored
teacher gives is taken from its declaration where all that decides it is the same.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from avkd.errors import CorruptStoreError, InvalidValueError, StoreNotFoundError
from avkd.pipeline.extraction.producers import FRAMES, WAVEFORM
from avkd.pipeline.extraction.vectors import is_vector
from avkd.pipeline.run_dir import RunDir
from avkd.stages.teachers.declaration import TORCH_CPU_THREADS, digest_file
from avkd.stages.teachers.request import TeacherRequest
from avkd.stages.types import TeacherOutput
from avkd.storage.digest import fingerprint_digest
from avkd.storage.schema import OutputSpec, ProducerSpec

TRAINED_VERSION = 1
EMBEDDING = "embedding"
_OUTPUTS = "outputs"
_FREE_AXES = ("step", "sample")
"""How long a clip is; a student may have learned from others."""


@dataclass(frozen=True, kw_only=True)
class TrainedRun:
    """A run as its folder describes it."""

    request: TeacherRequest
    """Resolved; its family is the folder."""
    description: Mapping[str, Any]
    """Of ``student.json``."""

    @property
    def name(self) -> str:
        """Of the teacher."""
        return self.request.name

    @property
    def streams(self) -> tuple[str, ...]:
        """What it looks at: student inputs, and teachers for their embeddings."""
        return tuple(self.description["streams"])


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a stream lies in the store."""

    producer: ProducerSpec
    output: OutputSpec


def is_trained(request: TeacherRequest) -> bool:
    """Tell whether a teacher is a run's folder.

    Raises:
        StoreNotFoundError: it is, but the run is not finished.
    """
    run = _run_dir(request)
    if run.recipe_file.exists() and not run.is_finished:
        raise StoreNotFoundError(f"the run {run.path} is not finished; go on with its command")
    return run.is_finished


def read_run(request: TeacherRequest) -> TrainedRun:
    """Read what a run's folder says, and settle the request.

    Raises:
        InvalidValueError: its student speaks of steps, or the request names weights or classes.
        CorruptStoreError: the description cannot be read.
    """
    file = _run_dir(request).student_file
    if request.weights or request.classes:
        raise InvalidValueError(
            f"teacher {request.name!r} is the run {request.family}, which has weights and classes "
            "of its own; leave --weights and --classes out"
        )
    if request.stream or request.picture_size or request.maps:
        raise InvalidValueError(
            f"teacher {request.name!r} is the run {request.family}, which looks at what the store "
            "holds, not at pictures; leave --stream, --picture-size and --maps out"
        )
    try:
        description = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise CorruptStoreError(f"{file}: {error}; train again") from error
    if "streams" not in description:
        raise InvalidValueError(
            f"the student of {request.family} speaks of steps, not of a clip, and cannot be a "
            "teacher; train one whose encoder gives one embedding a clip"
        )
    # Runtime, device and precision are choices for teachers of pictures.
    settled = replace(
        request,
        family=str(_run_dir(request).path.absolute()),
        runtime="torch",
        device="cpu",
        precision="float32",
    )
    return TrainedRun(request=settled, description=description)


def order_by_inputs(runs: Sequence[TrainedRun]) -> tuple[TrainedRun, ...]:
    """Put every run after those that it looks at.

    Raises:
        InvalidValueError: they look at each other.
    """
    by_name = {run.name: run for run in runs}
    try:
        names = list(TopologicalSorter({run.name: run.streams for run in runs}).static_order())
    except CycleError as error:
        circle = " at ".join(reversed(error.args[1]))
        raise InvalidValueError(
            f"{circle}: these look at each other; give one another name by NAME=RUN"
        ) from None
    return tuple(by_name[name] for name in names if name in by_name)


def describe_trained(
    run: TrainedRun, producers: Mapping[str, ProducerSpec], *, sparse_top_k: int
) -> ProducerSpec:
    """Give what a trained teacher fills: one thing a clip, of each output.

    Args:
        run: the teacher.
        producers: all that the store holds or will hold when the teacher looks.
        sparse_top_k: how many of the largest softmax logits are kept; 0 keeps all.

    Raises:
        InvalidValueError: the store lacks something that it looks at, or holds it in another form.
    """
    stored = producers.get(run.name)
    fingerprint = build_fingerprint(run, find_sources(run, producers), sparse_top_k)
    if stored is not None and fingerprint == _without_outputs(stored.fingerprint):
        return stored
    from avkd.pipeline.extraction.trained_network import load_trained

    return load_trained(run.request, producers, sparse_top_k=sparse_top_k).spec


def find_sources(run: TrainedRun, producers: Mapping[str, ProducerSpec]) -> Mapping[str, Source]:
    """Find the output that each stream is.

    Raises:
        InvalidValueError: it is not there, or not what the run learned from.
    """
    return {stream: _find_source(run, stream, producers) for stream in run.streams}


def build_fingerprint(
    run: TrainedRun,
    sources: Mapping[str, Source],
    sparse_top_k: int,
    weights_sha256: str = "",
) -> dict[str, object]:
    """Give all that decides the bytes but the outputs, which follow from it."""
    described = run.description
    # class_names: of runs from before the targets themselves held them.
    names = ("inputs", "targets", "class_names", "labels")
    rest = {name: described[name] for name in names if name in described}
    return {
        "weights_sha256": weights_sha256 or digest_file(_run_dir(run.request).weights_file),
        "encoder": described["encoder"],
        "method": described["method"],
        "description_sha256": fingerprint_digest(rest),
        "inputs": {
            stream: fingerprint_digest(source.producer.fingerprint)
            for stream, source in sources.items()
        },
        "sparse_top_k": sparse_top_k,
        "batch_size": run.request.batch_size,
        "runtime": run.request.runtime,
        "precision": run.request.precision,
        "device": run.request.device,
        "num_threads": TORCH_CPU_THREADS,
        "extraction_version": TRAINED_VERSION,
    }


def build_spec(
    name: str, fingerprint: Mapping[str, object], outputs: Sequence[OutputSpec]
) -> ProducerSpec:
    """Give the producer of a fingerprint and the outputs that follow from it."""
    listed = [
        {"name": output.name, "shape": list(output.shape), "dtype": output.dtype}
        for output in outputs
    ]
    return ProducerSpec(
        kind="teacher",
        name=name,
        outputs=tuple(outputs),
        fingerprint={**fingerprint, _OUTPUTS: listed},
    )


def list_outputs(
    sizes: Mapping[str, int],
    sources: Mapping[str, Source],
    class_names: tuple[str, ...],
    *,
    excludes: bool,
) -> tuple[TeacherOutput, ...]:
    """Give outputs of known sizes: ``embedding``, and logits of the rest.

    float32 where the teacher looks at vectors alone: what they hold is exact to begin with.

    Args:
        sizes: by output.
        sources: of the streams.
        class_names: of all logits.
        excludes: whether a clip has one class, or any number of them.
    """
    is_exact = all(is_vector(source.producer) for source in sources.values())
    return tuple(
        TeacherOutput(
            name=name,
            shape=(size,),
            axes=("feature",) if name == EMBEDDING else ("class",),
            class_names=() if name == EMBEDDING else class_names,
            activation="none" if name == EMBEDDING else "softmax" if excludes else "sigmoid",
            dtype="float32" if is_exact else "float16",
        )
        for name, size in sizes.items()
    )


def _find_source(run: TrainedRun, stream: str, producers: Mapping[str, ProducerSpec]) -> Source:
    producer = producers.get(stream)
    # What was decoded while training lies in no store, so its form is not known.
    learned = run.description["inputs"].get(stream)
    if producer is None:
        raise InvalidValueError(
            f"teacher {run.name!r} looks at {stream!r}, which the store does not hold; make it "
            f"with {_name_option(stream, learned)}"
        )
    name = EMBEDDING if producer.kind == "teacher" else stream
    output = next((each for each in producer.outputs if each.name == name), None)
    if output is None:
        raise InvalidValueError(
            f"teacher {run.name!r} looks at the embedding of {stream!r}, which stores none; "
            "store a teacher that does as that name"
        )
    if learned is not None:
        _refuse_other_form(run, stream, learned, output)
    return Source(producer=producer, output=output)


def _name_option(stream: str, learned: Mapping[str, Any] | None) -> str:
    """Give the option of extract-teacher that makes what a run learned from."""
    shape = learned["shape"] if learned else ()
    if stream == WAVEFORM:
        rate = f" --sample-rate {learned['sample_rate']}" if learned else ""
        return f"--inputs waveform{rate}"
    if stream == FRAMES:
        return f"--frames {shape[2]}x{shape[1]}" if shape else "--frames WIDTHxHEIGHT"
    teacher = f"--teacher {stream}=FAMILY"
    return teacher if len(shape) > 1 else f"--vector {stream}, or {teacher} if it is a teacher"


def _refuse_other_form(
    run: TrainedRun, stream: str, learned: Mapping[str, Any], output: OutputSpec
) -> None:
    shape, rate = tuple(learned["shape"]), learned["sample_rate"]
    num_frames = learned.get("frames_per_step", 1)
    stored_rate = output.attributes.get("sample_rate", 0)
    stored_frames = output.attributes.get("frames_per_step", 1)
    has_same_axes = len(shape) == len(output.shape) and all(
        was == is_now or axis in _FREE_AXES
        for was, is_now, axis in zip(shape, output.shape, output.axes, strict=True)
    )
    if not has_same_axes or (rate, num_frames) != (stored_rate, stored_frames):
        raise InvalidValueError(
            f"teacher {run.name!r} learned from {stream!r} of "
            f"{_say_form(shape, rate, num_frames)}, but the store's is of "
            f"{_say_form(output.shape, stored_rate, stored_frames)}; "
            "extract it in that form into another store, or train on this one"
        )


def _say_form(shape: tuple[int, ...], sample_rate: object, frames_per_step: object) -> str:
    rate = f" at {sample_rate} Hz" if sample_rate else ""
    return f"shape {shape}{rate}" + (f", {frames_per_step} a step" if frames_per_step != 1 else "")


def _without_outputs(fingerprint: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in fingerprint.items() if name != _OUTPUTS}


def _run_dir(request: TeacherRequest) -> RunDir:
    return RunDir(path=Path(request.family).expanduser())
