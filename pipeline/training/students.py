"""A trained student on disk: weights as safetensors, the rest as JSON."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from avkd import __version__
from avkd.errors import CorruptStoreError, InvalidValueError, StoreNotFoundError
from avkd.pipeline.recipe import Recipe
from avkd.pipeline.run_dir import RunDir, write_text
from avkd.pipeline.training.tensor_files import read_tensors, write_tensors
from avkd.stages.encoders.registry import ENCODERS, Encoder, build_encoder
from avkd.stages.encoders.streams import (
    STREAM_ENCODERS,
    InputShape,
    StreamEncoder,
    build_stream_encoder,
)
from avkd.stages.methods.batch import LabelKind, LearningShape, Needs, TargetShape
from avkd.stages.methods.box_student import BoxStudent
from avkd.stages.methods.clip_student import ClipStudent, deployed_student
from avkd.stages.methods.counting import CountingStudent
from avkd.stages.methods.dense_student import DenseStudent
from avkd.stages.methods.registry import Method, build_method
from avkd.stages.methods.student import Student

FORMAT_VERSION = 4
"""Of student.json. Before 4 nothing was said of boxes, maps and the length of a step; before 3 the
names of a teacher's classes lay beside its target, not in it."""


@dataclass(frozen=True, kw_only=True)
class LoadedStudent:
    """A finished student that says one thing of a clip."""

    student: ClipStudent
    """In evaluation mode."""
    recipe: Recipe
    class_names: tuple[str, ...]
    label_kind: LabelKind
    """``classes`` if its logits are of classes that do not exclude each other."""
    taught_by: tuple[str, ...]
    """The teachers whose logits it learned from."""
    weights_sha256: str
    description: Mapping[str, Any]
    """What student.json says."""


@dataclass(frozen=True, kw_only=True)
class LoadedBoxStudent:
    """A finished student that says where boxes are, as its ``say_boxes`` tells.

    Its ``class_names`` are those of the boxes, ``teachers`` are whose boxes it learned from.
    """

    student: BoxStudent
    """In evaluation mode."""
    recipe: Recipe
    weights_sha256: str
    description: Mapping[str, Any]
    """What student.json says."""


@dataclass(frozen=True, kw_only=True)
class LoadedDenseStudent:
    """A finished student that says the class of every pixel, as its ``say_class_maps`` tells."""

    student: DenseStudent
    """In evaluation mode."""
    recipe: Recipe
    weights_sha256: str
    description: Mapping[str, Any]
    """What student.json says."""


def heard_sample_rate(recipe: Recipe) -> int | None:
    """The sample rate of the recipe's encoder of sound; None if it takes the store's.

    Raises:
        UnknownNameError: There is no such encoder.
    """
    if recipe.encoder.name in STREAM_ENCODERS.names():
        return None
    return build_encoder(recipe.encoder.name, **recipe.encoder.options).sample_rate


def build_recipe_encoder(
    recipe: Recipe, shapes: Mapping[str, InputShape]
) -> Encoder | StreamEncoder:
    """The recipe's encoder with fresh weights from the recipe's seed."""
    torch.manual_seed(recipe.seed)
    name, options = recipe.encoder.name, recipe.encoder.options
    if name in STREAM_ENCODERS.names() and name not in ENCODERS.names():
        return build_stream_encoder(name, shapes, **options)
    return build_encoder(name, **options)


def build_student(recipe: Recipe, learning: LearningShape) -> tuple[Method, nn.Module]:
    """The recipe's method, and its student with fresh weights from the recipe's seed.

    torch's global generator is left where building left it: a recipe that seeds once goes on there.
    """
    method = build_method(recipe.method.name, **recipe.method.options)
    encoder = build_recipe_encoder(recipe, learning.inputs)
    return method, method.build_student(encoder, learning)


