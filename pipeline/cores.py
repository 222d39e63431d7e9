"""How the cores of a machine are shared out."""

import os

MAX_DECODE_WORKERS = 8
"""One process that feeds a teacher is busy reading the pipes of that many."""


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
