import subprocess
import sys

import pytest

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.pipeline.executor import SerialExecutor, build_executor


def test_serial_draws_a_task_when_the_one_before_is_done() -> None:
    events: list[str] = []

    def tasks() -> object:
        for number in range(3):
            events.append(f"draw {number}")
            yield number

    def square(number: int) -> int:
        events.append(f"do {number}")
        return number * number

    assert list(SerialExecutor().run(square, tasks())) == [0, 1, 4]  # type: ignore[arg-type]
    assert events == ["draw 0", "do 0", "draw 1", "do 1", "draw 2", "do 2"]


def test_an_unknown_executor_is_refused_with_a_close_match() -> None:
    with pytest.raises(UnknownNameError, match="did you mean processes"):
        build_executor("process")


def test_less_than_one_worker_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="workers 0 must be 1 or more"):
        build_executor("processes", num_workers=0)


def test_a_scheduler_is_refused_where_it_would_be_ignored() -> None:
    with pytest.raises(InvalidValueError, match="choose --executor dask"):
        build_executor("serial", scheduler="tcp://host:8786")


def test_only_the_dask_executor_imports_dask() -> None:
    code = (
        "import sys\n"
        "from avkd.pipeline.executor import build_executor\n"
        "build_executor('serial'), build_executor('processes', num_workers=2)\n"
        "assert not {'dask', 'distributed', 'torch'} & set(sys.modules)\n"
        "build_executor('dask')\n"
        "assert 'distributed' in sys.modules and 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
