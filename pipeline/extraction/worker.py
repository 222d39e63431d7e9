"""What a worker process keeps from shard to shard: loaded teachers and decode children."""

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar

from avkd.pipeline.decoding.pool import DecodePool
from avkd.pipeline.extraction.model_thread import ModelThread
from avkd.pipeline.extraction.stalls import Stalls
from avkd.stages.media.limits import DecodeLimits
from avkd.stages.teachers.audio_declaration import AnyTeacher
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
        self._loaded: Mapping[Key, T] = {}

    def find(self, keys: Sequence[Key]) -> tuple[T, ...] | None:
        """Give them if they, and no others, are kept."""
        loaded = self._loaded
        return tuple(loaded[key] for key in keys) if loaded.keys() == set(keys) else None

    def keep(self, keys: Sequence[Key], load: Callable[[TeacherRequest], T]) -> tuple[T, ...]:
        """Load those that are not kept yet; always called in the same thread."""
        # Nobody is to look at a part of them, and room is made before there is more.
        kept = self._loaded = {key: self._loaded[key] for key in keys if key in self._loaded}
        new = {key: load(key[0]) for key in dict.fromkeys(keys) if key not in kept}
        self._loaded = {**kept, **new}
        return tuple(self._loaded[key] for key in keys)

    def clear(self) -> None:
        self._loaded = {}


_teachers: _Kept[AnyTeacher] = _Kept()
_trained: "_Kept[TrainedTeacher]" = _Kept()


class _Children:
    """A pool of decode children, lent to shards that follow one another or overlap."""

    def __init__(self, num_workers: int, limits: DecodeLimits) -> None:
        self._num_workers, self._limits = num_workers, limits
        self._lock = threading.Lock()
        self._pool: DecodePool | None = None
        self._num_users = 0
        self._is_spoilt = False

    @contextmanager
    def lend(self) -> Iterator[DecodePool]:
        pool = self._take()
        try:
            yield pool
        except BaseException:
            # Answers to questions nobody asks any more may be on their way.
            self._is_spoilt = True
            raise
        finally:
            with self._lock:
                self._num_users -= 1
                if self._is_spoilt and not self._num_users:
                    self._close()

    def release(self) -> None:
        """End the children; whoever waits for one of them is told that the pool was closed."""
        self.close_if_idle()
        with self._lock:
            pool, self._is_spoilt = self._pool, self._pool is not None
        if pool is not None:
            pool.close()

    def close_if_idle(self) -> None:
        """End the children unless a shard uses them."""
        with self._lock:
            if not self._num_users:
                self._close()

    def _take(self) -> DecodePool:
        with self._lock:
            if self._pool is None:
                self._pool = DecodePool(self._num_workers, self._limits)
            self._num_users += 1
            return self._pool

    def _close(self) -> None:
        pool, self._pool, self._is_spoilt = self._pool, None, False
        if pool is not None:
            pool.close()


_children: dict[tuple[int, DecodeLimits], _Children] = {}
"""A worker of a cluster may come to a shard of another run while it finishes one."""
STALLS = Stalls()
MODEL_THREAD = ModelThread(STALLS)


def begin_loading(
    requests: Sequence[Key], num_threads: int = 0
) -> Callable[[], tuple[AnyTeacher, ...]]:
    """Begin to load teachers that look or listen; what is given waits for them.

    Those of the shard before are there at once.

    Args:
        requests: and their fingerprints.
        num_threads: of the teachers' libraries; 0 leaves it to them.
    """

    def load(request: TeacherRequest) -> AnyTeacher:
        limit_threads(num_threads)
        return load_teacher(request)

    return _begin(_teachers, requests, load)


def keep_trained(
    requests: Sequence[Key], load: "Callable[[TeacherRequest], TrainedTeacher]"
) -> "tuple[TrainedTeacher, ...]":
    """Load trained teachers, or give those of the shard before."""
    return _begin(_trained, requests, load)()


def _begin(
    kept: _Kept[T], keys: Sequence[Key], load: Callable[[TeacherRequest], T]
) -> Callable[[], tuple[T, ...]]:
    found = kept.find(keys)
    if found is not None:
        return lambda: found
    # Where they compute, for the number of threads is the thread's in part.
    return MODEL_THREAD.begin(lambda: kept.keep(keys, load), part="load").result


def lend_decode_pool(num_workers: int, limits: DecodeLimits) -> AbstractContextManager[DecodePool]:
    """Lend this worker's decode children; after an error, new ones are started next time.

    Args:
        num_workers: children.
        limits: of each.
    """
    key = num_workers, limits
    for other, children in tuple(_children.items()):
        if other != key:
            children.close_if_idle()
    return _children.setdefault(key, _Children(*key)).lend()


def release_decode_pool() -> None:
    """End the decode children of this worker; whoever waits for one is told so."""
    for children in tuple(_children.values()):
        children.release()


@contextmanager
def closing_worker() -> Iterator[None]:
    """Let go, at the end, of all that this process keeps."""
    try:
        yield
    finally:
        release_decode_pool()
        MODEL_THREAD.close()
        _teachers.clear()
        _trained.clear()
        STALLS.take()


def limit_threads(num_threads: int) -> None:
    """Share the cores of a machine among its workers; 0 leaves the libraries' own choice."""
    if not num_threads:
        return
    os.environ["OMP_NUM_THREADS"] = str(num_threads)
    import torch  # a worker that only caches sound never comes here

    torch.set_num_threads(num_threads)
