"""Several runs that fill one store at the same time."""

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from avkd.pipeline import extract
from avkd.pipeline.extraction.request import ExtractRequest

NUM_POINTS, NUM_SHARDS = 12, 6


@pytest.fixture(scope="module")
def points(crash_runs: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six shards of points; in a second table half of them, in the same order from their end."""
    folder = tmp_path_factory.mktemp("points")
    lines = crash_runs.write_points(folder / "all.jsonl", NUM_POINTS).read_text().splitlines(True)
    (folder / "first.jsonl").write_text("".join(lines[:8]))
    (folder / "last.jsonl").write_text("".join(lines[4:]))
    return folder


@pytest.fixture(scope="module")
def whole_digest(
    crash_runs: ModuleType, starter: Any, points: Path, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """The digest of what one run makes of all points."""
    store = tmp_path_factory.mktemp("whole") / "store"
    run = starter.start(crash_runs.points_command(points / "all.jsonl", store))
    assert run.finish() == 0, run.output
    digest: str = crash_runs.content_digest(store)
    return digest


def run_together(
    starter: Any, commands: list[list[str]], shard_seconds: float = 0.2
) -> list[list[int]]:
    """Start all at once, and give the shards that each has computed."""
    runs = [starter.start(command, shard_seconds=shard_seconds) for command in commands]
    for run in runs:
        assert run.finish() == 0, run.output
    return [run.started_shards for run in runs]


@pytest.mark.parametrize("turn", range(3))
def test_two_runs_that_plan_and_compute_the_same_share_the_work(
    crash_runs: ModuleType,
    starter: Any,
    points: Path,
    whole_digest: str,
    tmp_path: Path,
    turn: int,
) -> None:
    store = tmp_path / "store"
    command = crash_runs.points_command(points / "all.jsonl", store)
    one, other = run_together(starter, [command, command])
    standing = crash_runs.examine_store(store)
    assert (standing.num_commits, standing.num_temporary) == (2 * NUM_SHARDS, 0)
    assert crash_runs.content_digest(store) == whole_digest
    # Twice at most are the first shards, where they meet, and the last, where they meet again.
    assert len(one) + len(other) - NUM_SHARDS <= 2
    assert {*one, *other} == set(range(NUM_SHARDS))


def test_runs_of_two_producers_both_end_well(
    crash_runs: ModuleType, starter: Any, points: Path, whole_digest: str, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    commands = [
        crash_runs.points_command(points / "all.jsonl", store, "--vector", name)
        for name in ("alpha", "beta")
    ]
    run_together(starter, commands)
    assert crash_runs.examine_store(store).num_commits == 2 * NUM_SHARDS
    assert crash_runs.content_digest(store) == whole_digest


@pytest.mark.parametrize("turn", range(3))
def test_runs_over_corpora_that_overlap_plan_every_recording_once(
    crash_runs: ModuleType,
    starter: Any,
    points: Path,
    whole_digest: str,
    tmp_path: Path,
    turn: int,
) -> None:
    store = tmp_path / "store"
    commands = [
        crash_runs.points_command(points / f"{name}.jsonl", store) for name in ("first", "last")
    ]
    run_together(starter, commands, shard_seconds=0.0)
    # A run that ended before the other planned knows nothing of what that one added.
    run_together(starter, commands[:1])
    crash_runs.examine_store(store)
    assert crash_runs.content_digest(store) == whole_digest


def test_a_run_that_is_overtaken_while_it_plans_looks_again(
    points: Path, whole_digest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def request(corpus: str) -> ExtractRequest:
        return ExtractRequest(
            corpus=str(points / f"{corpus}.jsonl"),
            store=str(tmp_path / "store"),
            vectors=("alpha", "beta"),
            rows_per_shard=2,
        )

    write_plan = extract.write_plan
    rivals = [request("first"), request("last")]

    def be_overtaken(plan: Any) -> Any:
        if rivals:
            rival = rivals.pop(0)
            kept = rivals.copy()
            rivals.clear()
            extract.extract_teacher(rival)
            rivals.extend(kept)
        return write_plan(plan)

    monkeypatch.setattr(extract, "write_plan", be_overtaken)
    report = extract.extract_teacher(request("all"))
    assert (report.num_clips, report.num_shards_done) == (NUM_POINTS, 0)
    assert report.content_digest == whole_digest


def test_two_runs_that_want_other_rows_are_told_apart(
    crash_runs: ModuleType, starter: Any, points: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    command = crash_runs.points_command(points / "all.jsonl", store)
    other = [*command, "--rows-per-shard", "3"]
    runs = [starter.start(each) for each in (command, other)]
    codes = sorted(run.finish() for run in runs)
    assert codes == [0, 2], [run.output for run in runs]
    loser = next(run for run in runs if run.finish() == 2)
    (line,) = loser.output.splitlines()
    assert "rows_per_shard" in line
    assert "of the store" in line
    crash_runs.examine_store(store)
