"""The only file that prints: results to stdout, progress and errors to stderr."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

ShowProgress: TypeAlias = Callable[[str, float, float, str], None]
"""Takes what is done, how much of it, of how much (0: not known), and a remark."""


def print_result(text: str) -> None:
    """Print a line of results."""
    sys.stdout.write(f"{text}\n")


def print_json(value: object) -> None:
    """Print results for machines."""
    print_result(json.dumps(value, indent=2, default=_plain))


def print_error(message: str) -> None:
    """Print why a command ends, as one line."""
    sys.stderr.write(f"error: {' '.join(message.split())}\n")


def print_note(message: str) -> None:
    """Print a remark that is no result."""
    sys.stderr.write(f"{message}\n")


def print_facts(facts: Mapping[str, object]) -> None:
    """Print names and values, one a line, the values in one column."""
    width = max(map(len, facts), default=0)
    for name, value in facts.items():
        print_result(f"{name:<{width}}  {value}")


def print_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print columns as wide as their longest cells, so that pipes and logs keep them whole.

    Columns of numbers are flush right, the others flush left.
    """
    columns = [[str(cell) for cell in column] for column in zip(*rows, strict=True)]
    padded = []
    for name, cells in zip(header, columns or [[] for _ in header], strict=True):
        width = max(map(len, (name, *cells)))
        is_number = bool(cells) and all(cell[:1].isdigit() or cell == "-" for cell in cells)
        padded.append([f"{cell:{'>' if is_number else '<'}{width}}" for cell in (name, *cells)])
    for line in zip(*padded, strict=True):
        print_result("  ".join(line).rstrip())


@contextmanager
def show_progress() -> Iterator[ShowProgress]:
    """Give a callback that draws bars with rate and time left; silent where nobody watches."""
    if not sys.stderr.isatty():
        yield lambda what, num_done, num_total, remark: None
        return
    tasks: dict[str, TaskID] = {}
    with _build_bars() as bars:

        def show(what: str, num_done: float, num_total: float, remark: str = "") -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=None, remark="")
            speed = bars.tasks[tasks[what]].speed
            rate = f"{speed:.1f}/s " if speed else ""
            bars.update(
                tasks[what], completed=num_done, total=num_total or None, remark=f"{rate}{remark}"
            )

        yield show


def _build_bars() -> "Progress":
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[remark]}"),
        console=Console(stderr=True),
    )


def _plain(value: object) -> object:
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value)
