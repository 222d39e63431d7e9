"""One thread that stays a few items ahead."""

import threading
from collections.abc import Generator, Iterator
from queue import Full, Queue
from typing import TypeVar

Item = TypeVar("Item")
_WAIT_SECONDS = 0.05


class _End:
    """The iterator is exhausted, or has failed."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def prefetched(items: Iterator[Item], num_ahead: int = 2) -> Generator[Item, None, None]:
    """The same items, computed by a thread; closing the generator ends the thread.

    An exception of the iterator is raised here, in its place.
    """
    ready: Queue[Item | _End] = Queue(num_ahead)
    stopping = threading.Event()
    thread = threading.Thread(
        target=_produce, args=(items, ready, stopping), name="prefetch", daemon=True
    )
    thread.start()
    try:
        while not isinstance(item := ready.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stopping.set()
        thread.join()


def _produce(items: Iterator[Item], ready: "Queue[Item | _End]", stopping: threading.Event) -> None:
    error: BaseException | None = None
    try:
        for item in items:
            _put(item, ready, stopping)
            if stopping.is_set():
                break
    except BaseException as caught:  # handed over, not swallowed
        error = caught
    finally:
        close = getattr(items, "close", None)
        if close is not None:
            close()
    _put(_End(error), ready, stopping)


def _put(item: Item | _End, ready: "Queue[Item | _End]", stopping: threading.Event) -> None:
    while not stopping.is_set():
        try:
            ready.put(item, timeout=_WAIT_SECONDS)
        except Full:
            continue
        return
