"""Tasks on a dask cluster: the only module that imports dask.

One task is one dask task: a small description in, a small receipt out. Dask computes a task again
when the worker that held its receipt dies, so a task must do no harm when it is done twice.
"""

# distributed is typed in part only.
# mypy: disallow-untyped-calls=False

import itertools
import logging
import multiprocessing
import os
import threading
import time
import uuid
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import dask
from distributed import Client, KilledWorker, LocalCluster, Worker, WorkerPlugin, secede
from distributed import wait as wait_for
from distributed.core import Status

from avkd.errors import AvkdError
from avkd.pipeline.executor import STOP_SECONDS
from avkd.pipeline.signals import deaf_children, ignore_stop_signals
from avkd.pipeline.task_hooks import MOST_AT_ONCE, TaskHooks, with_hooks

Task = TypeVar("Task")
Result = TypeVar("Result")

NUM_RETRIES = 2
CONNECT_SECONDS = 10
WORKER_SECONDS = 60
RESTART_SECONDS = 300.0
"""What the workers of a local cluster may take to come back when all have died."""
CLOSE_SECONDS = 60.0
_LOOK_SECONDS = 5.0
_WORKER_PROCESS = "Dask Worker process"
_PATIENCE = {"distributed.deploy.lost-worker-timeout": "1 day"}
"""A local cluster gives a worker up that has not come back by then, and its tasks wait for ever."""


class DaskExecutor:
    """A local cluster of single-threaded worker processes, or the cluster of a scheduler."""

    def __init__(
        self,
        *,
        num_workers: int,
        scheduler: str = "",
        needs_gpu: bool = False,
        stop_seconds: float = STOP_SECONDS,
    ) -> None:
        """Start nothing yet.

        Args:
            num_workers: of the local cluster; without meaning where a scheduler is given.
            scheduler: address of a running scheduler; empty starts a local cluster.
            needs_gpu: whether a task occupies one unit of the worker resource ``GPU``; assumed
                as well where workers offer it.
            stop_seconds: what tasks in hand are given when another one has failed.
        """
        self._num_workers = num_workers
        self._scheduler = scheduler
        self._needs_gpu = needs_gpu
        self._stop_seconds = stop_seconds

    def run(
        self, function: Callable[[Task], Result], tasks: Iterable[Task]
    ) -> Generator[Result, None, None]:
        """Yield results as they complete.

        Raises:
            AvkdError: if the scheduler cannot be reached or is lost, has no fit worker, or a task
                kills every worker it is given to; if a local cluster's workers stay away.
        """
        try:
            with self._connect() as client:
                resources = self._choose_resources(client)
                most_away = None if self._scheduler else RESTART_SECONDS
                try:
                    yield from _run_window(
                        client, function, iter(tasks), resources, self._stop_seconds, most_away
                    )
                except CancelledError as error:
                    raise AvkdError(
                        f"the dask scheduler {_address(client)} was lost; start it again and "
                        "repeat the command: what is committed is kept"
                    ) from error
        except KilledWorker as error:
            raise AvkdError(
                f"a dask task killed every worker it was given to ({error.task}); look into "
                "the workers' logs, and give them more memory or fewer threads"
            ) from error

    @contextmanager
    def _connect(self) -> Iterator[Client]:
        _hush()
        if self._scheduler:
            with _open_client(self._scheduler) as client:
                yield client
            return
        with (
            _kept_environment(),
            dask.config.set(_PATIENCE),
            self._start_cluster() as cluster,
            Client(cluster) as client,
        ):
            client.register_plugin(_DeafToSignals())
            yield client

    @contextmanager
    def _start_cluster(self) -> Iterator[LocalCluster]:
        others = set(multiprocessing.active_children())
        with deaf_children():
            cluster = LocalCluster(
                n_workers=self._num_workers,
                threads_per_worker=1,
                # The usual port may be another cluster's, about which dask warns.
                dashboard_address=":0",
                silence_logs=logging.CRITICAL,
                resources={"GPU": 1} if self._needs_gpu else None,
            )
        try:
            yield cluster
        finally:
            _close_cluster(cluster, others)

    def _choose_resources(self, client: Client) -> Mapping[str, float]:
        offers_gpu = any("GPU" in worker["resources"] for worker in _workers(client).values())
        if self._needs_gpu and not offers_gpu:
            raise AvkdError(
                f"no worker of {_address(client)} offers the resource GPU; start them "
                "with `dask worker ADDRESS --nthreads 1 --resources GPU=1`"
            )
        return {"GPU": 1} if offers_gpu else {}


