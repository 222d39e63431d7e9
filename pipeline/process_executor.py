"""Tasks in worker processes of this machine.

Not ``concurrent.futures``: when one of its workers dies, every task in flight is lost with the
pool. Here a death costs one task, which is tried once more.
"""

import multiprocessing
import os
import pickle
import signal
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, TypeVar, cast

from avkd.errors import AvkdError

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
    job: _Job | None = None


@dataclass(frozen=True, kw_only=True)
class _Outcome:
    result: Any = None
    error: Exception | None = None


class ProcessExecutor:
    """A pool of spawned processes, which end with this one, however it ends."""

    def __init__(self, num_workers: int) -> None:
        """Start nothing yet: workers start when there is a task for them."""
        self._num_workers = num_workers

    def run(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """Yield results as they complete.

        Raises:
            AvkdError: if a task's worker dies in every attempt.
        """
        fresh = (_Job(task=task) for task in tasks)
        again: deque[_Job] = deque()
        workers: list[_Worker] = []
        try:
            while True:
                _hand_out(function, workers, again, fresh, self._num_workers)
                busy = {worker.connection: worker for worker in workers if worker.job}
                if not busy:
                    return
                for connection in wait(list(busy)):
                    worker = busy[cast(Connection, connection)]
                    outcome = _receive(worker)
                    if outcome is None:
                        again.append(_bury(worker))
                        workers.remove(worker)
                    elif outcome.error:
                        raise outcome.error
                    else:
                        yield outcome.result
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
    """Give every free hand a job, failed ones first."""
    idle = [worker for worker in workers if worker.job is None]
    while idle or len(workers) < num_workers:
        job = again.popleft() if again else next(fresh, None)
        if job is None:
            return
        if idle:
            worker = idle.pop()
        else:
            worker = _start_worker()
            workers.append(worker)
        worker.job = job
        # A worker that died meanwhile shows when its answer is awaited.
        try:
            worker.connection.send((function, job.task))
        except (BrokenPipeError, ConnectionResetError):
            continue


def _start_worker() -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    theirs.close()
    return _Worker(process=process, connection=ours)


def _receive(worker: _Worker) -> _Outcome | None:
    """Read the outcome of a worker's job; None when the worker died over it."""
    try:
        outcome = cast(_Outcome, worker.connection.recv())
    except (EOFError, ConnectionResetError):
        return None
    worker.job = None
    return outcome


def _bury(worker: _Worker) -> _Job:
    """Clear away a dead worker and give its job for another attempt."""
    worker.connection.close()
    worker.process.join()
    assert worker.job is not None
    job = worker.job
    if job.attempt == NUM_ATTEMPTS:
        raise AvkdError(
            f"a worker process died (exit code {worker.process.exitcode}) in each of "
            f"{NUM_ATTEMPTS} attempts at {job.task}; try fewer workers, in case memory ran out"
        )
    return _Job(task=job.task, attempt=job.attempt + 1)


def _serve(connection: Connection) -> None:
    """Be a worker: do tasks until the pipe closes."""
    # A signal to the whole process group is for the parent, which lets tasks in hand finish.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            function, task = connection.recv()
        except EOFError:
            return
        connection.send(_attempt(function, task))


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
