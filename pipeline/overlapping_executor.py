"""Tasks in threads of this process: one after the other, but for the last part of each.

A task that lets the next begin (``task_hooks``) is finished beside it. So there are two at
most, and no task is begun before the one before it lets it or is done. One that was begun
beside another is dropped when the run is to stop before its work begins in earnest.
"""

import queue
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from avkd.pipeline.executor import STOP_SECONDS
from avkd.pipeline.task_hooks import MOST_AT_ONCE, GivenUpError, TaskHooks, with_hooks

Task = TypeVar("Task")
Result = TypeVar("Result")

_LOOK_SECONDS = 0.1
_NONE_LEFT = object()


@dataclass(kw_only=True, eq=False)
class _Running:
    """A task in its thread, and what the thread that runs the executor knows of it."""

    is_ahead: bool
    """It was begun beside another."""
    thread: threading.Thread | None = None
    lets_next_begin: bool = False
    result: Any = None
    error: BaseException | None = None


@dataclass(kw_only=True, eq=False)
class _LetNextBegin:
    running: _Running


@dataclass(kw_only=True, eq=False)
class _Call:
    work: Callable[[], None]
    error: BaseException | None = None
    is_done: threading.Event = field(default_factory=threading.Event)


@dataclass(kw_only=True, eq=False)
class _End:
    running: _Running


class OverlappingExecutor:
    """Two threads at most, none of which is left when a run ends, however it ends."""

    def __init__(
        self,
        *,
        give_up: Callable[[], None],
        is_stopping: Callable[[], bool] = lambda: False,
        stop_seconds: float = STOP_SECONDS,
    ) -> None:
        """Start nothing yet.

        Args:
            give_up: wakes tasks that wait for something that is not of the executor.
            is_stopping: whether the run is to stop; asked in the tasks' threads.
            stop_seconds: what a task in hand is given when another one has failed.
        """
        self._give_up = give_up
        self._is_stopping = is_stopping
        self._stop_seconds = stop_seconds

    def run(
        self, function: Callable[[Task], Result], tasks: Iterable[Task]
    ) -> Generator[Result, None, None]:
        """Yield results as they complete.

        Raises:
            Exception: the first of a task.
        """
        events: queue.SimpleQueue[_LetNextBegin | _Call | _End] = queue.SimpleQueue()
        given_up = threading.Event()
        in_hand: list[_Running] = []
        waiting: Iterator[object] = iter(tasks)
        failure: BaseException | None = None
        deadline = 0.0
        try:
            while True:
                while failure is None and _is_free(in_hand):
                    if (task := next(waiting, _NONE_LEFT)) is _NONE_LEFT:
                        break
                    in_hand.append(_Running(is_ahead=bool(in_hand)))
                    hooks = self._make_hooks(in_hand[-1], events, given_up)
                    _start(in_hand[-1], function, task, events, hooks)
                if not in_hand:
                    break
                try:
                    event = events.get(timeout=None if failure is None else _left(deadline))
                except queue.Empty:
                    break
                if isinstance(event, _Call):
                    _answer(event)
                elif isinstance(event, _LetNextBegin):
                    event.running.lets_next_begin = True
                else:
                    error = _take_leave(event.running, in_hand)
                    if error is None:
                        yield event.running.result
                    elif failure is None and not isinstance(error, GivenUpError):
                        failure, deadline = error, time.monotonic() + self._stop_seconds
            if failure is not None:
                raise failure
        finally:
            given_up.set()
            # Ctrl-C may come between the beginning of a task and that of its thread.
            threads = [each.thread for each in in_hand if each.thread and each.thread.ident]
            if threads:
                self._give_up()
            for thread in threads:
                thread.join()

    def _make_hooks(
        self,
        running: _Running,
        events: "queue.SimpleQueue[_LetNextBegin | _Call | _End]",
        given_up: threading.Event,
    ) -> TaskHooks:
        def begin() -> None:
            if running.is_ahead and self._is_stopping():
                raise GivenUpError

        def check() -> None:
            if given_up.is_set():
                raise GivenUpError

        def call(work: Callable[[], None]) -> None:
            check()
            asked = _Call(work=work)
            events.put(asked)
            # Ctrl-C may have come when it was taken from the queue and not yet begun.
            while not asked.is_done.wait(_LOOK_SECONDS):
                check()
            if asked.error is not None:
                raise asked.error

        def let_next_begin() -> None:
            events.put(_LetNextBegin(running=running))

        return TaskHooks(let_next_begin=let_next_begin, begin=begin, call=call, check=check)


def _is_free(in_hand: list[_Running]) -> bool:
    return len(in_hand) < MOST_AT_ONCE and all(each.lets_next_begin for each in in_hand)


def _start(
    running: _Running,
    function: Callable[[Any], Any],
    task: Any,
    events: "queue.SimpleQueue[_LetNextBegin | _Call | _End]",
    hooks: TaskHooks,
) -> None:
    def do() -> None:
        try:
            with with_hooks(hooks):
                running.result = function(task)
        # Whatever went wrong in this thread is the caller's to see.
        except BaseException as error:
            running.error = error
        events.put(_End(running=running))

    running.thread = threading.Thread(target=do, name=f"avkd-{task}")
    running.thread.start()


def _answer(asked: _Call) -> None:
    try:
        asked.work()
    except Exception as error:
        asked.error = error
    except BaseException:  # Ctrl-C is for the run, not for the task
        asked.error = GivenUpError()
        raise
    finally:
        asked.is_done.set()


def _take_leave(running: _Running, in_hand: list[_Running]) -> BaseException | None:
    in_hand.remove(running)
    assert running.thread is not None
    running.thread.join()
    return running.error


def _left(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())
