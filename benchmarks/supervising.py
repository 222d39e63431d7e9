"""One command and all that descends from it, measured from a process of its own.

    python supervising.py REQUEST.json ANSWER.json

Standard library and psutil. Memory is read every ``poll_seconds``: the sum over the tree of
PSS (pages that several processes share count once) where Linux tells it, else of RSS. A shorter
peak is missed, as is a process that lives for less than half a second. CPU seconds and bytes come
from the kernel's own accounts of processes that have ended, which is exact: orphans of the command
are adopted here and waited for.
"""

import ctypes
import json
import math
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_ORPHAN_GRACE_SECONDS = 5.0
_TREE_SECONDS = 0.5
_COUNTERS = ("rchar", "wchar", "read_bytes", "write_bytes")


def main() -> None:
    """Measure what the request says and write the answer."""
    _die_with_parent()
    request = json.loads(Path(sys.argv[1]).read_text())
    answer = watch(
        request["command"],
        environment=request["environment"],
        poll_seconds=request["poll_seconds"],
        limit_seconds=request["limit_seconds"],
        output=Path(request["output"]),
    )
    Path(sys.argv[2]).write_text(json.dumps(answer))


def watch(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    poll_seconds: float,
    limit_seconds: float,
    output: Path,
) -> dict[str, Any]:
    """Run a command to its end; its stdout goes to ``output``, its stderr beside it.

    To be called once in a process that has no other children.
    """
    is_adopting = _adopt_orphans()
    complaints = output.with_suffix(".err")
    memory = _Memory()
    with output.open("wb") as told, complaints.open("wb") as complained:
        began = time.perf_counter()
        process = subprocess.Popen(
            command,
            stdout=told,
            stderr=complained,
            env=dict(environment),
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )
        end = _await_end(process)
        while not end.wait(poll_seconds):
            memory.sample()
            if time.perf_counter() - began > limit_seconds:
                _end_tree()
        wall_seconds = end.time - began
    num_orphans = _reap_orphans()
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "returncode": process.returncode,
        "is_timed_out": wall_seconds > limit_seconds,
        "wall_seconds": wall_seconds,
        "user_seconds": usage.ru_utime,
        "system_seconds": usage.ru_stime,
        "peak_bytes": memory.peak_bytes(),
        # Loading a teacher may take more than all that comes after it, and hide what grows.
        "late_peak_bytes": memory.peak_bytes(since=began + wall_seconds / 2),
        "memory_kind": memory.kind,
        "num_polls": len(memory.samples),
        "poll_seconds": poll_seconds,
        "num_orphans": num_orphans,
        "is_adopting": is_adopting,
        **_bytes_of_ended(),
    }


class _End(threading.Event):
    """When a process ended."""

    time: float = 0.0


def _await_end(process: "subprocess.Popen[bytes]") -> _End:
    """A thread waits: polling would round the end up to the next poll."""
    end = _End()

    def wait() -> None:
        process.wait()
        end.time = time.perf_counter()
        end.set()

    threading.Thread(target=wait, daemon=True).start()
    return end


class _Memory:
    """What the tree held, look by look."""

    def __init__(self) -> None:
        self.samples: list[tuple[float, int]] = []
        self.kind = "pss" if _proportional_bytes(os.getpid()) is not None else "rss"
        self._known: list[psutil.Process] = []
        self._known_since = -math.inf

    def sample(self) -> None:
        held = 0
        for each in self._tree():
            with suppress(psutil.Error):
                if self.kind == "pss":
                    held += _proportional_bytes(each.pid) or 0
                else:
                    held += each.memory_info().rss
        self.samples.append((time.perf_counter(), held))

    def peak_bytes(self, since: float = -math.inf) -> int:
        """The most that it held at once; 0 where nobody looked."""
        return max((held for at, held in self.samples if at >= since), default=0)

    def _tree(self) -> list[psutil.Process]:
        """Who belongs to the command: asked more seldom, for it reads of all the machine's."""
        now = time.perf_counter()
        if now - self._known_since > _TREE_SECONDS:
            self._known, self._known_since = psutil.Process().children(recursive=True), now
        return self._known


def _proportional_bytes(pid: int) -> int | None:
    with suppress(OSError, ValueError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return 1024 * int(line.split()[1])
    return None


def _bytes_of_ended() -> dict[str, int | None]:
    """Bytes that ended children moved: this process's account without its own thread's part."""
    try:
        everything = _read_counters(Path("/proc/self/io"))
        own = [_read_counters(task / "io") for task in Path("/proc/self/task").iterdir()]
    except (OSError, ValueError):
        return dict.fromkeys(_COUNTERS)
    return {name: max(0, everything[name] - sum(each[name] for each in own)) for name in _COUNTERS}


def _read_counters(path: Path) -> dict[str, int]:
    pairs = (line.split(":") for line in path.read_text().splitlines())
    return {name: int(value) for name, value in pairs}


def _adopt_orphans() -> bool:
    """Become the parent of grandchildren whose parent dies before them; False where none can."""
    if sys.platform != "linux":
        return False
    return int(ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)) == 0


def _die_with_parent() -> None:
    """Who breaks a measurement off breaks the contestant off too, where the system does that."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _reap_orphans() -> int:
    """Wait for what the command left running, then end it: its CPU seconds count as well."""
    num_orphans = 0
    deadline = time.perf_counter() + _ORPHAN_GRACE_SECONDS
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return num_orphans
        if pid:
            num_orphans += 1
        elif time.perf_counter() > deadline:
            _end_tree()
        else:
            time.sleep(0.01)


def _end_tree() -> None:
    for each in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            each.send_signal(signal.SIGKILL)


if __name__ == "__main__":
    main()
