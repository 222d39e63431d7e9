"""Stopping a run by a signal: the first asks, a deadline or a second Ctrl-C insists.

Slurm warns by SIGUSR1 before it ends a job, and both Slurm and ``timeout`` may send SIGTERM more
than once: only Ctrl-C, which a person presses, is taken as impatience.
"""

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing import resource_tracker
from types import FrameType
from typing import TypeVar

Task = TypeVar("Task")

STOP_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)
)
"""Windows has no SIGUSR1."""
_SOON_SECONDS = 1e-3


class StopRequest:
    """Whether a signal has asked the run to stop."""

    def __init__(self) -> None:
        """Begin unasked."""
        self.received = False

    def until_received(self, tasks: Iterable[Task]) -> Iterator[Task]:
        """Hand out tasks one by one; none after the signal, so that those in hand are the last."""
        for task in tasks:
            if self.received:
                return
            yield task


@contextmanager
def watch_signals(stop_seconds: float | None = None) -> Iterator[StopRequest]:
    """Turn SIGINT, SIGTERM and SIGUSR1 into a request; a second SIGINT raises KeyboardInterrupt.

    Outside of the main thread, where Python allows no handlers, nothing is watched.

    Args:
        stop_seconds: what is not finished so long after the request is interrupted as well; None
            waits for ever, and so does Windows, which has no interval timer.
    """
    stop = StopRequest()
    has_deadline = stop_seconds is not None and hasattr(signal, "setitimer")

    def on_signal(number: int, frame: FrameType | None) -> None:
        if not stop.received:
            stop.received = True
            if has_deadline:
                _start_timer(stop_seconds)
        elif number == signal.SIGINT:
            if has_deadline:
                _start_timer(None)
            raise KeyboardInterrupt

    def on_deadline(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    with ExitStack() as handlers:
        # A signal may come at any time: what starts the timer must end before the timer does.
        if has_deadline:
            handlers.enter_context(_handling(signal.SIGALRM, on_deadline))
            handlers.callback(_start_timer, None)
        for number in STOP_SIGNALS:
            handlers.enter_context(_handling(number, on_signal))
        yield stop


def ignore_stop_signals() -> None:
    """Be deaf, in a process that a parent ends: a signal to the whole group is for the parent."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)


@contextmanager
def deaf_children() -> Iterator[None]:
    """Let processes begin with the signals blocked that they will ignore as soon as they can.

    A mask is inherited, also by threads; what comes meanwhile comes afterwards. The helper process
    of ``multiprocessing`` is started first: it would die of SIGUSR1, and its start takes some of
    the signals out of the mask.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _handling(number: int, handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


def _start_timer(seconds: float | None) -> None:
    """Let SIGALRM come once after so long; None stops what was started."""
    signal.setitimer(signal.ITIMER_REAL, 0 if seconds is None else max(seconds, _SOON_SECONDS))
