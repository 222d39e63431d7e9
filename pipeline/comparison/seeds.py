"""Runs of several seeds in one folder, as training leaves them: ``RUN/seed-0``, ``RUN/seed-1``."""

import re
from pathlib import Path

from avkd.errors import StoreNotFoundError
from avkd.pipeline.run_dir import RunDir

_SEED = re.compile(r"seed-(\d+)")


def find_runs(folder: str) -> tuple[str, ...]:
    """The folder if it is a run, or the runs of seeds in it, by seed.

    Raises:
        StoreNotFoundError: It is neither.
    """
    if is_run(folder):
        return (folder,)
    path = Path(folder)
    seeds = {
        int(match[1]): str(path / match[0])
        for child in (path.iterdir() if path.is_dir() else ())
        if (match := _SEED.fullmatch(child.name)) and is_run(str(child))
    }
    if not seeds:
        raise StoreNotFoundError(
            f"no run at {folder}, nor runs of seeds in it; make one with avkd train-student"
        )
    return tuple(seeds[seed] for seed in sorted(seeds))


def is_seed_folder(name: str) -> bool:
    """Whether a folder's name is one that training gives to a seed."""
    return _SEED.fullmatch(name) is not None


def is_run(folder: str) -> bool:
    """Whether a run lies there, finished or not."""
    return RunDir(path=Path(folder)).recipe_file.exists()
