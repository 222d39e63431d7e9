"""The state of a training run between two updates, on disk.

The position is the number of updates done: batches, learning rate and random numbers of an update
follow from the recipe and that number, so that weights and the optimiser's moments are all else;
but a recipe that seeds once has the state of the random numbers kept too.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from avkd.errors import CorruptStoreError, StoreUnwritableError
from avkd.pipeline.run_dir import write_text
from avkd.pipeline.training.tensor_files import read_tensors, write_tensors

FORMAT_VERSION = 1
STATE_FILE = "training.json"
STUDENT_FILE = "student.safetensors"
OPTIMISER_FILE = "optimiser.safetensors"
RANDOM_FILE = "random.safetensors"


@dataclass(frozen=True, kw_only=True)
class TrainingState:
    """Everything that changes from update to update."""

    student: nn.Module
    optimiser: Optimizer
    scaler: Any = None
    """Of float16 training: something with state_dict and load_state_dict."""
    keeps_random: bool = False
    """Whether torch's global generator goes on from update to update."""


def save_checkpoint(folder: Path, update: int, state: TrainingState) -> Path:
    """Write the state after that many updates; it replaces the checkpoints before it."""
    place = folder / f"update-{update:09d}"
    temporary = folder / f".{place.name}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
    except OSError as error:
        raise StoreUnwritableError(
            f"{folder} cannot be written: {error.strerror}; free space or permissions"
        ) from error
    moments, plain = _flatten_optimiser(state.optimiser)
    write_tensors(temporary / STUDENT_FILE, state.student.state_dict())
    write_tensors(temporary / OPTIMISER_FILE, moments)
    if state.keeps_random:
        write_tensors(temporary / RANDOM_FILE, {"global": torch.get_rng_state()})
    document = {
        "format_version": FORMAT_VERSION,
        "update": update,
        "optimiser": plain,
        "scaler": None if state.scaler is None else state.scaler.state_dict(),
    }
    write_text(temporary / STATE_FILE, json.dumps(document, indent=2))
    if place.exists():  # the same update again, after the files were damaged
        shutil.rmtree(place)
    temporary.rename(place)
    for older in _checkpoints(folder):
        if older != place:
            shutil.rmtree(older)
    return place


def load_checkpoint(folder: Path, state: TrainingState) -> int:
    """Put the latest state into student and optimiser; the number of updates done, 0 for none.

    Raises:
        CorruptStoreError: The checkpoint is damaged, or of another student.
    """
    places = _checkpoints(folder)
    if not places:
        return 0
    place = places[-1]
    try:
        document = json.loads((place / STATE_FILE).read_text())
        state.student.load_state_dict(read_tensors(place / STUDENT_FILE))
        moments = read_tensors(place / OPTIMISER_FILE)
        state.optimiser.load_state_dict(_unflatten_optimiser(moments, document["optimiser"]))
        if state.scaler is not None:
            state.scaler.load_state_dict(document["scaler"])
        if state.keeps_random:
            torch.set_rng_state(read_tensors(place / RANDOM_FILE)["global"])
        return int(document["update"])
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise CorruptStoreError(
            f"checkpoint {place} is damaged ({reason}); delete it to begin again"
        ) from error


def remove_checkpoints(folder: Path) -> None:
    """Forget all states."""
    shutil.rmtree(folder, ignore_errors=True)


def _checkpoints(folder: Path) -> list[Path]:
    """Complete ones, oldest first: a folder gets its name when all files are in it."""
    return sorted(folder.glob("update-*"))


def _flatten_optimiser(
    optimiser: Optimizer,
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Tensors by ``<parameter>.<name>``, and all that is plain."""
    full = optimiser.state_dict()
    tensors: dict[str, torch.Tensor] = {}
    plain: dict[str, dict[str, Any]] = {}
    for index, values in full["state"].items():
        for name, value in values.items():
            if isinstance(value, torch.Tensor):
                tensors[f"{index}.{name}"] = value
            else:
                plain.setdefault(str(index), {})[name] = value
    return tensors, {"state": plain, "param_groups": full["param_groups"]}


def _unflatten_optimiser(
    tensors: dict[str, torch.Tensor], document: dict[str, Any]
) -> dict[str, Any]:
    state: dict[int, dict[str, Any]] = {}
    for index, values in document["state"].items():
        state.setdefault(int(index), {}).update(values)
    for key, tensor in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = tensor
    return {"state": state, "param_groups": document["param_groups"]}
