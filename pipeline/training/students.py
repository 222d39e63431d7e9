"""A trained student on disk: weights as safetensors, the rest as JSON."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import torch

from avkd import __version__
from avkd.errors import CorruptStoreError, StoreNotFoundError
from avkd.pipeline.recipe import Recipe
from avkd.pipeline.run_dir import RunDir, write_text
from avkd.pipeline.training.tensor_files import read_tensors, write_tensors
from avkd.stages.encoders.registry import Encoder, build_encoder
from avkd.stages.methods.batch import TargetShape
from avkd.stages.methods.registry import Method, build_method
from avkd.stages.methods.student import Student

FORMAT_VERSION = 1


def build_recipe_encoder(recipe: Recipe) -> Encoder:
    """The recipe's encoder with fresh weights from the recipe's seed."""
    torch.manual_seed(recipe.seed)
    return build_encoder(recipe.encoder.name, **recipe.encoder.options)


def build_student(
    recipe: Recipe, encoder: Encoder, targets: Mapping[str, TargetShape]
) -> tuple[Method, Student]:
    """The recipe's method, and its student on that encoder."""
    method = build_method(recipe.method.name, **recipe.method.options)
    student = method.build_student(encoder, targets)
    assert isinstance(student, Student)
    return method, student


def save_student(
    run: RunDir,
    student: Student,
    targets: Mapping[str, TargetShape],
    class_names: Mapping[str, tuple[str, ...]],
) -> None:
    """Write the weights, then the description that makes the run finished."""
    recipe = run.read_recipe()
    description = {
        "format_version": FORMAT_VERSION,
        "created_by": f"avkd {__version__}",
        "encoder": asdict(recipe.encoder),
        "method": asdict(recipe.method),
        "sample_rate": student.encoder.sample_rate,
        "layers": student.layer_names,
        "feature_layer": student.encoder.feature_layer,
        "num_parameters": sum(p.numel() for p in student.parameters()),
        "targets": {name: asdict(shape) for name, shape in targets.items()},
        "class_names": class_names,
    }
    write_tensors(run.weights_file, student.state_dict())
    write_text(run.student_file, json.dumps(description, indent=2))


def load_student(run: str | Path) -> tuple[Student, Recipe]:
    """The finished student of a run, in evaluation mode, and the run's recipe.

    Raises:
        StoreNotFoundError: There is no run, or it is not finished.
        CorruptStoreError: Weights and description do not fit.
    """
    folder = RunDir(path=Path(run))
    recipe = folder.read_recipe()
    if not folder.is_finished:
        raise StoreNotFoundError(
            f"the run {run} is not finished; go on with the same avkd train-student command"
        )
    targets = read_targets(folder)
    with torch.random.fork_rng(devices=[]):
        _, student = build_student(recipe, build_recipe_encoder(recipe), targets)
    try:
        student.load_state_dict(read_tensors(folder.weights_file))
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise CorruptStoreError(
            f"{folder.weights_file} does not fit student.json: {reason}; train again"
        ) from error
    return student.eval(), recipe


def read_targets(run: RunDir) -> dict[str, TargetShape]:
    """What the finished student of a run learned from, by teacher."""
    description = json.loads(run.student_file.read_text())
    return {name: TargetShape(**shape) for name, shape in description["targets"].items()}
