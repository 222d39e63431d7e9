"""What the folder of a training from pictures holds, and what keeps two different ones apart.

Beside what ``stages/teachers/trained_folder.py`` names: ``metrics.jsonl``, ``tensorboard/`` and
``checkpoints/`` as every run has them (``pipeline/run_dir.py``).
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from avkd.errors import CorruptStoreError, InvalidValueError
from avkd.pipeline.picture_training.recipe_values import leaves, recipe_values
from avkd.pipeline.run_dir import RunDir, write_text
from avkd.pipeline.training.checkpoint import remove_checkpoints
from avkd.pipeline.training.tensor_files import write_tensors
from avkd.stages.teachers.detector_folder import DETECTOR_FOLDER
from avkd.stages.teachers.segmenter_folder import SEGMENTER_FOLDER
from avkd.stages.teachers.trained_folder import WEIGHTS_FILE, TrainedFolder

CONTENT = "content_sha256"
_KINDS = (DETECTOR_FOLDER, SEGMENTER_FOLDER)


def refuse_other_run(kind: TrainedFolder, folder: Path, recipe: object) -> None:
    """Refuse a folder that holds another run.

    Raises:
        InvalidValueError: It holds a student's run, a teacher of another kind or recipe.
    """
    if RunDir(path=folder).recipe_file.exists():
        raise InvalidValueError(f"{folder} is a run of avkd train-student; give another folder")
    for other in _KINDS:
        if other != kind and other.is_at(folder):
            raise InvalidValueError(f"{folder} is a {other.what}; give another folder")
    if not (folder / kind.training_file).exists():
        return
    there, here = leaves(_read(kind, folder)["recipe"]), leaves(recipe_values(recipe))
    changes = [
        f"{name} {there.get(name)} there, {here.get(name)} here"
        for name in dict.fromkeys((*there, *here))
        if there.get(name) != here.get(name)
    ]
    if changes:
        raise InvalidValueError(
            f"{folder} is a {kind.what} of another recipe ({', '.join(changes)}); give the same or "
            "another folder"
        )


def begin_run(
    kind: TrainedFolder, folder: Path, recipe: object, content: str, *, truth: str
) -> None:
    """Note down what is trained from what; a run that goes on must have the same.

    Args:
        kind: of the teacher.
        folder: of the run.
        recipe: of the training.
        content: digest of all that is learned from.
        truth: what that is beside pictures, in a word.

    Raises:
        InvalidValueError: The folder's teacher learns from something else.
        StoreUnwritableError: The folder cannot be written.
    """
    if not (folder / kind.training_file).exists():
        document = {"recipe": recipe_values(recipe), CONTENT: content}
        write_text(folder / kind.training_file, json.dumps(document, indent=2))
    elif _read(kind, folder)[CONTENT] != content:
        raise InvalidValueError(
            f"{folder} learns from other pictures or {truth} than these; give the corpus and the "
            "truth that it began with, or another folder"
        )


def finish_run(kind: TrainedFolder, folder: Path, network: nn.Module, description: str) -> None:
    """Write the weights, then the description, which makes the run a teacher."""
    write_tensors(folder / WEIGHTS_FILE, network.state_dict())
    write_text(folder / kind.description_file, description)
    remove_checkpoints(RunDir(path=folder).checkpoints)


def _read(kind: TrainedFolder, folder: Path) -> Mapping[str, Any]:
    file = folder / kind.training_file
    try:
        document: Mapping[str, Any] = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise CorruptStoreError(f"{file}: {error}; take another folder") from error
    return document
