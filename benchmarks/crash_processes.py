"""Runs of avkd in processes that can be killed: who starts them, and each of them.

A starter process (``crash_starter.py``) imports avkd once and forks for every run, which leads a
process group of its own, so that a kill takes all of its children or one alone. Linux only: it
reads ``/proc``.
"""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from crash_starter import LOG_VARIABLE, PAUSE_VARIABLE, POLL_SECONDS

STARTER = Path(__file__).with_name("crash_starter.py")
LIMIT_SECONDS = 240.0
"""For whatever should take seconds, on a machine that does other things as well."""


class Starter:
    """The process that forks runs; a context manager."""

    def __init__(self, folder: Path) -> None:
        """Start it; it keeps outputs and logs in the folder."""
        self._folder = folder
        self._num_runs = 0
        self._codes: dict[int, int] = {}
        self._rest = b""
        self._process = subprocess.Popen(
            [sys.executable, str(STARTER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        self._next_message(LIMIT_SECONDS)

    def __enter__(self) -> "Starter":
        return self

    def __exit__(self, *error: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(LIMIT_SECONDS)

    def start(
        self,
        *commands: Sequence[str],
        environment: Mapping[str, str] | None = None,
        shard_seconds: float = 0.0,
        file_bytes: int = 0,
    ) -> "Run":
        """Start commands of avkd that follow one another while they end well.

        Args:
            commands: what follows ``avkd`` on the command line.
            environment: added to that of the starter.
            shard_seconds: a pause before each shard, after the look at what is committed.
            file_bytes: what a file may hold at most (RLIMIT_FSIZE).
        """
        self._num_runs += 1
        place = self._folder / f"run{self._num_runs:04d}"
        paths = {name: f"{place}.{name}" for name in ("output", "log", "passings")}
        order = {
            "commands": commands,
            "environment": {
                **(environment or {}),
                LOG_VARIABLE: paths["log"],
                PAUSE_VARIABLE: str(shard_seconds),
            },
            "file_bytes": file_bytes,
            **paths,
        }
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        while "pid" not in (message := self._next_message(LIMIT_SECONDS)):
            self._codes[message["ended"]] = message["code"]
        return Run(self, message["pid"], place)

    def code_of(self, pid: int, seconds: float) -> int | None:
        """Wait for the end of a run: its exit code, negative for a signal, or None."""
        deadline = time.monotonic() + seconds
        while pid not in self._codes:
            remaining = deadline - time.monotonic()
            message = self._next_message(max(0.0, remaining))
            if not message:
                return None
            self._codes[message["ended"]] = message["code"]
        return self._codes[pid]

    def _next_message(self, seconds: float) -> dict[str, Any]:
        """Read one line of the starter; empty when none comes in time."""
        assert self._process.stdout is not None
        deadline = time.monotonic() + seconds
        while b"\n" not in self._rest:
            remaining = max(0.0, deadline - time.monotonic())
            if not select.select([self._process.stdout], [], [], remaining)[0]:
                return {}
            read = os.read(self._process.stdout.fileno(), 65_536)
            if not read:
                raise RuntimeError("the starter is gone; what it said is above")
            self._rest += read
        line, self._rest = self._rest.split(b"\n", 1)
        message: dict[str, Any] = json.loads(line)
        return message


class Run:
    """One run and the process group that it leads."""

    def __init__(self, starter: Starter, pid: int, place: Path) -> None:
        """Know a run that was started."""
        self.pid = pid
        self._starter = starter
        self._place = place

    @property
    def output(self) -> str:
        """What it has printed, errors included."""
        return Path(f"{self._place}.output").read_text()

    @property
    def started_shards(self) -> list[int]:
        """The shards that it has begun to compute, in order, one as often as it was begun."""
        log = Path(f"{self._place}.log")
        return [int(line) for line in log.read_text().splitlines()] if log.exists() else []

    @property
    def passings(self) -> dict[str, int]:
        """How often it has passed each fault point, if they were armed and it ended by itself."""
        counts: dict[str, int] = json.loads(Path(f"{self._place}.passings").read_text())
        return counts

    def wait(self, seconds: float = LIMIT_SECONDS) -> int | None:
        """Wait for the end: the exit code, negative for a signal, or None."""
        return self._starter.code_of(self.pid, seconds)

    def finish(self) -> int:
        """Wait for the end of the run and of all that it started, and return its exit code."""
        code = self.wait()
        assert code is not None, f"still running after {LIMIT_SECONDS} s: {self.output}"
        wait_until(lambda: not self.processes())
        return code

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the run and all its children, as a terminal and Slurm do."""
        os.killpg(self.pid, number)

    def kill(self) -> None:
        """Kill the whole tree, and wait until the last process of it is gone."""
        with suppress(ProcessLookupError):
            self.send(signal.SIGKILL)
        self.finish()

    def kill_one(self, word: str) -> int:
        """Kill one child alone, by a word of its command line, and return its id."""
        wait_until(lambda: self._find(word))
        pid = self._find(word)[0]
        os.kill(pid, signal.SIGKILL)
        return pid

    def processes(self) -> dict[int, str]:
        """The living processes of the group, by id, with their command lines."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                state, _, group = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
                if int(group) == self.pid and state not in "ZX":
                    found[int(folder.name)] = (folder / "cmdline").read_text()
        return found

    def _find(self, word: str) -> list[int]:
        return [pid for pid, line in self.processes().items() if word in line and pid != self.pid]


def wait_until(condition: Callable[[], Any], seconds: float = LIMIT_SECONDS) -> None:
    """Wait for something to become true.

    Raises:
        AssertionError: it did not.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(POLL_SECONDS)
