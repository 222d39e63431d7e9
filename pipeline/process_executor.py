"""Tasks in worker processes of this machine.

Not ``concurrent.futures``: when one of its workers dies, every task in flight is lost with the
pool. Here a death costs the tasks that its worker had in hand, which are tried once more.
"""

import multiprocessing
import os
import pickle
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, TypeVar, cast

from avkd.errors import AvkdError
from avkd.pipeline.executor import STOP_SECONDS
from avkd.pipeline.signals import deaf_children, ignore_stop_signals
from avkd.pipeline.task_hooks import MOST_AT_ONCE, TaskHooks, with_hooks

Task = TypeVar("Task")
Result = TypeVar("Result")

NUM_ATTEMPTS = 2


@dataclass(frozen=True, kw_only=True)
class _Job:
    task: Any
    attempt: int = 1


@dataclass(kw_only=True)
class _Worker:
    process: SpawnProcess
    connection: Connection
    jobs: dict[int, _Job] = field(default_factory=dict)
    """By number, those in hand."""
    beside: set[int] = field(default_factory=set)
    """Of these, those beside which the next may begin (``task_hooks``)."""
    num_given: int = 0

    def is_free(self) -> bool:
        return len(self.jobs) < MOST_AT_ONCE and self.jobs.keys() <= self.beside


@dataclass(frozen=True, kw_only=True)
class _Outcome:
    result: Any = None
    error: Exception | None = None


class ProcessExecutor:
    """A pool of spawned processes, which end with this one, however it ends."""

    def __init__(self, num_workers: int, *, stop_seconds: float = STOP_SECONDS) -> None:
        """Start nothing yet: workers start when there is a task for them.

        Args:
            num_workers: processes at most.
            stop_seconds: what tasks in hand are given when another one has failed.
        """
        self._num_workers = num_workers
        self._stop_seconds = stop_seconds

    def run(
        self, function: Callable[[Task], Result], tasks: Iterable[Task]
    ) -> Generator[Result, None, None]:
        """Yield results as they complete.

        Raises:
            AvkdError: if a task's worker dies in every attempt.
        """
        fresh = (_Job(task=task) for task in tasks)
        again: deque[_Job] = deque()
        workers: list[_Worker] = []
        failure: Exception | None = None
        deadline = 0.0
        try:
            while True:
                if failure is None:
                    _hand_out(function, workers, again, fresh, self._num_workers)
                busy = {worker.connection: worker for worker in workers if worker.jobs}
                remaining = None if failure is None else deadline - time.monotonic()
                if not busy or (remaining is not None and remaining <= 0):
                    break
                for connection in wait(list(busy), remaining):
                    outcome = _receive(busy[cast(Connection, connection)], workers, again)
                    if outcome is None:
                        continue
                    if outcome.error is None:
                        yield outcome.result
                    elif failure is None:
                        failure, deadline = outcome.error, time.monotonic() + self._stop_seconds
            if failure is not None:
                raise failure
        finally:
            for worker in workers:
                worker.process.kill()
                worker.connection.close()
                worker.process.join()


def _hand_out(
    function: Callable[[Task], Result],
    workers: list[_Worker],
    again: deque[_Job],
    fresh: Iterator[_Job],
    num_workers: int,
) -> None:
    """Give every free worker a job, failed ones first, and idle workers before others."""
    while True:
        free = sorted((each for each in workers if each.is_free()), key=lambda each: len(each.jobs))
        can_start = len(workers) < num_workers
        if not free and not can_start:
            return
        job = again.popleft() if again else next(fresh, None)
        if job is None:
            return
        if can_start and (not free or free[0].jobs):
            workers.append(_start_worker())
            free = workers[-1:]
        _give(free[0], function, job)


def _give(worker: _Worker, function: Callable[[Task], Result], job: _Job) -> None:
    number, worker.num_given = worker.num_given, worker.num_given + 1
    worker.jobs[number] = job
    # A worker that died meanwhile shows when its answer is awaited.
    with suppress(BrokenPipeError, ConnectionResetError):
        worker.connection.send((number, function, job.task))


def _start_worker() -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,), daemon=True)
    with deaf_children():
        process.start()
    theirs.close()
    return _Worker(process=process, connection=ours)


def _receive(worker: _Worker, workers: list[_Worker], again: deque[_Job]) -> _Outcome | None:
    """Read the outcome of a worker's job; None where there is none yet.

    That is so when the job lets the next begin, or the worker died and its jobs are tried again.
    """
    try:
        number, outcome = cast("tuple[int, _Outcome | None]", worker.connection.recv())
    except (EOFError, ConnectionResetError):
        workers.remove(worker)
        return _bury(worker, again)
    if outcome is None:
        worker.beside.add(number)
    else:
        del worker.jobs[number]
        worker.beside.discard(number)
    return outcome


def _bury(worker: _Worker, again: deque[_Job]) -> _Outcome | None:
    """Clear away a dead worker and see to its jobs; which of two it died of is not known."""
    worker.connection.close()
    worker.process.join()
    spent = [job for job in worker.jobs.values() if job.attempt == NUM_ATTEMPTS]
    again.extend(
        _Job(task=job.task, attempt=job.attempt + 1)
        for job in worker.jobs.values()
        if job.attempt < NUM_ATTEMPTS
    )
    if not spent:
        return None
    return _Outcome(
        error=AvkdError(
            f"a worker process died (exit code {worker.process.exitcode}) in each of "
            f"{NUM_ATTEMPTS} attempts at {' and '.join(str(job.task) for job in spent)}; try "
            "fewer workers, in case memory ran out"
        )
    )


def _serve(connection: Connection) -> None:
    """Be a worker: do tasks, each in a thread, until the pipe closes."""
    ignore_stop_signals()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    answering = threading.Lock()

    def answer(number: int, outcome: _Outcome | None) -> None:
        with answering:
            connection.send((number, outcome))

    def do(number: int, function: Callable[[Any], Any], task: Any) -> None:
        try:
            with with_hooks(TaskHooks(let_next_begin=lambda: answer(number, None))):
                outcome = _attempt(function, task)
            answer(number, outcome)
        except BaseException:  # as if it were the main thread
            os._exit(1)

    while True:
        try:
            asked = connection.recv()
        except EOFError:
            return
        threading.Thread(target=do, args=asked, daemon=True).start()


def _attempt(function: Callable[[Any], Any], task: Any) -> _Outcome:
    try:
        return _Outcome(result=function(task))
    except Exception as error:
        return _Outcome(error=_make_portable(error))


def _make_portable(error: Exception) -> Exception:
    """Keep the error where it survives pickling, with the place it happened; else its text."""
    where = traceback.format_exc()
    try:
        copy = pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"a task failed in a worker process:\n{where}")
    if not isinstance(error, AvkdError):
        copy.add_note(f"in a worker process:\n{where}")
    return cast(Exception, copy)


def _end_with_parent() -> None:
    """A worker in the middle of a task does not see its pipe close."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)