@contextmanager
def _kept_environment() -> Iterator[None]:
    """Undo what a cluster's nannies set for their workers: OMP_NUM_THREADS=1, and more."""
    before = dict(os.environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _close_cluster(cluster: LocalCluster, others: set[multiprocessing.process.BaseProcess]) -> None:
    """Close it within a time: a worker that is being restarted can make it wait for ever.

    Args:
        cluster: of this process.
        others: children of this process that are not its workers.
    """
    try:
        cluster.close(timeout=CLOSE_SECONDS)
    except Exception:  # of whatever kind: what is left of it ends here
        cluster.status = Status.closed
    finally:
        for child in set(multiprocessing.active_children()) - others:
            if child.name.startswith(_WORKER_PROCESS):
                child.kill()


def _open_client(scheduler: str) -> Client:
    try:
        client = Client(scheduler, timeout=CONNECT_SECONDS)
    except (OSError, ValueError) as error:
        raise AvkdError(
            f"no dask scheduler answers at {scheduler!r}; start one with `dask scheduler` or check "
            "the address"
        ) from error
    try:
        client.wait_for_workers(1, timeout=WORKER_SECONDS)
    except TimeoutError as error:
        client.close()
        raise AvkdError(
            f"no worker joined the dask scheduler {scheduler} within {WORKER_SECONDS} s; start "
            f"some with `dask worker {scheduler} --nthreads 1`"
        ) from error
    return client


def _run_window(
    client: Client,
    function: Callable[[Task], Result],
    tasks: Iterator[Task],
    resources: Mapping[str, float],
    stop_seconds: float,
    most_away: float | None,
) -> Iterator[Result]:
    """Keep no more in flight than workers may have, so that a run can stop soon."""
    in_flight: list[Any] = []
    while True:
        num_free = MOST_AT_ONCE * max(1, _num_threads(client, resources)) - len(in_flight)
        for task in itertools.islice(tasks, max(0, num_free)):
            in_flight.append(_submit(client, function, task, resources))
        if not in_flight:
            return
        future = _await_one(client, in_flight, most_away)
        in_flight.remove(future)
        try:
            result = future.result()
        except Exception:
            _let_finish(in_flight, stop_seconds)
            raise
        yield result


def _await_one(client: Client, futures: list[Any], most_away: float | None) -> Any:
    """Wait for one that is done.

    Raises:
        AvkdError: there was no worker for ``most_away`` seconds; None waits for ever.
    """
    last_seen = time.monotonic()
    while True:
        with suppress(TimeoutError):
            wait_for(futures, timeout=_LOOK_SECONDS, return_when="FIRST_COMPLETED")
            return next(future for future in futures if future.done())
        if _workers(client):
            last_seen = time.monotonic()
        elif most_away is not None and time.monotonic() - last_seen > most_away:
            raise AvkdError(
                f"the workers of the local dask cluster died, and none came back in {most_away:g} "
                "s; repeat the command with fewer workers: what is committed is kept"
            )


def _let_finish(futures: Iterable[Any], seconds: float) -> None:
    """Wait for tasks in hand when another one has failed: what they commit is not done again."""
    running = [future for future in futures if not future.done()]
    if running:
        with suppress(Exception):  # of several failures the first is told
            wait_for(running, timeout=seconds)


def _submit(
    client: Client, function: Callable[[Any], Any], task: Any, resources: Mapping[str, float]
) -> Any:
    # The key names the task in dask's messages; it is unique, for the same task may come again.
    return client.submit(
        _do,
        function,
        task,
        key=f"{task} {uuid.uuid4().hex}",
        retries=NUM_RETRIES,
        resources=dict(resources) or None,
    )


_finishing = threading.Lock()
"""Held in a worker by the task that is being finished beside the next."""


def _do(function: Callable[[Task], Result], task: Task) -> Result:
    """Do a task in a worker; when it lets the next begin, its thread no longer counts as busy.

    Where another task is still being finished, that comes to nothing.
    """
    is_beside = False

    def let_next_begin() -> None:
        nonlocal is_beside
        if not is_beside and _finishing.acquire(blocking=False):
            is_beside = True
            secede()

    try:
        with with_hooks(TaskHooks(let_next_begin=let_next_begin)):
            return function(task)
    finally:
        if is_beside:
            _finishing.release()


def _num_threads(client: Client, resources: Mapping[str, float]) -> int:
    workers = _workers(client).values()
    if resources:
        return int(sum(worker["resources"].get("GPU", 0) for worker in workers))
    return sum(worker["nthreads"] for worker in workers)


def _workers(client: Client) -> Mapping[str, Any]:
    workers: Mapping[str, Any] = client.scheduler_info(n_workers=-1)["workers"]
    return workers


def _address(client: Client) -> str:
    return str(client.scheduler_info()["address"])


def _hush() -> None:
    """A dying worker is dask's to mend and ours to report; its logs would bury the progress bar."""
    for name in ("distributed", "tornado"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


class _DeafToSignals(WorkerPlugin):
    """A signal to the whole process group is for the parent, which lets tasks in hand finish."""

    name = "avkd-deaf-to-signals"

    def setup(self, worker: Worker) -> None:
        """Ignore what asks to stop, in a worker that is a process of its own."""
        if threading.current_thread() is threading.main_thread():
            ignore_stop_signals()
