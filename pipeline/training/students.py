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
from avkd.stages.methods.batch import LabelKind, LearningShape, TargetShape
from avkd.stages.methods.clip_student import ClipStudent, deployed_student
from avkd.stages.methods.registry import Method, build_method
from avkd.stages.methods.student import Student

FORMAT_VERSION = 2


@dataclass(frozen=True, kw_only=True)
class LoadedStudent:
    """A finished student that says one thing of a clip."""

    student: ClipStudent
    """In evaluation mode."""
    recipe: Recipe
    class_names: tuple[str, ...]
    label_kind: LabelKind
    """``classes`` if its logits are of classes that do not exclude each other."""
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
    class_names: Mapping[str, tuple[str, ...]],
    label_kind: LabelKind = "none",
) -> None:
    """Write the weights, then the description that makes the run finished.

    ``class_names`` are of the teachers' logits, the labels' are in ``learning``.
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
        "class_names": class_names,
        "labels": {"kind": label_kind, "class_names": learning.class_names},
    }
    write_tensors(run.weights_file, student.state_dict())
    write_text(run.student_file, json.dumps(description, indent=2))


def load_student(run: str | Path) -> tuple[Student, Recipe]:
    """The finished student of a run that hears over time, in evaluation mode, and its recipe.

    Raises:
        StoreNotFoundError: There is no run, or it is not finished.
        CorruptStoreError: Weights and description do not fit.
        InvalidValueError: It is a student that says one thing of a clip.
    """
    folder, recipe = _open_finished(run)
    student = _load_module(folder, recipe)
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
        InvalidValueError: It is a student that speaks of steps.
    """
    folder, recipe = _open_finished(run)
    module = _load_module(folder, recipe)
    if isinstance(module, Student):
        raise InvalidValueError(
            f"the student of {run} hears over time and gives no logits of a clip; "
            "take one whose encoder gives one embedding a clip"
        )
    description = json.loads(folder.student_file.read_text())
    labels = description["labels"]
    return LoadedStudent(
        student=deployed_student(module),
        recipe=recipe,
        class_names=_name_classes(description),
        label_kind=labels["kind"],
        weights_sha256=hashlib.sha256(folder.weights_file.read_bytes()).hexdigest(),
        description=description,
    )


def read_learning_shape(run: RunDir) -> LearningShape:
    """What the finished student of a run was built for."""
    description = json.loads(run.student_file.read_text())
    inputs = description.get("inputs", {})
    return LearningShape(
        targets={name: TargetShape(**shape) for name, shape in description["targets"].items()},
        inputs={
            name: InputShape(shape=tuple(shape["shape"]), sample_rate=shape["sample_rate"])
            for name, shape in inputs.items()
        },
        class_names=tuple(description.get("labels", {}).get("class_names", ())),
    )


def _describe_module(student: nn.Module) -> dict[str, object]:
    if isinstance(student, Student):
        return {
            "sample_rate": student.encoder.sample_rate,
            "layers": student.layer_names,
            "feature_layer": student.encoder.feature_layer,
        }
    deployed = deployed_student(student)
    return {"streams": deployed.streams, "embedding_size": deployed.encoder.embedding_size}


def _name_classes(description: Mapping[str, Any]) -> tuple[str, ...]:
    """The labels', or those of the one teacher that was learned from."""
    names = description["labels"]["class_names"]
    teachers = list(description["class_names"].values())
    return tuple(names or (teachers[0] if len(teachers) == 1 else ()))


def _open_finished(run: str | Path) -> tuple[RunDir, Recipe]:
    folder = RunDir(path=Path(run))
    recipe = folder.read_recipe()
    if not folder.is_finished:
        raise StoreNotFoundError(f"the run {run} is not finished; go on with the same command")
    return folder, recipe


def _load_module(folder: RunDir, recipe: Recipe) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        _, student = build_student(recipe, read_learning_shape(folder))
    try:
        student.load_state_dict(read_tensors(folder.weights_file))
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise CorruptStoreError(
            f"{folder.weights_file} does not fit student.json: {reason}; train again"
        ) from error
    return student.eval()
