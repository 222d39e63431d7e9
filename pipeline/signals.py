"""Stopping a run by Ctrl-C or SIGTERM: the first asks, the second insists."""

import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

Task = TypeVar("Task")


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
def watch_signals() -> Iterator[StopRequest]:
    """Turn SIGINT and SIGTERM into a request; a second one raises KeyboardInterrupt at once.

    Outside of the main thread, where Python allows no handlers, nothing is watched.
    """
    stop = StopRequest()

    def on_signal(number: int, frame: FrameType | None) -> None:
        if stop.received:
            raise KeyboardInterrupt
        stop.received = True

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        for number in before:
            signal.signal(number, on_signal)
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
