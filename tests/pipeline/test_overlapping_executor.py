import os
import queue
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from avkd.pipeline.overlapping_executor import OverlappingExecutor
from avkd.pipeline.task_hooks import (
    begin_in_earnest,
    call_in_run,
    check_not_given_up,
    let_next_begin,
)

WAIT_SECONDS = 10.0


def nothing() -> None:
    pass


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def test_unless_it_lets_the_next_begin_a_task_is_drawn_when_the_one_before_is_done() -> None:
    events: list[str] = []

    def tasks() -> Iterator[int]:
        for number in range(3):
            events.append(f"draw {number}")
            yield number

    def square(number: int) -> int:
        events.append(f"do {number}")
        return number * number

    assert list(OverlappingExecutor(give_up=nothing).run(square, tasks())) == [0, 1, 4]
    assert events == ["draw 0", "do 0", "draw 1", "do 1", "draw 2", "do 2"]


def test_a_task_that_lets_the_next_begin_is_finished_beside_the_next_and_no_more() -> None:
    begun = [threading.Event() for _ in range(4)]
    most = [0]
    now: set[int] = set()

    def do(number: int) -> int:
        now.add(number)
        most[0] = max(most[0], len(now))
        begun[number].set()
        let_next_begin()
        if number < 3:
            assert begun[number + 1].wait(WAIT_SECONDS)
        now.remove(number)
        return number

    assert sorted(OverlappingExecutor(give_up=nothing).run(do, range(4))) == [0, 1, 2, 3]
    assert most == [2]


def test_work_for_the_caller_is_done_in_the_callers_thread_while_the_task_waits() -> None:
    said: list[tuple[int, bool]] = []

    def do(number: int) -> int:
        is_main = threading.main_thread()
        call_in_run(lambda: said.append((number, threading.current_thread() is is_main)))
        return len(said)

    assert list(OverlappingExecutor(give_up=nothing).run(do, range(2))) == [1, 2]
    assert said == [(0, True), (1, True)]


def test_the_first_error_is_told_and_a_task_in_hand_is_finished_before() -> None:
    has_failed = threading.Event()

    def do(number: int) -> int:
        if number == 0:
            let_next_begin()
            assert has_failed.wait(WAIT_SECONDS)
            return number
        has_failed.set()
        raise ZeroDivisionError("the second")

    drawn: list[int] = []
    results = OverlappingExecutor(give_up=nothing).run(do, _noted(drawn))
    assert next(results) == 0
    with pytest.raises(ZeroDivisionError, match="the second"):
        next(results)
    assert drawn == [0, 1]


def test_a_task_that_does_not_end_after_anothers_error_is_given_up() -> None:
    woken = threading.Event()

    def do(number: int) -> int:
        if number == 0:
            let_next_begin()
            assert woken.wait(WAIT_SECONDS)
            check_not_given_up()
            raise AssertionError("it goes on")
        raise ZeroDivisionError("the second")

    executor = OverlappingExecutor(give_up=woken.set, stop_seconds=0.05)
    with pytest.raises(ZeroDivisionError, match="the second"):
        list(executor.run(do, range(2)))


def test_ctrl_c_gives_up_what_is_in_hand() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    woken = threading.Event()
    seen: list[str] = []

    def do(number: int) -> int:
        if number == 1:
            os.kill(os.getpid(), signal.SIGINT)
        let_next_begin()
        assert woken.wait(WAIT_SECONDS)
        try:
            call_in_run(lambda: seen.append("told"))
        except Exception as error:
            seen.append(type(error).__name__)
            raise
        return number

    try:
        with pytest.raises(KeyboardInterrupt):
            list(OverlappingExecutor(give_up=woken.set).run(do, range(3)))
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == ["GivenUpError", "GivenUpError"]


class InterruptedQueue:
    """A queue of whose first item Ctrl-C comes when it was taken out and is not yet looked at."""

    def __init__(self) -> None:
        self._queue: queue.Queue[Any] = queue.Queue()
        self._is_first = True
        self.put = self._queue.put

    def get(self, timeout: float | None = None) -> Any:
        item = self._queue.get(timeout=timeout)
        if self._is_first:
            self._is_first = False
            raise KeyboardInterrupt
        return item


@pytest.mark.parametrize("work", [lambda: call_in_run(nothing), nothing])
def test_ctrl_c_loses_nothing_that_a_task_or_the_run_would_wait_for(
    work: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "SimpleQueue", InterruptedQueue)
    with pytest.raises(KeyboardInterrupt):
        list(OverlappingExecutor(give_up=nothing).run(lambda number: work(), range(2)))


def test_a_run_that_nobody_reads_on_is_given_up() -> None:
    woken = threading.Event()

    def do(number: int) -> int:
        if number == 1:
            let_next_begin()
            assert woken.wait(WAIT_SECONDS)
            check_not_given_up()
        return number

    results = OverlappingExecutor(give_up=woken.set).run(do, range(5))
    assert next(results) == 0
    results.close()


def test_a_task_begun_beside_another_is_dropped_when_the_run_stops_before_its_work() -> None:
    stopping = threading.Event()
    reached: list[int] = []

    def do(number: int) -> int:
        if number == 0:
            let_next_begin()
            assert begun.wait(WAIT_SECONDS)
            begin_in_earnest()
            return number
        stopping.set()
        try:
            begin_in_earnest()
        finally:
            begun.set()
        reached.append(number)
        return number

    begun = threading.Event()
    executor = OverlappingExecutor(give_up=nothing, is_stopping=stopping.is_set)
    assert list(executor.run(do, range(2))) == [0]
    assert not reached


def _noted(drawn: list[int]) -> Iterator[int]:
    for number in range(5):
        drawn.append(number)
        yield number
