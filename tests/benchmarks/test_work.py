from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture(scope="module")
def lists(bench: Callable[[str], ModuleType]) -> ModuleType:
    return bench("work")


def test_the_picture_of_an_instant_is_the_one_on_screen_then(work: Any) -> None:
    for each in work.recordings:
        assert len(each.instants) == len(each.frame_seconds) == len(each.frame_indices)
        assert list(each.instants) == sorted(each.instants)
        shown = zip(each.instants, each.frame_seconds, strict=True)
        assert all(0 <= instant - seconds < 0.12 for instant, seconds in shown)
        if "cfr" in each.recording_id:
            numbers = [round(25 * seconds) for seconds in each.frame_seconds]
            assert list(each.frame_indices) == numbers


def test_a_list_reads_as_it_was_written(lists: ModuleType, work: Any) -> None:
    assert lists.read_work(Path(work.table).with_name(lists.WORK_NAME)) == work


def test_copies_are_recordings_of_their_own_with_the_same_files(
    lists: ModuleType, corpus: Path, tmp_path: Path
) -> None:
    paths = sorted(corpus.glob("*.mp4"))[:2]
    once, thrice = (
        lists.plan_work(paths, tmp_path / str(n), clip_seconds=1.0, step_seconds=0.5, num_copies=n)
        for n in (1, 3)
    )
    assert thrice.num_instants == 3 * once.num_instants
    assert len({each.recording_id for each in thrice.recordings}) == 6
    assert len({each.path for each in thrice.recordings}) == 2
