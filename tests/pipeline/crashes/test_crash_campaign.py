"""Killed at every durable step and at random moments, an extraction ends as if undisturbed."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from avkd.storage.fault_points import FAULT_POINTS, VARIABLE


@pytest.fixture(scope="module")
def points(crash_runs: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three points, and with these and two more."""
    folder = tmp_path_factory.mktemp("points")
    crash_runs.write_points(folder / "few.jsonl", 3)
    crash_runs.write_points(folder / "more.jsonl", 5)
    return folder


@pytest.fixture(scope="module")
def sounds(crash_runs: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings that are ten shards of two clips."""
    folder: Path = crash_runs.write_sounds(
        tmp_path_factory.mktemp("corpus") / "sounds", 5, seconds=4.0
    )
    return folder


@pytest.fixture(scope="module")
def undisturbed(
    crash_runs: ModuleType, starter: Any, points: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, int]]:
    """A store of three shards that two commands filled, and how often they passed each point."""
    store = tmp_path_factory.mktemp("undisturbed") / "store"
    armed = {VARIABLE: f"{FAULT_POINTS[0]}:1000000"}
    run = starter.start(*fill_twice(crash_runs, points, store), environment=armed)
    assert run.finish() == 0, run.output
    return store, run.passings


def fill_twice(crash_runs: ModuleType, points: Path, store: Path) -> list[list[str]]:
    """Commands of which the second one plans anew, and makes arrays longer."""
    return [crash_runs.points_command(points / name, store) for name in ("few.jsonl", "more.jsonl")]


def test_there_is_no_fault_point_that_is_never_passed(
    undisturbed: tuple[Path, dict[str, int]],
) -> None:
    assert set(undisturbed[1]) == set(FAULT_POINTS)


@pytest.mark.parametrize("point", FAULT_POINTS)
def test_a_run_that_dies_at_a_durable_step_loses_nothing_and_ends_the_same(
    crash_runs: ModuleType,
    starter: Any,
    points: Path,
    undisturbed: tuple[Path, dict[str, int]],
    tmp_path: Path,
    point: str,
) -> None:
    whole, passings = undisturbed
    first, middle = 1, passings[point] // 2 + 1
    for number in sorted({first, middle}):
        store = tmp_path / f"store{number}"
        commands = fill_twice(crash_runs, points, store)
        killed = starter.start(*commands, environment={VARIABLE: f"{point}:{number}"})
        assert killed.finish() == -signal.SIGKILL, killed.output
        left = crash_runs.examine_store(store)
        assert left.num_temporary <= 1
        resumed = starter.start(*commands)
        assert resumed.finish() == 0, resumed.output
        crash_runs.examine_store(store)
        assert not left.whole_shards & set(resumed.started_shards)
        assert crash_runs.content_digest(store) == crash_runs.content_digest(whole)
        assert crash_runs.content_files(store) == crash_runs.content_files(whole)


def test_the_command_line_itself_dies_and_goes_on(
    crash_runs: ModuleType, points: Path, undisturbed: tuple[Path, dict[str, int]], tmp_path: Path
) -> None:
    command = crash_runs.points_command(points / "more.jsonl", tmp_path / "store")
    words = [sys.executable, "-m", "avkd", *command]
    armed = {**os.environ, VARIABLE: "before-commit:3"}
    killed = subprocess.run(words, env=armed, capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    assert crash_runs.examine_store(tmp_path / "store").num_commits == 2
    subprocess.run(words, check=True, capture_output=True)
    digest = crash_runs.content_digest(tmp_path / "store")
    assert digest == crash_runs.content_digest(undisturbed[0])


@pytest.mark.parametrize(
    ("executor", "num_workers", "num_kills"), [("serial", 1, 5), ("processes", 2, 3)]
)
def test_killing_the_whole_tree_at_random_costs_no_more_than_what_was_in_flight(
    crash_runs: ModuleType,
    starter: Any,
    sounds: Path,
    tmp_path: Path,
    executor: str,
    num_workers: int,
    num_kills: int,
) -> None:
    workers = ("--executor", executor, "--workers", str(num_workers))
    campaign = crash_runs.kill_at_random(
        starter,
        lambda store: crash_runs.sounds_command(sounds, store, *workers),
        tmp_path,
        num_kills=num_kills,
        max_in_flight=num_workers * crash_runs.SHARDS_OF_A_WORKER,
        seed=6,
    )
    assert len(campaign.kills) == num_kills
    assert campaign.num_clips == 20 * campaign.num_stores
    lost = sum(kill.num_clips_lost for kill in campaign.kills)
    assert campaign.num_clips_computed - campaign.num_clips == lost


@pytest.mark.parametrize("victim", ["worker", "decode child"])
def test_a_child_that_is_killed_alone_costs_its_shard_at_most_and_the_run_ends_well(
    crash_runs: ModuleType, starter: Any, sounds: Path, tmp_path: Path, victim: str
) -> None:
    words = {"worker": crash_runs.WORKER, "decode child": crash_runs.DECODE_CHILD}
    executor = {"worker": "processes", "decode child": "serial"}[victim]

    def command(store: str) -> list[str]:
        words: list[str] = crash_runs.sounds_command(
            sounds, tmp_path / store, "--executor", executor
        )
        return words

    assert starter.start(command("whole")).finish() == 0
    run = starter.start(command("store"), shard_seconds=0.3)
    crash_runs.wait_until(lambda: len(run.started_shards) >= 2)
    run.kill_one(words[victim])
    assert run.finish() == 0, run.output
    assert len(run.started_shards) <= 10 + crash_runs.SHARDS_OF_A_WORKER
    crash_runs.examine_store(tmp_path / "store")
    assert crash_runs.content_files(tmp_path / "store") == crash_runs.content_files(
        tmp_path / "whole"
    )
