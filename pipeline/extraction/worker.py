"""What a worker process keeps from shard to shard: loaded teachers and decode children."""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from avkd.pipeline.decoding.pool import DecodePool
from avkd.stages.teachers.declaration import Teacher
from avkd.stages.teachers.registry import load_teacher
from avkd.stages.teachers.request import TeacherRequest

_teachers: dict[tuple[TeacherRequest, str], Teacher] = {}
_teachers_lock = threading.Lock()


class _ThreadState(threading.local):
    """A dask worker may compute several shards at once, one a thread; a pool serves one."""

    pool: DecodePool | None = None
    pool_key: tuple[int, float] = (0, 0.0)


_state = _ThreadState()


def keep_teachers(requests: Sequence[tuple[TeacherRequest, str]]) -> tuple[Teacher, ...]:
    """Load teachers, or give those of the shard before; the teachers of other runs are let go.

    Args:
        requests: each with the digest of the fingerprint it must have: the file behind a request
            may have changed since it was loaded.
    """
    with _teachers_lock:
        for key in _teachers.keys() - set(requests):
            del _teachers[key]
        for key in requests:
            if key not in _teachers:
                _teachers[key] = load_teacher(key[0])
        return tuple(_teachers[key] for key in requests)


@contextmanager
def lend_decode_pool(num_workers: int, time_limit_seconds: float) -> Iterator[DecodePool]:
    """Lend this thread's decode children; after an error, new ones are started next time."""
    key = (num_workers, time_limit_seconds)
    if _state.pool is None or _state.pool_key != key:
        release_decode_pool()
        pool = DecodePool(num_workers, time_limit_seconds=time_limit_seconds)
        _state.pool, _state.pool_key = pool.__enter__(), key
    try:
        yield _state.pool
    except BaseException:
        # Answers to questions nobody asks any more may be on their way.
        release_decode_pool()
        raise


def release_decode_pool() -> None:
    """End this thread's decode children."""
    pool, _state.pool = _state.pool, None
    if pool is not None:
        pool.__exit__(None, None, None)


@contextmanager
def closing_worker() -> Iterator[None]:
    """Let go, at the end, of all that this thread and process keep."""
    try:
        yield
    finally:
        release_decode_pool()
        with _teachers_lock:
            _teachers.clear()


def limit_threads(num_threads: int) -> None:
    """Share the cores of a machine among its workers; 0 leaves the libraries' own choice."""
    if not num_threads:
        return
    os.environ["OMP_NUM_THREADS"] = str(num_threads)
    import torch  # a worker that only caches sound never comes here

    torch.set_num_threads(num_threads)
