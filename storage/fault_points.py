"""Places where a test kills the process: before and after every step that must be durable.

With ``AVKD_CRASH_AT=after-fsync:3`` in the environment a process kills itself when it passes
``after-fsync`` for the third time. Without the variable nothing is done or counted.
"""

import os
import signal
from collections import Counter

from avkd.errors import InvalidValueError

VARIABLE = "AVKD_CRASH_AT"

OBJECT_POINTS = (
    "folder-made",
    "temporary-opened",
    "temporary-half-written",
    "before-fsync",
    "after-fsync",
    "before-rename",
    "after-rename",
    "before-link",
    "after-link",
    "after-folder-sync",
)
"""Inside of the write of one local object, whatever it is."""

STEP_POINTS = (
    "before-store-file",
    "after-store-file",
    "before-declaration",
    "after-declaration",
    "before-growth",
    "after-growth",
    "before-clip-part",
    "after-clip-part",
    "before-plan",
    "after-plan",
    "after-leftovers",
    "before-shard-object",
    "after-shard-object",
    "before-commit",
    "after-commit",
)
"""Around the writes of an extraction, in the order of a new store."""

FAULT_POINTS = (*OBJECT_POINTS, *STEP_POINTS)

_passed: Counter[str] = Counter()


def pass_point(name: str) -> None:
    """Kill this process if it was asked to die here.

    Raises:
        InvalidValueError: the variable, or the caller, names no fault point.
    """
    asked = os.environ.get(VARIABLE)
    if asked is None:
        return
    wanted, _, number = asked.partition(":")
    for each in (name, wanted):
        if each not in FAULT_POINTS:
            raise InvalidValueError(
                f"{VARIABLE}={asked}: {each!r} is no fault point; known: {', '.join(FAULT_POINTS)}"
            )
    _passed[name] += 1
    if name == wanted and _passed[name] == int(number or 1):
        os.kill(os.getpid(), signal.SIGKILL)


def count_passings() -> dict[str, int]:
    """Return how often each point was passed since the variable was set."""
    return dict(_passed)
