"""Runs as they are given on a command line, and what to call the student that each is of."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from avkd.pipeline.comparison.seeds import find_runs, is_seed_folder


def find_all_runs(runs: Sequence[str]) -> tuple[str, ...]:
    """All runs, each once, where folders of seeds may be among those given.

    Raises:
        StoreNotFoundError: There is no run somewhere.
    """
    return tuple(dict.fromkeys(each for run in runs for each in find_runs(run)))


def name_students(runs: Sequence[str]) -> dict[str, str]:
    """The student that each run is a seed of, by run: the last parts of its folder.

    There are as many parts as tell students apart.
    """
    folders = {run: _student_folder(run) for run in runs}
    names = {folder: folder.name for folder in folders.values()}
    for length in range(2, max((len(folder.parts) for folder in names), default=0) + 1):
        shared = {name for name, number in Counter(names.values()).items() if number > 1}
        names |= {f: "/".join(f.parts[-length:]) for f in names if names[f] in shared}
    return {run: names[folder] for run, folder in folders.items()}


def _student_folder(run: str) -> Path:
    """Of all its seeds."""
    path = Path(run).resolve()
    return path.parent if is_seed_folder(path.name) else path