def save_student(
    run: RunDir,
    student: nn.Module,
    learning: LearningShape,
    label_kind: LabelKind = "none",
    *,
    initialised_from: Mapping[str, str] | None = None,
) -> None:
    """Write the weights, then the description that makes the run finished.

    ``initialised_from`` is what ``InitialWeights`` says of the run whose encoder it started from.
    """
    recipe = run.read_recipe()
    description = {
        "format_version": FORMAT_VERSION,
        "created_by": f"avkd {__version__}",
        "encoder": asdict(recipe.encoder),
        "method": asdict(recipe.method),
        **_describe_module(student),
        "num_parameters": sum(p.numel() for p in student.parameters()),
        "targets": {name: asdict(shape) for name, shape in learning.targets.items()},
        "inputs": {name: asdict(shape) for name, shape in learning.inputs.items()},
        "labels": {"kind": label_kind, "class_names": learning.class_names},
    }
    if initialised_from is not None:
        description["initialised_from"] = initialised_from
    write_tensors(run.weights_file, student.state_dict())
    write_text(run.student_file, json.dumps(description, indent=2))


def load_student(run: str | Path) -> tuple[Student, Recipe]:
    """The finished student of a run that hears over time, in evaluation mode, and its recipe.

    Raises:
        StoreNotFoundError: There is no run, or it is not finished.
        CorruptStoreError: Weights and description do not fit.
        InvalidValueError: It is a student that says one thing of a clip, or where boxes are.
    """
    folder, recipe = open_finished(run)
    student, _ = _load_module(folder, recipe)
    if isinstance(student, BoxStudent):
        raise InvalidValueError(
            f"the student of {run} says where boxes are and has no layers to probe; "
            "score its boxes instead"
        )
    _refuse_dense(run, student)
    _refuse_counting(run, student)
    if not isinstance(student, Student):
        raise InvalidValueError(
            f"the student of {run} says one thing of a clip and cannot be probed by layers; "
            "evaluate it on the rows of a store"
        )
    return student, recipe


def load_clip_student(run: str | Path) -> LoadedStudent:
    """The finished student, or teacher, of a run that says one thing of a clip.

    Raises:
        StoreNotFoundError: There is no run, or it is not finished.
        CorruptStoreError: Weights and description do not fit.
        InvalidValueError: It is a student that speaks of steps, or of boxes.
    """
    folder, recipe = open_finished(run)
    module, needs = _load_module(folder, recipe)
    if isinstance(module, Student):
        raise InvalidValueError(
            f"the student of {run} hears over time and gives no logits of a clip; "
            "take one whose encoder gives one embedding a clip"
        )
    if isinstance(module, BoxStudent):
        raise InvalidValueError(
            f"the student of {run} says where boxes are and gives no logits of a clip; "
            "score its boxes instead"
        )
    _refuse_dense(run, module)
    _refuse_counting(run, module)
    description = json.loads(folder.student_file.read_text())
    return LoadedStudent(
        student=deployed_student(module),
        recipe=recipe,
        class_names=_name_classes(read_learning_shape(folder), needs),
        label_kind=description["labels"]["kind"],
        taught_by=needs.logits_of,
        weights_sha256=hashlib.sha256(folder.weights_file.read_bytes()).hexdigest(),
        description=description,
    )


def load_box_student(run: str | Path) -> LoadedBoxStudent:
    """The finished student of a run that says where boxes are.

    Raises:
        StoreNotFoundError: There is no run, or it is not finished.
        CorruptStoreError: Weights and description do not fit.
        InvalidValueError: It is a student of another kind.
    """
    folder, recipe = open_finished(run)
    module, _ = _load_module(folder, recipe)
    _refuse_dense(run, module)
    _refuse_counting(run, module)
    if not isinstance(module, BoxStudent):
        raise InvalidValueError(
            f"the student of {run} says what is heard, not where; "
            "take one that was trained on boxes, such as stereosoundnet"
        )
    return LoadedBoxStudent(
        student=module,
        recipe=recipe,
        weights_sha256=hashlib.sha256(folder.weights_file.read_bytes()).hexdigest(),
        description=json.loads(folder.student_file.read_text()),
    )


