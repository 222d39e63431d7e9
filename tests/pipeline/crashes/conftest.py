"""Runs that are killed, raced and starved: by the machinery of benchmarks/crash_runs.py."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


@pytest.fixture(scope="session")
def crash_runs() -> Iterator[ModuleType]:
    """The module of that name."""
    if sys.platform != "linux":
        pytest.skip("processes are found in /proc")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        spec = importlib.util.spec_from_file_location("crash_runs", BENCHMARKS / "crash_runs.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        patch.setitem(sys.modules, "crash_runs", module)
        spec.loader.exec_module(module)
        yield module


@pytest.fixture(scope="session")
def starter(crash_runs: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Starts runs."""
    with crash_runs.Starter(tmp_path_factory.mktemp("runs")) as starter:
        yield starter
