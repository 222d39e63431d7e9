"""What one file may cost: time, memory, and what its header may claim.

The parent of a decode child keeps the time (pipeline/decoding/child.py); the child itself keeps the
rest, from its first message on. A process that is no decode child has the defaults, and no limit on
its memory.
"""

import math
import sys
from contextlib import suppress
from dataclasses import dataclass, fields

from avkd.errors import InvalidValueError

OUT_OF_MEMORY_CODE = 86
"""The exit code of a decode child that had no memory left to tell its parent anything."""

_MEGABYTE = 2**20


@dataclass(frozen=True, kw_only=True)
class DecodeLimits:
    """Limits of a decode child and of each file that it opens."""

    clip_seconds: float = 300.0
    """Wall clock of one clip, or of asking one file for its length, the opening included, from when
    the file is on this machine."""
    fetch_seconds: float = 3600.0
    """Wall clock of bringing one file to this machine, where it lies elsewhere."""
    no_progress_seconds: float = 60.0
    """Wall clock in which no packet was read, no picture decoded and nothing fetched."""
    num_pixels: int = 8192 * 8192
    """Width times height of the largest picture."""
    duration_seconds: float = 7 * 86_400.0
    """Of the longest recording, by what its file or the corpus declares."""
    memory_bytes: int = 4 * 2**30
    """Of a child, everything but its libraries; not kept on Windows and macOS."""
    jobs_per_child: int = 1000
    """A child is replaced after that many: libraries lose a little memory with each file."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not (value > 0 and math.isfinite(value)):
                raise InvalidValueError(f"{field.name} {value} must be a number above 0")


class _InForce:
    limits = DecodeLimits()


DEFAULT_LIMITS = _InForce.limits


def impose_limits(limits: DecodeLimits) -> None:
    """Put limits in force in this process, that on its memory included."""
    _InForce.limits = limits
    _limit_memory(limits.memory_bytes)


def limits_in_force() -> DecodeLimits:
    """The limits that files of this process are held to."""
    return _InForce.limits


def lack_of_memory() -> str:
    """Why there is no more memory, in words."""
    return f"decoding needs more memory than {_InForce.limits.memory_bytes // _MEGABYTE} MB"


def _limit_memory(num_bytes: int) -> None:
    if sys.platform == "win32":
        return
    import resource

    # Not RLIMIT_AS: libraries and files that are only mapped cost nothing.
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    allowed = num_bytes if most == resource.RLIM_INFINITY else min(num_bytes, most)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_DATA, (allowed, most))