def open_finished(run: str | Path) -> tuple[RunDir, Recipe]:
    """The folder of a run, which must be finished, and its recipe.

    Raises:
        StoreNotFoundError: There is no run, or it is not finished.
    """
    folder = RunDir(path=Path(run))
    recipe = folder.read_recipe()
    if not folder.is_finished:
        raise StoreNotFoundError(f"the run {run} is not finished; go on with the same command")
    return folder, recipe


def load_dense_student(run: str | Path) -> LoadedDenseStudent:
    """The finished student of a run that says the class of every pixel.

    Raises:
        StoreNotFoundError: There is no run, or it is not finished.
        CorruptStoreError: Weights and description do not fit.
        InvalidValueError: It is a student of another kind.
    """
    folder, recipe = open_finished(run)
    module, _ = _load_module(folder, recipe)
    if not isinstance(module, DenseStudent):
        raise InvalidValueError(
            f"the student of {run} says no classes of pixels; "
            "take one that was trained on class maps, such as mke_dense"
        )
    return LoadedDenseStudent(
        student=module,
        recipe=recipe,
        weights_sha256=hashlib.sha256(folder.weights_file.read_bytes()).hexdigest(),
        description=json.loads(folder.student_file.read_text()),
    )


def read_learning_shape(run: RunDir) -> LearningShape:
    """What the finished student of a run was built for."""
    description = json.loads(run.student_file.read_text())
    named: Mapping[str, Any] = description.get("class_names", {})  # of format 2
    return LearningShape(
        targets={
            name: _read_target({"class_names": named.get(name, ()), **shape})
            for name, shape in description["targets"].items()
        },
        inputs={
            name: InputShape(**{**shape, "shape": tuple(shape["shape"])})
            for name, shape in description.get("inputs", {}).items()
        },
        class_names=tuple(description.get("labels", {}).get("class_names", ())),
    )


def _read_target(described: Mapping[str, Any]) -> TargetShape:
    """A target from JSON, which knows no tuples."""
    listed = ("class_names", "box_classes", "map_classes")
    names = {key: tuple(described.get(key, ())) for key in listed}
    names |= {"map_size": tuple(described.get("map_size", (0, 0)))}
    maps = {name: tuple(shape) for name, shape in described.get("map_shapes", {}).items()}
    return TargetShape(**{**described, **names, "map_shapes": maps})


def _describe_module(student: nn.Module) -> dict[str, object]:
    if isinstance(student, Student):
        return {
            "sample_rate": student.encoder.sample_rate,
            "layers": student.layer_names,
            "feature_layer": student.encoder.feature_layer,
        }
    if isinstance(student, BoxStudent | DenseStudent | CountingStudent):
        return student.describe()
    deployed = deployed_student(student)
    return {"streams": deployed.streams, "embedding_size": deployed.encoder.embedding_size}


def _refuse_dense(run: str | Path, module: nn.Module) -> None:
    if isinstance(module, DenseStudent):
        raise InvalidValueError(
            f"the student of {run} says the classes of pixels; score it with --class-maps"
        )


def _refuse_counting(run: str | Path, module: nn.Module) -> None:
    if isinstance(module, CountingStudent):
        raise InvalidValueError(
            f"the student of {run} counts boxes and says neither where they are nor what is heard; "
            "train another from its encoder with --init-from"
        )


def _name_classes(learning: LearningShape, needs: Needs) -> tuple[str, ...]:
    """The labels', or where none were learned from those of the one teacher that was."""
    if needs.labels == "none" and len(needs.logits_of) == 1:
        return learning.targets[needs.logits_of[0]].class_names or learning.class_names
    return learning.class_names


def _load_module(folder: RunDir, recipe: Recipe) -> tuple[nn.Module, Needs]:
    """The student in evaluation mode, and what it was trained on."""
    with torch.random.fork_rng(devices=[]):
        method, student = build_student(recipe, read_learning_shape(folder))
    try:
        student.load_state_dict(read_tensors(folder.weights_file))
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise CorruptStoreError(
            f"{folder.weights_file} does not fit student.json: {reason}; train again"
        ) from error
    return student.eval(), method.needs(student)
