"""Tasks are expressions for ``eval``: a worker can import that, and not this module."""

import itertools
import logging
import multiprocessing
import os
from collections.abc import Iterator
from pathlib import Path

import dask
import pytest
from distributed import LocalCluster

from avkd.errors import AvkdError, MediaError
from avkd.pipeline import dask_executor
from avkd.pipeline.dask_executor import DaskExecutor

PID = "__import__('os').getpid()"
KILL = f"__import__('os').kill({PID}, 9)"


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """The address of a scheduler with one worker that has two threads and one GPU to offer."""
    before = dict(os.environ)
    with LocalCluster(  # type: ignore[no-untyped-call]
        n_workers=1,
        threads_per_worker=2,
        dashboard_address=":0",
        silence_logs=logging.CRITICAL,
        resources={"GPU": 1},
    ) as cluster:
        yield cluster.scheduler_address
    # A nanny sets variables for its workers that later tests must not see.
    os.environ.clear()
    os.environ.update(before)


def test_a_local_cluster_survives_the_death_of_a_worker(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    die_once = (
        f"'alive' if __import__('os').path.exists({str(marker)!r}) "
        f"else (open({str(marker)!r}, 'w').close(), {KILL})"
    )
    pid = f"(__import__('time').sleep(0.1), {PID})[1]"
    results = list(DaskExecutor(num_workers=2).run(eval, [die_once, *[pid] * 6]))
    assert len(results) == 7
    assert "alive" in results
    assert os.getpid() not in results


def test_a_local_cluster_leaves_our_environment_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = dict(os.environ)
    assert list(DaskExecutor(num_workers=1).run(eval, ["1 + 1"])) == [2]
    assert dict(os.environ) == before


def test_a_task_that_kills_every_worker_is_a_clear_error() -> None:
    with pytest.raises(AvkdError, match="killed every worker it was given to"):
        list(DaskExecutor(num_workers=1).run(eval, [KILL]))


def test_workers_that_come_back_late_are_waited_for() -> None:
    """On a busy machine a worker takes longer to start than dask gives it."""
    with (
        dask.config.set({"distributed.deploy.lost-worker-timeout": "1ms"}),
        pytest.raises(AvkdError, match="killed every worker it was given to"),
    ):
        list(DaskExecutor(num_workers=1).run(eval, [KILL]))


def test_workers_that_do_not_come_back_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_executor, "_PATIENCE", {})
    monkeypatch.setattr(dask_executor, "_LOOK_SECONDS", 0.05)
    monkeypatch.setattr(dask_executor, "RESTART_SECONDS", 0.5)
    with (
        dask.config.set({"distributed.deploy.lost-worker-timeout": "1ms"}),
        pytest.raises(AvkdError, match=r"none came back in 0\.5 s"),
    ):
        list(DaskExecutor(num_workers=1).run(eval, [KILL]))


def test_a_cluster_that_does_not_close_in_time_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_executor, "CLOSE_SECONDS", 0.01)
    others = set(multiprocessing.active_children())
    results = DaskExecutor(num_workers=1).run(eval, ["1", "__import__('time').sleep(100)"])
    next(results)
    (worker,) = set(multiprocessing.active_children()) - others
    results.close()
    worker.join(10)
    # Not by its exit code: the cluster's own threads may have asked for that first.
    with pytest.raises(ProcessLookupError):
        os.kill(worker.pid, 0)


OFFER = "__import__('avkd.pipeline.task_hooks', fromlist=['']).let_next_begin()"
NOW = "__import__('time').time()"


def test_a_task_that_lets_the_next_begin_is_finished_beside_the_next(tmp_path: Path) -> None:
    second = tmp_path / "second"
    there = f"__import__('os').path.exists({str(second)!r})"
    met = f"any({there} or __import__('time').sleep(0.01) for _ in range(1000))"
    tasks = [
        f"({OFFER}, {met}, {PID})[1:]",
        f"(open({str(second)!r}, 'w').close(), True, {PID})[1:]",
    ]
    results = list(DaskExecutor(num_workers=1).run(eval, tasks))
    assert [is_met for is_met, _ in results] == [True, True]
    assert results[0][1] == results[1][1]


def test_a_worker_has_two_tasks_in_hand_at_most() -> None:
    span = f"({NOW}, {OFFER}, __import__('time').sleep(0.05), {NOW})[::3]"
    spans = list(DaskExecutor(num_workers=1).run(eval, [span] * 6))
    assert max(sum(a <= begin < b for a, b in spans) for begin, _ in spans) <= 2


def test_a_schedulers_workers_do_the_tasks(scheduler: str) -> None:
    pids = list(DaskExecutor(num_workers=9, scheduler=scheduler).run(eval, [PID] * 5))
    assert len(pids) == 5
    assert len(set(pids) - {os.getpid()}) == 1


def test_tasks_take_the_gpus_that_workers_offer(scheduler: str) -> None:
    # Two threads but one GPU: the tasks never overlap.
    span = "(__import__('time').time(), __import__('time').sleep(0.05), __import__('time').time())"
    spans = sorted(DaskExecutor(num_workers=1, scheduler=scheduler).run(eval, [span] * 4))
    assert all(one[2] <= later[0] for one, later in itertools.pairwise(spans))


def test_an_error_of_avkd_keeps_its_class(scheduler: str) -> None:
    task = "(_ for _ in ()).throw(__import__('avkd.errors').errors.MediaError('timeout', 'slow'))"
    with pytest.raises(MediaError, match="slow") as caught:
        list(DaskExecutor(num_workers=1, scheduler=scheduler).run(eval, [task]))
    assert caught.value.status == "timeout"


def test_few_tasks_are_in_flight_at_a_time(scheduler: str) -> None:
    drawn: list[int] = []

    def tasks() -> Iterator[str]:
        for number in range(10):
            drawn.append(number)
            yield "0"

    results = DaskExecutor(num_workers=1, scheduler=scheduler).run(eval, tasks())
    next(results)
    assert len(drawn) == 2
    results.close()


@pytest.mark.parametrize(
    ("num_workers", "needs_gpu", "message"),
    [
        (1, True, "offers the resource GPU; start them with"),
        (0, False, r"no worker joined the dask scheduler .* `dask worker inproc://"),
    ],
)
def test_a_scheduler_without_fit_workers_is_a_clear_error(
    num_workers: int, needs_gpu: bool, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask_executor, "WORKER_SECONDS", 0.2)
    with LocalCluster(  # type: ignore[no-untyped-call]
        n_workers=num_workers, processes=False, dashboard_address=":0"
    ) as cluster:
        address = cluster.scheduler_address
        executor = DaskExecutor(num_workers=1, scheduler=address, needs_gpu=needs_gpu)
        with pytest.raises(AvkdError, match=message):
            list(executor.run(eval, ["1"]))


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nonsense://x"])
def test_a_scheduler_that_does_not_answer_is_a_clear_error(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask_executor, "CONNECT_SECONDS", 0.5)
    with pytest.raises(AvkdError, match=f"no dask scheduler answers at '{address}'") as caught:
        list(DaskExecutor(num_workers=1, scheduler=address).run(eval, ["1"]))
    assert "\n" not in str(caught.value)
