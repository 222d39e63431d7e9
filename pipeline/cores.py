"""How the cores of a machine are shared out.

Every worker of a machine gets an equal share of its cores. Of that share the teachers may use every
core, and there are as many decode children as cores: neither spins while it waits (ONNX Runtime is
told not to), so whoever has nothing to do leaves its cores to the other, and no core stands still
however decoding and teachers compare. To give each a fixed part of the cores would leave one part
idle wherever the two are not exactly in balance. The thread that writes shards works beside them.

``OMP_NUM_THREADS`` is respected: where it is set, the teachers of a worker use so many threads.
"""

import os
from dataclasses import dataclass

MAX_DECODE_WORKERS = 8
"""One process that feeds a teacher is busy reading the pipes of that many."""


@dataclass(frozen=True, kw_only=True)
class CoreShare:
    """What one worker uses."""

    num_threads: int
    """Of the teachers' libraries; 0 leaves it to them."""
    num_decode_workers: int


def count_cores() -> int:
    """Count the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cores_per_worker(num_workers: int) -> int:
    """Give every worker of this machine its share, one core at least."""
    return max(1, count_cores() // num_workers)


def default_decode_workers(num_workers: int) -> int:
    """Give the decode children of each worker of this machine."""
    return min(cores_per_worker(num_workers), MAX_DECODE_WORKERS)


def share_of_cores(num_workers: int) -> CoreShare:
    """Give each of several workers of this machine its share."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    num_threads = int(asked) if asked.isdecimal() else 0  # a list is for nested threads
    return CoreShare(
        num_threads=num_threads or cores_per_worker(num_workers),
        num_decode_workers=default_decode_workers(num_workers),
    )
