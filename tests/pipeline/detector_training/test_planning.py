from dataclasses import replace

import numpy as np
import pytest

from avkd.errors import InvalidValueError
from avkd.pipeline.detector_training.planning import plan_pictures
from avkd.pipeline.detector_training.recipe import DetectorData
from avkd.pipeline.detector_training.truth import Grid, PictureTruth, Truth
from avkd.storage.schema import Recording


def recording(name: str, *streams: str, seconds: float | None = 2.0) -> Recording:
    return Recording(
        recording_id=name,
        streams={stream: f"/{name}.{stream}" for stream in streams},
        duration_seconds=seconds,
        metadata={"split": "teacher" if name != "z" else "test"},
    )


def picture(seconds: float) -> PictureTruth:
    return PictureTruth(
        time_seconds=seconds,
        boxes=np.array([[0, 0, 1, 1]], np.float32),
        classes=np.zeros(1, np.int64),
        is_ignored=np.zeros(1, bool),
    )


TRUTH = Truth(
    class_names=("vehicle",),
    kinds={"vehicle": ("car",)},
    pictures={"a": (picture(0.25), picture(1.25)), "b": (picture(0.75),)},
    grid=Grid(first_seconds=0.25, every_seconds=0.5),
)
DATA = DetectorData(stream="depth", value_range=(0, 1000), picture_size=(64, 64))


def test_pictures_between_rows_show_nothing() -> None:
    plan = plan_pictures([recording("a", "depth")], TRUTH, DATA)
    (only,) = plan.recordings
    assert [each.time_seconds for each in only.pictures] == [0.25, 0.75, 1.25, 1.75]
    assert [len(each.boxes) for each in only.pictures] == [1, 0, 1, 0]
    assert [each.has_row for each in only.pictures] == [True, False, True, False]


def test_of_a_recording_of_unknown_length_they_end_with_the_last_row() -> None:
    plan = plan_pictures([recording("a", "depth", seconds=None)], TRUTH, DATA)
    assert [each.time_seconds for each in plan.recordings[0].pictures] == [0.25, 0.75, 1.25]


def test_without_a_grid_only_rows_are_learned_from() -> None:
    plan = plan_pictures([recording("a", "depth")], replace(TRUTH, grid=None), DATA)
    assert plan.recordings[0].pictures == TRUTH.pictures["a"]


def test_recordings_without_truth_or_stream_are_left_out_and_counted() -> None:
    recordings = [recording("a", "rgb", "depth"), recording("b", "rgb"), recording("c", "depth")]
    plan = plan_pictures(recordings, TRUTH, DATA)
    assert [each.recording.recording_id for each in plan.recordings] == ["a"]
    assert (plan.num_without_truth, plan.num_without_stream) == (1, 1)


def test_of_more_pictures_than_memory_holds_every_nth_is_taken() -> None:
    data = replace(DATA, max_gigabytes=1.5 * 64 * 64 * 2 / 1e9)
    plan = plan_pictures([recording("a", "depth")], TRUTH, data)
    assert plan.every == 3
    assert [each.time_seconds for each in plan.recordings[0].pictures] == [0.25, 1.75]
    assert plan.num_pictures == 2


def test_a_stream_that_none_has_is_refused() -> None:
    with pytest.raises(InvalidValueError, match=r"1 have truth, and none of these has .* 'depth'"):
        plan_pictures([recording("a", "rgb"), recording("c", "depth")], TRUTH, DATA)


def test_recordings_of_which_none_has_truth_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="none of the 1 recordings has truth"):
        plan_pictures([recording("c", "depth")], TRUTH, DATA)
