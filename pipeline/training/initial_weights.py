"""A student's first weights: the encoder of another finished run, where training starts from one.

MM-DistillNet starts from the encoder of a pretext task, which counts cars [S:MM-note]. Heads are
the task's and are not taken.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from avkd.errors import InvalidValueError
from avkd.pipeline.comparison.seeds import find_runs, is_run
from avkd.pipeline.recipe import Recipe, differing_fields, flatten, to_json
from avkd.pipeline.training.students import open_finished
from avkd.pipeline.training.tensor_files import read_tensors

ENCODER = "encoder."
"""How the names of an encoder's tensors begin, and of its fields in a recipe."""
MAX_FIELDS = 3
"""That a note tells; more are in the runs' recipes."""


@dataclass(frozen=True, kw_only=True)
class InitialWeights:
    """The encoder of a finished run."""

    run: str
    recipe: Recipe
    weights_sha256: str
    """Of the run's file, heads included."""
    tensors: Mapping[str, Tensor]
    """By the names that they have in the student, ``encoder.`` included."""

    @property
    def recipe_name(self) -> str:
        """With its variant."""
        return f"{self.recipe.name}/{self.recipe.variant}"

    def describe(self) -> dict[str, str]:
        """What a run that starts from it is told apart by: no path, which is the machine's.

        Of runs of one recipe with several seeds only ``weights_sha256`` differs.
        """
        seedless = to_json(replace(self.recipe, seed=0))
        return {
            "recipe": self.recipe_name,
            "recipe_sha256": hashlib.sha256(seedless.encode()).hexdigest(),
            "weights_sha256": self.weights_sha256,
        }


def choose_initial_runs(init_from: str, seeds: Sequence[int]) -> tuple[str, ...]:
    """The run that each seed starts from, all of them finished; empty where none is asked for.

    A run is every seed's; of a folder of seeds each has its own.

    Raises:
        StoreNotFoundError: There is no run, or one is not finished.
        InvalidValueError: The folder lacks a seed.
    """
    if not init_from:
        return ("",) * len(seeds)
    chosen = tuple(_choose_run(init_from, seed) for seed in seeds)
    for run in dict.fromkeys(chosen):
        open_finished(run)
    return chosen


def read_initial_weights(run: str) -> InitialWeights:
    """The encoder of a finished run.

    Raises:
        StoreNotFoundError: There is no run, or it is not finished.
        CorruptStoreError: Its weights cannot be read.
        InvalidValueError: Its student has no encoder of its own.
    """
    folder, recipe = open_finished(run)
    found = read_tensors(folder.weights_file)
    tensors = {name: found[name] for name in sorted(found) if name.startswith(ENCODER)}
    if not tensors:
        raise InvalidValueError(
            f"the student of {run} (method {recipe.method.name!r}) has no encoder of its own to "
            "start from; take a run of one student"
        )
    return InitialWeights(
        run=run,
        recipe=recipe,
        weights_sha256=hashlib.sha256(folder.weights_file.read_bytes()).hexdigest(),
        tensors=tensors,
    )


@torch.no_grad()
def start_encoder(student: nn.Module, initial: InitialWeights) -> None:
    """Put every tensor of the other encoder into the student's of that name.

    Those that only one of the two has are left as they are; ``note_initial`` tells of them.

    Raises:
        InvalidValueError: Tensors of one name have different shapes, or none has the same name.
    """
    own = _encoder_tensors(student)
    for name, tensor in own.items():
        if name in initial.tensors and initial.tensors[name].shape != tensor.shape:
            raise InvalidValueError(
                f"{name} is {_tell_shape(initial.tensors[name])} in {initial.run} but "
                f"{_tell_shape(tensor)} here; give both the same encoder with the same options"
            )
    if not any(name in initial.tensors for name in own):
        raise InvalidValueError(
            f"the encoder of {initial.run} has no tensor in common with this student's: "
            f"{next(iter(own), 'nothing')} here, {next(iter(initial.tensors))} there; "
            "give both the same encoder"
        )
    for name, tensor in own.items():
        if name in initial.tensors:
            tensor.copy_(initial.tensors[name])


def note_initial(student: nn.Module, recipe: Recipe, initial: InitialWeights) -> tuple[str, ...]:
    """What of the encoder is not as it was in the other run, one line each."""
    own = _encoder_tensors(student)
    fresh = [name for name in own if name not in initial.tensors]
    names = [n for n in differing_fields(initial.recipe, recipe) if n.startswith(ENCODER)]
    there, here = flatten(initial.recipe), flatten(recipe)
    notes = []
    if fresh:
        notes.append(
            f"{len(own) - len(fresh)} of the encoder's {len(own)} tensors start from "
            f"{initial.recipe_name}, the others afresh, such as {fresh[0]}"
        )
    if names:
        told = [f"{n} {there.get(n)} there, {here.get(n)} here" for n in names[:MAX_FIELDS]]
        notes.append(f"the encoder of {initial.recipe_name} was another: {'; '.join(told)}")
    return tuple(notes)


def _choose_run(init_from: str, seed: int) -> str:
    if is_run(init_from):
        return init_from
    runs = {Path(run).name: run for run in find_runs(init_from)}
    if f"seed-{seed}" not in runs:
        raise InvalidValueError(
            f"{init_from} has {', '.join(runs)} but no seed-{seed} to start seed {seed} from; "
            "train that too, or give --init-from one of them for all"
        )
    return runs[f"seed-{seed}"]


def _encoder_tensors(student: nn.Module) -> dict[str, Tensor]:
    """They share the student's memory."""
    return {name: t for name, t in student.state_dict().items() if name.startswith(ENCODER)}


def _tell_shape(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "one number"
