"""Where tasks are computed: the Protocol, and the serial executor, which is the specification.

Tasks are drawn one at a time, when there is somebody to do them: when the iterable ends early,
the executor finishes what it holds and is done.
"""

from collections.abc import Callable, Generator, Iterable
from typing import Literal, Protocol, TypeAlias, TypeVar, get_args

from avkd.errors import InvalidValueError, UnknownNameError

Task = TypeVar("Task")
Result = TypeVar("Result")
ExecutorName: TypeAlias = Literal["serial", "processes", "dask"]

STOP_SECONDS = 20.0


class Executor(Protocol):
    """Something that applies a function to tasks."""

    def run(
        self, function: Callable[[Task], Result], tasks: Iterable[Task]
    ) -> Generator[Result, None, None]:
        """Yield results as they complete; the first exception of a task ends the run.

        Tasks in hand are then given a while to finish, and their results are yielded first. Whoever
        reads no further closes it, which gives up what is in hand.
        """
        ...


class SerialExecutor:
    """One task after the other, in this process."""

    def run(
        self, function: Callable[[Task], Result], tasks: Iterable[Task]
    ) -> Generator[Result, None, None]:
        """Yield results in the order of the tasks."""
        for task in tasks:
            yield function(task)


def check_executor(name: str, *, num_workers: int, scheduler: str) -> None:
    """Check a choice of executor, without importing anything.

    Raises:
        UnknownNameError: if there is no such executor.
        InvalidValueError: if the options do not go together.
    """
    if name not in get_args(ExecutorName):
        raise UnknownNameError("executor", name, get_args(ExecutorName))
    if num_workers < 1:
        raise InvalidValueError(f"workers {num_workers} must be 1 or more")
    if scheduler and name != "dask":
        raise InvalidValueError(
            f"scheduler {scheduler!r} is of use to the dask executor, not to {name}; "
            "choose --executor dask"
        )


def build_executor(
    name: str,
    *,
    num_workers: int = 1,
    scheduler: str = "",
    needs_gpu: bool = False,
    stop_seconds: float = STOP_SECONDS,
) -> Executor:
    """Build an executor by name; only ``dask`` imports dask.

    Args:
        name: ``serial``, ``processes`` or ``dask``.
        num_workers: processes to start; of no meaning to ``serial`` and with a scheduler.
        scheduler: address of a running dask scheduler, such as ``tcp://host:8786``.
        needs_gpu: whether a task occupies the dask resource ``GPU``.
        stop_seconds: what tasks in hand are given when another one has failed.
    """
    check_executor(name, num_workers=num_workers, scheduler=scheduler)
    if name == "serial":
        return SerialExecutor()
    if name == "processes":
        from avkd.pipeline.process_executor import ProcessExecutor

        return ProcessExecutor(num_workers, stop_seconds=stop_seconds)
    from avkd.pipeline.dask_executor import DaskExecutor

    return DaskExecutor(
        num_workers=num_workers,
        scheduler=scheduler,
        needs_gpu=needs_gpu,
        stop_seconds=stop_seconds,
    )
