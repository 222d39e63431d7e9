"""Tasks on a dask cluster: the only module that imports dask.

One task is one dask task: a small description in, a small receipt out. Dask computes a task again
when the worker that held its receipt dies, so a task must do no harm when it is done twice.
"""

# distributed is typed in part only.
# mypy: disallow-untyped-calls=False

import logging
import os
import signal
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from distributed import Client, KilledWorker, LocalCluster, Worker, WorkerPlugin, as_completed
from distributed.client import FutureCancelledError

from avkd.errors import AvkdError

Task = TypeVar("Task")
Result = TypeVar("Result")

NUM_RETRIES = 2
CONNECT_SECONDS = 10
WORKER_SECONDS = 60


class DaskExecutor:
    """A local cluster of single-threaded worker processes, or the cluster of a scheduler."""

    def __init__(self, *, num_workers: int, scheduler: str = "", needs_gpu: bool = False) -> None:
        """Start nothing yet.

        Args:
            num_workers: of the local cluster; without meaning where a scheduler is given.
            scheduler: address of a running scheduler; empty starts a local cluster.
            needs_gpu: whether a task occupies one unit of the worker resource ``GPU``; assumed
                as well where workers offer it.
        """
        self._num_workers = num_workers
        self._scheduler = scheduler
        self._needs_gpu = needs_gpu

    def run(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """Yield results as they complete.

        Raises:
            AvkdError: if the scheduler cannot be reached or is lost, has no fit worker, or a task
                kills every worker it is given to.
        """
        try:
            with self._connect() as client:
                resources = self._choose_resources(client)
                try:
                    yield from _run_window(client, function, iter(tasks), resources)
                except FutureCancelledError as error:
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
        resources = {"GPU": 1} if self._needs_gpu else None
        with (
            _kept_environment(),
            LocalCluster(
                n_workers=self._num_workers,
                threads_per_worker=1,
                # The usual port may be another cluster's, about which dask warns.
                dashboard_address=":0",
                silence_logs=logging.CRITICAL,
                resources=resources,
            ) as cluster,
            Client(cluster) as client,
        ):
            client.register_plugin(_DeafToSignals())
            try:
                yield client
            except KilledWorker:
                self._await_restart(client)
                raise

    def _await_restart(self, client: Client) -> None:
        """Let workers that died come back: a cluster that is closed meanwhile trips over them."""
        with suppress(TimeoutError):
            client.wait_for_workers(self._num_workers, timeout=CONNECT_SECONDS)

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
) -> Iterator[Result]:
    """Keep little more in flight than there are hands, so that a run can stop soon."""
    pending = as_completed()
    in_flight = 0
    while True:
        for task in _take(tasks, _num_hands(client, resources) + 1 - in_flight):
            pending.add(_submit(client, function, task, resources))
            in_flight += 1
        if not in_flight:
            return
        yield next(pending).result()
        in_flight -= 1


def _submit(
    client: Client, function: Callable[[Any], Any], task: Any, resources: Mapping[str, float]
) -> Any:
    # The key names the task in dask's messages; it is unique, for the same task may come again.
    return client.submit(
        function,
        task,
        key=f"{task} {uuid.uuid4().hex}",
        retries=NUM_RETRIES,
        resources=dict(resources) or None,
    )


def _take(tasks: Iterator[Task], num_tasks: int) -> Iterator[Task]:
    for _ in range(num_tasks):
        task = next(tasks, None)
        if task is None:
            return
        yield task


def _num_hands(client: Client, resources: Mapping[str, float]) -> int:
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
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
