"""What a run's folder holds, and what keeps two different runs apart.

recipe.json            the resolved recipe
run.json               the store and the teachers that the run learns from, what it started from
notes.txt              what a user should know of the data; not there where nothing is to be said
metrics.jsonl          one line an update, one an epoch's validation
tensorboard/           the same for TensorBoard
checkpoints/           the last state from which the run goes on; gone when it is finished
student.safetensors    the weights; written at the end
student.json           how to build the student that they fit; its presence means finished
evaluation-<name>.json a report of avkd evaluate
predictions-<name>.parquet what it predicted of rows, for avkd compare
boxes-*.parquet        where it said that things are, and teachers beside it, for avkd report
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avkd.errors import InvalidValueError, StoreNotFoundError, StoreUnwritableError
from avkd.pipeline.recipe import Recipe, differing_fields, flatten, from_json, to_json


@dataclass(frozen=True, kw_only=True)
class RunDir:
    """The places in a run's folder."""

    path: Path

    @property
    def recipe_file(self) -> Path:
        """The resolved recipe."""
        return self.path / "recipe.json"

    @property
    def origin_file(self) -> Path:
        """Store and teachers."""
        return self.path / "run.json"

    @property
    def metrics_file(self) -> Path:
        """Losses and times."""
        return self.path / "metrics.jsonl"

    @property
    def tensorboard(self) -> Path:
        """Event files."""
        return self.path / "tensorboard"

    @property
    def checkpoints(self) -> Path:
        """A folder for each checkpoint."""
        return self.path / "checkpoints"

    @property
    def weights_file(self) -> Path:
        """The finished student's weights."""
        return self.path / "student.safetensors"

    @property
    def student_file(self) -> Path:
        """The finished student's description."""
        return self.path / "student.json"

    @property
    def is_finished(self) -> bool:
        """Whether the student is there."""
        return self.student_file.exists()

    def evaluation_file(self, name: str) -> Path:
        """A report of an evaluation."""
        return self.path / f"evaluation-{name}.json"

    def read_recipe(self) -> Recipe:
        """The recipe of the run.

        Raises:
            StoreNotFoundError: There is no run at that place.
        """
        try:
            return from_json(self.recipe_file.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            raise StoreNotFoundError(
                f"no run at {self.path}; make one with avkd train-student"
            ) from None

    def read_origin(self) -> dict[str, Any]:
        """What the run learns from: ``store``, ``teachers`` and the rest of run.json."""
        origin: dict[str, Any] = json.loads(self.origin_file.read_text())
        return origin


def open_run(path: str, recipe: Recipe, origin: Mapping[str, object]) -> RunDir:
    """Begin a run or find it again; a finished one whatever became of its store.

    ``origin`` is the store's digest, the teachers with their fingerprints and the like: what the
    run learns from.

    Raises:
        InvalidValueError: The folder holds a run of another recipe, or from other targets.
        StoreUnwritableError: The folder cannot be written.
    """
    run = RunDir(path=Path(path))
    if run.recipe_file.exists():
        _refuse_other_recipe(run, recipe)
    if run.is_finished:
        return run
    if run.origin_file.exists():
        _refuse_other_origin(run, origin)
    if not run.origin_file.exists():
        write_text(run.recipe_file, to_json(recipe))
        write_text(run.origin_file, json.dumps(origin, indent=2))
    return run


def write_text(file: Path, text: str) -> None:
    """Put a whole file in its place at once.

    Raises:
        StoreUnwritableError: It cannot be written.
    """
    write_bytes(file, text.encode(), "choose another run folder")


def write_bytes(file: Path, data: bytes, way_out: str) -> None:
    """Put a whole file in its place at once; ``way_out`` ends the message where that fails.

    Raises:
        StoreUnwritableError: It cannot be written.
    """
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(file)
    except OSError as error:
        raise StoreUnwritableError(
            f"{file} cannot be written: {error.strerror or error}; {way_out}"
        ) from error


def _refuse_other_recipe(run: RunDir, recipe: Recipe) -> None:
    there = run.read_recipe()
    names = differing_fields(there, recipe)
    if not names:
        return
    old, new = flatten(there), flatten(recipe)
    changes = ", ".join(f"{n} {old.get(n)} there, {new.get(n)} here" for n in names)
    raise InvalidValueError(
        f"{run.path} is a run of another recipe ({changes}); give the same or another folder"
    )


def _refuse_other_origin(run: RunDir, origin: Mapping[str, object]) -> None:
    there = run.read_origin()
    here = json.loads(json.dumps(origin))
    every = dict.fromkeys((*here, *there))
    names = [n for n in every if n != "store" and there.get(n) != here.get(n)]
    if names:
        raise InvalidValueError(
            f"{run.path} learns from something else: {', '.join(names)} differ from run.json; "
            "give the store, the teachers and --init-from as it began, or another folder"
        )
