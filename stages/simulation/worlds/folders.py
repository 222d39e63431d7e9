"""The folder of a world: its recordings, each made once, its tables and its description.

``world.json`` is written last. Where an equal one is there, recordings that exist are taken up;
otherwise all are made anew.
"""

import csv
import io
import json
import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TypeAlias, TypeVar

Spec = TypeVar("Spec")
OnProgress: TypeAlias = Callable[[int, int], None]
"""Is told the recordings there are and the recordings planned."""

DESCRIPTION = "world.json"


def describe(world: str, version: int, settings: Mapping[str, object]) -> str:
    """The text of ``world.json``; ``version`` rises whenever equal settings give other files."""
    content = {"world": world, "version": version, "spec": settings}
    return json.dumps(content, indent=2, sort_keys=True) + "\n"


def write_missing(
    planned: Sequence[tuple[Spec, Path]],
    write: Callable[[Spec, Path], None],
    description: Path,
    text: str,
    *,
    num_workers: int,
    on_progress: OnProgress | None,
) -> int:
    """Write the planned files that are not there, and tell how many that were.

    ``description`` is where the world is described: unless it holds ``text``, no file counts as
    being there. The caller writes it when all is done.
    """
    fresh = not description.is_file() or description.read_text(encoding="utf-8") != text
    if fresh:
        # An interrupted run must not leave the old description beside the new files.
        description.unlink(missing_ok=True)
    todo = [(spec, path) for spec, path in planned if fresh or not path.is_file()]
    for folder in {path.parent for _, path in todo}:
        folder.mkdir(parents=True, exist_ok=True)
    num_there = len(planned) - len(todo)
    for num_done, _ in enumerate(_write_all(todo, write, num_workers), start=num_there + 1):
        if on_progress is not None:
            on_progress(num_done, len(planned))
    return len(todo)


def format_table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """The text of a CSV table."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(rows)
    return text.getvalue()


def _write_all(
    todo: Sequence[tuple[Spec, Path]], write: Callable[[Spec, Path], None], num_workers: int
) -> Iterator[None]:
    if num_workers <= 1 or len(todo) < 2:
        for spec, path in todo:
            write(spec, path)
            yield
        return
    # Spawned, not forked: the caller may hold threads of torch.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(num_workers, len(todo)), mp_context=context) as pool:
        yield from pool.map(write, *zip(*todo, strict=True), chunksize=4)
