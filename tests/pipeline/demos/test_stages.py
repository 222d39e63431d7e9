import time

import pytest

from avkd.pipeline.demos.stages import (
    DemoEvent,
    DemoStages,
    count_commits,
    count_updates,
    expect_commits,
)


@pytest.fixture
def told():
    return []


@pytest.fixture
def stages(told):
    return DemoStages(on_progress=told.append)


def test_a_stage_that_ended_has_its_time_and_one_that_failed_has_none(stages):
    with stages.timed("world"):
        time.sleep(0.05)
    with pytest.raises(ZeroDivisionError), stages.timed("students"):
        raise ZeroDivisionError
    assert list(stages.seconds) == ["world"]
    assert stages.seconds["world"] >= 0.04
    assert stages.rounded_seconds["world"] == round(stages.seconds["world"], 1)


def test_a_watched_stage_tells_its_count_at_the_end(stages, told):
    with stages.watched("extraction", lambda: 3, 4):
        pass
    assert told[-1] == DemoEvent(stage="extraction", num_done=3, num_total=4)


def test_demos_do_not_share_their_times(stages):
    with stages.timed("world"):
        pass
    assert DemoStages(on_progress=print).seconds == {}


def test_updates_are_counted_over_all_runs_that_have_begun(tmp_path):
    runs = [tmp_path / name for name in ("a", "b", "later")]
    for run, text in zip(runs, ("{}\n{}\n", "{}\n"), strict=False):
        run.mkdir()
        (run / "metrics.jsonl").write_text(text)
    assert count_updates(runs) == 3


def test_commits_are_counted_over_all_producers(tmp_path):
    assert count_commits(tmp_path / "none") == 0
    for name in ("rgb/0", "rgb/1", "waveform/0"):
        file = tmp_path / "commits" / f"{name}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    assert count_commits(tmp_path) == 3


@pytest.mark.parametrize(("num_clips", "num_commits"), [(32, 3), (33, 6), (0, 0)])
def test_a_shard_that_is_not_full_is_one_too(num_clips, num_commits):
    assert expect_commits(num_clips, rows_per_shard=32, num_producers=3) == num_commits
