"""What a worker process keeps from shard to shard: loaded teachers and decode children."""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar

from avkd.pipeline.decoding.pool import DecodePool
from avkd.stages.teachers.declaration import Teacher
from avkd.stages.teachers.registry import load_teacher
from avkd.stages.teachers.request import TeacherRequest

if TYPE_CHECKING:
    from avkd.pipeline.extraction.trained_network import TrainedTeacher

T = TypeVar("T")
Key: TypeAlias = tuple[TeacherRequest, str]
"""A request, and the digest of the fingerprint that it must have: the file behind a request may
have changed since it was loaded."""


class _Kept(Generic[T]):
    """Teachers of one kind, loaded once; those of other runs are let go."""

    def __init__(self) -> None:
        self._loaded: dict[Key, T] = {}
        self._lock = threading.Lock()

    def keep(self, keys: Sequence[Key], load: Callable[[TeacherRequest], T]) -> tuple[T, ...]:
        with self._lock:
            for key in self._loaded.keys() - set(keys):
                del self._loaded[key]
            for key in keys:
                if key not in self._loaded:
                    self._loaded[key] = load(key[0])
            return tuple(self._loaded[key] for key in keys)

    def clear(self) -> None:
        with self._lock:
            self._loaded.clear()


_teachers: _Kept[Teacher] = _Kept()
_trained: "_Kept[TrainedTeacher]" = _Kept()


class _ThreadState(threading.local):
    """A dask worker may compute several shards at once, one a thread; a pool serves one."""

    pool: DecodePool | None = None
    pool_key: tuple[int, float] = (0, 0.0)


_state = _ThreadState()


def keep_teachers(requests: Sequence[Key]) -> tuple[Teacher, ...]:
    """Load teachers of pictures, or give those of the shard before."""
    return _teachers.keep(requests, load_teacher)


def keep_trained(
    requests: Sequence[Key], load: "Callable[[TeacherRequest], TrainedTeacher]"
) -> "tuple[TrainedTeacher, ...]":
    """Load trained teachers, or give those of the shard before."""
    return _trained.keep(requests, load)


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
        _teachers.clear()
        _trained.clear()


def limit_threads(num_threads: int) -> None:
    """Share the cores of a machine among its workers; 0 leaves the libraries' own choice."""
    if not num_threads:
        return
    os.environ["OMP_NUM_THREADS"] = str(num_threads)
    import torch  # a worker that only caches sound never comes here

    torch.set_num_threads(num_threads)
