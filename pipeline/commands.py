"""avkd's own commands, run in processes of their own and watched from outside."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from avkd.errors import CommandFailedError

POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Command:
    """One command with its arguments; its results are asked for as JSON."""

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)


def run_command(command: Command) -> dict[str, Any]:
    """Run a command to its end and return what it printed.

    Raises:
        CommandFailedError: it ended with another code than 0.
    """
    words = [sys.executable, "-m", "avkd", command.name, *command.arguments, "--json"]
    done = subprocess.run(
        words,
        env={**os.environ, **command.environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        reason = lines[-1].removeprefix("error: ")
        raise CommandFailedError(f"avkd {command.name}: {reason}", abs(done.returncode))
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@contextmanager
def watch_count(count: Callable[[], int], on_count: Callable[[int], None]) -> Iterator[None]:
    """Tell a growing count every half second until the block ends, and once more then."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(POLL_SECONDS):
            on_count(count())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
        on_count(count())


def count_lines(file: Path) -> int:
    """Return the lines of a text file, 0 where there is none."""
    if not file.exists():
        return 0
    with file.open("rb") as stream:
        return sum(1 for _ in stream)
