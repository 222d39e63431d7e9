"""Signals let what is in hand finish, for a while, whoever computes it."""

import signal
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

NUM_SHARDS = 6
LONG_SECONDS = 100.0
"""Longer than any of these tests should take."""


@pytest.fixture(scope="module")
def points(crash_runs: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = crash_runs.write_points(tmp_path_factory.mktemp("corpus") / "points.jsonl", 12)
    return path


@pytest.fixture(scope="module")
def whole(
    crash_runs: ModuleType, starter: Any, points: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    store = tmp_path_factory.mktemp("whole") / "store"
    assert starter.start(crash_runs.points_command(points, store)).finish() == 0
    return store


def begin(crash_runs: ModuleType, starter: Any, command: list[str], shard_seconds: float) -> Any:
    """Start a run and wait until it has a shard in hand."""
    run = starter.start(command, shard_seconds=shard_seconds)
    crash_runs.wait_until(lambda: run.started_shards)
    return run


def assert_told(run: Any, num_shards: int) -> None:
    assert run.output.count("\n") == 1, run.output
    line = run.output
    assert f"stopped by a signal: {num_shards} of {NUM_SHARDS} shards are committed" in line
    assert "the same command goes on" in line


@pytest.mark.parametrize(
    ("number", "executor"),
    [
        (signal.SIGTERM, "serial"),
        (signal.SIGUSR1, "serial"),
        (signal.SIGINT, "processes"),
        (signal.SIGUSR1, "processes"),
        (signal.SIGTERM, "dask"),
        (signal.SIGUSR1, "dask"),
    ],
)
def test_a_signal_to_the_whole_group_lets_the_shards_in_hand_finish(
    crash_runs: ModuleType,
    starter: Any,
    points: Path,
    whole: Path,
    tmp_path: Path,
    number: signal.Signals,
    executor: str,
) -> None:
    store = tmp_path / "store"
    command = crash_runs.points_command(points, store, "--executor", executor)
    run = begin(crash_runs, starter, [*command, "--stop-seconds", "200"], 1.0)
    run.send(number)
    assert run.finish() == 75, run.output
    standing = crash_runs.examine_store(store)
    assert standing.whole_shards == set(run.started_shards)
    assert 0 < len(standing.whole_shards) < NUM_SHARDS
    assert_told(run, len(standing.whole_shards))
    assert starter.start(command).finish() == 0
    assert crash_runs.content_files(store) == crash_runs.content_files(whole)


@pytest.mark.parametrize("executor", ["serial", "processes", "dask"])
def test_what_is_not_finished_by_the_deadline_is_dropped(
    crash_runs: ModuleType, starter: Any, points: Path, tmp_path: Path, executor: str
) -> None:
    store = tmp_path / "store"
    command = crash_runs.points_command(points, store, "--executor", executor)
    run = begin(crash_runs, starter, [*command, "--stop-seconds", "0.5"], LONG_SECONDS)
    run.send(signal.SIGTERM)
    assert run.finish() == 75, run.output
    standing = crash_runs.examine_store(store)
    assert (standing.num_commits, standing.num_temporary) == (0, 0)
    assert_told(run, 0)


def test_what_is_decoded_beyond_the_deadline_is_dropped_too(
    crash_runs: ModuleType, starter: Any, tmp_path: Path
) -> None:
    """Where there are files, one process has two shards in hand, in threads."""
    sounds = crash_runs.write_sounds(tmp_path / "sounds", 3)
    command = crash_runs.sounds_command(sounds, tmp_path / "store", "--stop-seconds", "0.5")
    run = begin(crash_runs, starter, command, LONG_SECONDS)
    run.send(signal.SIGUSR1)
    assert run.finish() == 75, run.output
    standing = crash_runs.examine_store(tmp_path / "store")
    assert (standing.num_commits, standing.num_temporary) == (0, 0)


def test_a_second_ctrl_c_ends_the_run_at_once(
    crash_runs: ModuleType, starter: Any, points: Path, tmp_path: Path
) -> None:
    command = crash_runs.points_command(points, tmp_path / "store", "--stop-seconds", "200")
    run = begin(crash_runs, starter, command, LONG_SECONDS)
    # Again and again, for two that come too close to each other are one.
    while run.wait(0.5) is None:
        run.send(signal.SIGINT)
    assert run.finish() == 75, run.output
    assert crash_runs.examine_store(tmp_path / "store").num_commits == 0


def test_signals_that_schedulers_repeat_are_no_impatience(
    crash_runs: ModuleType, starter: Any, points: Path, tmp_path: Path
) -> None:
    command = crash_runs.points_command(points, tmp_path / "store", "--stop-seconds", "200")
    run = begin(crash_runs, starter, command, 1.5)
    for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGTERM):
        run.send(number)
        time.sleep(0.1)
    assert run.finish() == 75, run.output
    assert len(crash_runs.examine_store(tmp_path / "store").whole_shards) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_decode_children_do_not_hear_what_is_meant_for_their_parent(
    crash_runs: ModuleType, starter: Any, tmp_path: Path, number: signal.Signals
) -> None:
    sounds = crash_runs.write_sounds(tmp_path / "sounds", 3)
    command = crash_runs.sounds_command(sounds, tmp_path / "store", "--stop-seconds", "200")
    run = begin(crash_runs, starter, command, 1.0)

    def list_children() -> set[int]:
        return {p for p, line in run.processes().items() if crash_runs.DECODE_CHILD in line}

    before = list_children()
    run.send(number)
    time.sleep(0.3)
    assert before
    assert list_children() == before
    assert run.finish() == 75, run.output
