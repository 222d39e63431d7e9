"""The thread of a worker that all its teachers compute in, fed by a bounded queue of batches.

One for all teachers: on a CPU each uses all the threads that the worker has, torch's number of
threads is the process's, and a device gets the next batch while it computes the one before
(``begin_predicting``). So children go on decoding while a teacher computes, and the teachers while
a shard is written.
"""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from avkd.pipeline.extraction.stalls import Part, Stalls

MOST_WAITING = 2
"""Batches that wait, of all teachers together, beside those that are filled and computed."""

T = TypeVar("T")


class ModelThread:
    """Does one thing after the other; a daemon that is started by the first."""

    def __init__(self, stalls: Stalls) -> None:
        """Start nothing yet."""
        self._stalls = stalls
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._waiting: queue.Queue[tuple[Part, Callable[[], None]] | None]
        self._waiting = queue.Queue(MOST_WAITING)

    def put(self, work: Callable[[], None], *, part: Part = "model") -> None:
        """Wait for room and leave work that must not raise; ``part`` is what its time counts as."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="avkd-model", daemon=True)
                self._thread.start()
        self._waiting.put((part, work))

    def begin(self, function: Callable[[], T], *, part: Part = "model") -> "Future[T]":
        """Have something computed after what is waiting."""
        future: Future[T] = Future()

        def do() -> None:
            try:
                future.set_result(function())
            except BaseException as error:  # for whoever waits
                future.set_exception(error)

        self.put(do, part=part)
        return future

    def call(self, function: Callable[[], T], *, part: Part = "model") -> T:
        """Have something computed after what is waiting, and wait for it.

        Raises:
            Exception: of the function.
        """
        return self.begin(function, part=part).result()

    def close(self) -> None:
        """Do what is waiting and end the thread."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._waiting.put(None)
            thread.join()

    def _serve(self) -> None:
        while (asked := self._waiting.get()) is not None:
            part, work = asked
            with self._stalls.during(part):
                work()
            del asked, work  # they hold a batch


class QueuedLooking:
    """The batches of one teacher and shard, in a model thread; after an error none is computed."""

    def __init__(self, model: ModelThread, check: Callable[[], None]) -> None:
        """Begin with nothing.

        Args:
            model: where they are computed.
            check: raises when nobody wants the results any more.
        """
        self._model = model
        self._check = check
        self._error: BaseException | None = None

    def do(self, work: Callable[[], None]) -> None:
        """See to it that work is done after what was given before.

        Raises:
            Exception: of earlier work.
        """
        self._raise()
        self._model.put(lambda: self._try(work))

    def wait(self) -> None:
        """Return when all is done.

        Raises:
            Exception: of any work.
        """
        self._model.call(lambda: None)
        self._raise()

    def _try(self, work: Callable[[], None]) -> None:
        if self._error is not None:
            return
        try:
            self._check()
            work()
        # Whatever went wrong in that thread is the shard's to see.
        except BaseException as error:
            self._error = error

    def _raise(self) -> None:
        self._check()
        if self._error is not None:
            raise self._error
