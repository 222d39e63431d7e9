"""Another part of what a run trained, as a finished run of its own.

A method that trains several networks deploys one of them; this gives the others a folder, from
which `avkd extract-teacher` and `avkd evaluate` can take them. Nothing is trained.
"""

import json
from dataclasses import replace
from pathlib import Path

import torch

from avkd.errors import StoreNotFoundError
from avkd.pipeline.run_dir import RunDir, open_run
from avkd.pipeline.training.students import build_student, read_learning_shape, save_student
from avkd.pipeline.training.tensor_files import read_tensors


def deploy_part(run: str, out: str, part: str) -> None:
    """Make ``out`` a run that deploys that part, with the weights of a finished run.

    ``part`` is what the method's option ``deploy`` takes. Once more is fine and changes nothing.

    Raises:
        StoreNotFoundError: The run is not there or not finished.
        InvalidValueError: The run has no such part, or ``out`` holds another run.
    """
    source = RunDir(path=Path(run))
    recipe = source.read_recipe()
    if not source.is_finished:
        raise StoreNotFoundError(f"the run {run} is not finished; go on with the same command")
    options = {**recipe.method.options, "deploy": part}
    recipe = replace(recipe, method=replace(recipe.method, options=options))
    learning = read_learning_shape(source)
    with torch.random.fork_rng(devices=[]):
        _, module = build_student(recipe, learning)
    module.load_state_dict(read_tensors(source.weights_file))
    described = json.loads(source.student_file.read_text())
    deployed = open_run(out, recipe, source.read_origin())
    # What a store holds of the part is bound to the description as it was written.
    if not (deployed.is_finished and _have_same_weights(deployed, source)):
        save_student(
            deployed,
            module,
            learning,
            described["labels"]["kind"],
            initialised_from=described.get("initialised_from"),
        )


def _have_same_weights(one: RunDir, other: RunDir) -> bool:
    return one.weights_file.read_bytes() == other.weights_file.read_bytes()
