"""Tasks are expressions for ``eval``: a worker can import that, and not this module."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from avkd.errors import AvkdError, FingerprintMismatchError, MediaError
from avkd.pipeline.process_executor import ProcessExecutor

PID = "__import__('os').getpid()"
DIE = "__import__('os')._exit(9)"


def die_once(marker: Path) -> str:
    return f"'alive' if __import__('os').path.exists({str(marker)!r}) else ({mark(marker)}, {DIE})"


def mark(marker: Path) -> str:
    return f"open({str(marker)!r}, 'w').close()"


def test_results_of_all_tasks_come_back() -> None:
    results = list(ProcessExecutor(2).run(eval, [f"{number} ** 2" for number in range(7)]))
    assert sorted(results) == [0, 1, 4, 9, 16, 25, 36]


def test_tasks_run_in_as_many_other_processes_as_asked_for_and_no_more() -> None:
    slow_pid = f"(__import__('time').sleep(0.05), {PID})[1]"
    pids = set(ProcessExecutor(2).run(eval, [slow_pid] * 6))
    assert len(pids) == 2
    assert os.getpid() not in pids


def test_a_task_is_drawn_only_when_a_worker_is_free() -> None:
    drawn: list[int] = []

    def tasks() -> Iterator[str]:
        for number in range(6):
            drawn.append(number)
            yield "0"

    results = ProcessExecutor(2).run(eval, tasks())
    next(results)
    assert len(drawn) == 2
    assert len(list(results)) == 5


def test_a_worker_that_dies_costs_nothing_but_time(tmp_path: Path) -> None:
    tasks = ["1", die_once(tmp_path / "marker"), "2", "3"]
    assert sorted(map(str, ProcessExecutor(2).run(eval, tasks))) == ["1", "2", "3", "alive"]


def test_a_task_that_kills_every_worker_is_a_clear_error() -> None:
    with pytest.raises(AvkdError, match=r"exit code 9\) in each of 2 attempts at .*_exit"):
        list(ProcessExecutor(2).run(eval, ["1", DIE]))


def test_tasks_in_hand_finish_when_another_one_fails(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    wait = f"__import__('time').sleep(0.01) or __import__('os').path.exists({str(marker)!r})"
    slow = f"(all(iter(lambda: {wait}, True)), __import__('time').sleep(0.2), 'slow')[-1]"
    fail = f"({mark(marker)}, 1 / 0)"
    results = ProcessExecutor(2).run(eval, [slow, fail, "'never begun'"])
    assert next(results) == "slow"
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_tasks_in_hand_are_not_waited_for_longer_than_asked() -> None:
    tasks = ["__import__('time').sleep(100)", "1 / 0"]
    with pytest.raises(ZeroDivisionError):
        list(ProcessExecutor(2, stop_seconds=0.1).run(eval, tasks))


def test_an_error_of_avkd_keeps_its_class_and_message() -> None:
    task = "(_ for _ in ()).throw(__import__('avkd.errors').errors.{}('x', 'y'))"
    with pytest.raises(FingerprintMismatchError):
        list(ProcessExecutor(1).run(eval, [task.format("FingerprintMismatchError")]))
    with pytest.raises(MediaError) as caught:
        list(ProcessExecutor(1).run(eval, [task.format("MediaError")]))
    assert (caught.value.status, str(caught.value)) == ("x", "y")


def test_any_other_error_tells_where_it_happened() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        list(ProcessExecutor(1).run(eval, ["1 / 0"]))
    assert "in a worker process" in caught.value.__notes__[0]
    assert "<string>" in caught.value.__notes__[0]


def test_an_error_that_does_not_pickle_still_tells_what_it_was() -> None:
    task = "(_ for _ in ()).throw(type('Odd', (Exception,), {})('strange'))"
    with pytest.raises(RuntimeError, match="strange"):
        list(ProcessExecutor(1).run(eval, [task]))


def test_a_run_that_is_given_up_leaves_no_worker() -> None:
    results = ProcessExecutor(2).run(eval, [PID, "__import__('time').sleep(60)"])
    pid = next(results)
    results.close()
    assert not is_running(pid)


def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    file = f"{str(tmp_path)!r} + '/' + str({PID})"
    task = f"(open({file}, 'w').close(), __import__('time').sleep(60))"
    code = (
        "from avkd.pipeline.process_executor import ProcessExecutor\n"
        f"if __name__ == '__main__': list(ProcessExecutor(2).run(eval, [{task!r}] * 2))\n"
    )
    script = tmp_path / "run.py"
    script.write_text(code)
    parent = subprocess.Popen([sys.executable, str(script)])
    wait_for(lambda: len(list(tmp_path.iterdir())) == 3)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    pids = [int(path.name) for path in tmp_path.iterdir() if path != script]
    assert len(pids) == 2
    wait_for(lambda: not any(is_running(pid) for pid in pids))


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    """A zombie, which nobody waits for in a container, has ended too."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


OFFER = "__import__('avkd.pipeline.task_hooks', fromlist=['']).let_next_begin()"


def awaits(path: Path) -> str:
    """Wait, for ten seconds at most, until a file is there."""
    there = f"__import__('os').path.exists({str(path)!r})"
    return f"any({there} or __import__('time').sleep(0.01) for _ in range(1000))"


def test_a_task_that_lets_the_next_begin_is_finished_beside_the_next(tmp_path: Path) -> None:
    second = tmp_path / "second"
    tasks = [
        f"({OFFER}, {awaits(second)}, {PID})[1:]",
        f"({mark(second)}, True, {PID})[1:]",
    ]
    results = list(ProcessExecutor(1).run(eval, tasks))
    assert [is_met for is_met, _ in results] == [True, True]
    assert results[0][1] == results[1][1]


def test_a_death_costs_both_tasks_one_attempt(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    tasks = [f"({OFFER}, {awaits(marker)}, 'first')[2]", die_once(marker)]
    assert sorted(ProcessExecutor(1).run(eval, tasks)) == ["alive", "first"]


def test_idle_workers_come_before_those_that_let_the_next_begin() -> None:
    slow = f"({OFFER}, __import__('time').sleep(0.3), {PID})[2]"
    assert len(set(ProcessExecutor(2).run(eval, [slow] * 2))) == 2
