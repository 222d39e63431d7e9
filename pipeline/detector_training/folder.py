"""What the folder of a detector's training holds, and what keeps two different ones apart.

Beside what ``stages/teachers/detector_folder.py`` names: ``metrics.jsonl``, ``tensorboard/`` and
``checkpoints/`` as every run has them (``pipeline/run_dir.py``).
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from avkd.errors import CorruptStoreError, InvalidValueError
from avkd.pipeline.detector_training.planning import PicturePlan
from avkd.pipeline.detector_training.recipe import DetectorRecipe, leaves, recipe_values
from avkd.pipeline.run_dir import RunDir, write_text
from avkd.pipeline.training.checkpoint import remove_checkpoints
from avkd.pipeline.training.tensor_files import write_tensors
from avkd.stages.teachers.detector_folder import (
    DESCRIPTION_FILE,
    TRAINING_FILE,
    WEIGHTS_FILE,
    DetectorDescription,
)

CONTENT = "content_sha256"


def refuse_other_run(folder: Path, recipe: DetectorRecipe) -> None:
    """Refuse a folder that holds another run.

    Raises:
        InvalidValueError: It holds a student's run, or a detector of another recipe.
    """
    if RunDir(path=folder).recipe_file.exists():
        raise InvalidValueError(f"{folder} is a run of avkd train-student; give another folder")
    if not (folder / TRAINING_FILE).exists():
        return
    there, here = leaves(_read(folder)["recipe"]), leaves(recipe_values(recipe))
    changes = [
        f"{name} {there.get(name)} there, {here.get(name)} here"
        for name in dict.fromkeys((*there, *here))
        if there.get(name) != here.get(name)
    ]
    if changes:
        raise InvalidValueError(
            f"{folder} is a detector of another recipe ({', '.join(changes)}); give the same or "
            "another folder"
        )


def begin_run(folder: Path, recipe: DetectorRecipe, plan: PicturePlan) -> None:
    """Note down what is trained from what; a run that goes on must have the same.

    Raises:
        InvalidValueError: The folder's detector learns from other pictures or boxes.
        StoreUnwritableError: The folder cannot be written.
    """
    content = digest_plan(plan)
    if not (folder / TRAINING_FILE).exists():
        document = {"recipe": recipe_values(recipe), CONTENT: content}
        write_text(folder / TRAINING_FILE, json.dumps(document, indent=2))
    elif _read(folder)[CONTENT] != content:
        raise InvalidValueError(
            f"{folder} learns from other pictures or boxes than these; give the corpus and the "
            "truth that it began with, or another folder"
        )


def finish_run(folder: Path, network: nn.Module, description: DetectorDescription) -> None:
    """Write the weights, then the description, which makes the run a teacher."""
    write_tensors(folder / WEIGHTS_FILE, network.state_dict())
    write_text(folder / DESCRIPTION_FILE, description.to_json())
    remove_checkpoints(RunDir(path=folder).checkpoints)


def is_finished(folder: Path) -> bool:
    """Whether the detector is there."""
    return (folder / DESCRIPTION_FILE).exists()


def digest_plan(plan: PicturePlan) -> str:
    """Give the sha256 in hex of what is learned from: recordings, instants and boxes."""
    digest = hashlib.sha256()
    for each in plan.recordings:
        digest.update(f"{each.recording.recording_id}\n".encode())
        for picture in each.pictures:
            digest.update(f"{picture.time_seconds!r} {len(picture.boxes)}\n".encode())
            for array in (picture.boxes, picture.classes, picture.is_ignored):
                digest.update(array.tobytes())
    return digest.hexdigest()


def _read(folder: Path) -> Mapping[str, Any]:
    file = folder / TRAINING_FILE
    try:
        document: Mapping[str, Any] = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise CorruptStoreError(f"{file}: {error}; take another folder") from error
    return document
