from dataclasses import replace

import numpy as np
import pytest

from avkd.pipeline.report.box_videos import (
    ALL_BYTES,
    MAX_SECONDS,
    SOUND_BITS_PER_SECOND,
    choose_excerpt,
    choose_recordings,
    describe_videos,
)
from avkd.pipeline.report.shown import ShownRecording, ShownRun, ShownStep
from avkd.stages.metrics.boxes import FrameBoxes


def frame(seconds, num_boxes):
    return FrameBoxes(
        time_seconds=seconds,
        boxes=np.zeros((num_boxes, 4), np.float32),
        scores=np.ones(num_boxes, np.float32),
        classes=np.zeros(num_boxes, np.int32),
    )


def recording(name, group, num_steps, vehicle_at=()):
    """A second a step."""
    steps = tuple(
        ShownStep(
            time_seconds=step + 0.5,
            said=frame(step + 0.5, 0),
            truth=frame(step + 0.5, int(step in vehicle_at)),
            teachers=(),
        )
        for step in range(num_steps)
    )
    return ShownRecording(recording_id=name, group=group, pictures="", sound="", steps=steps)


def shown(*recordings):
    return ShownRun(
        run="run",
        split="test",
        column="light",
        teacher_min_score=0.5,
        teachers=(),
        truth="boxes.csv",
        step_seconds=1.0,
        recordings=recordings,
        notes=(),
    )


def test_the_first_recording_with_a_vehicle_is_taken_of_each_light_day_and_night_first():
    recordings = [
        recording("a", "day", 3),
        recording("b", "day", 3, [1]),
        recording("c", "dusk", 3, [1]),
        recording("d", "night", 3, [2]),
        recording("e", "night", 3, [1]),
    ]
    road = shown(*recordings)
    names = [[each.recording_id for each in choose_recordings(road, n)] for n in (0, 2, 3, 9)]
    assert names == [[], ["b", "d"], ["b", "d", "c"], ["b", "d", "e", "c"]]
    assert "first recording by name of each light with a vehicle" in describe_videos(road)
    untold = replace(road, truth="")
    assert [each.recording_id for each in choose_recordings(untold, 2)] == ["a", "d"]


@pytest.mark.parametrize(
    ("num_steps", "vehicle_at", "start"),
    [(10, [9], 0.0), (100, [50], 49.5), (100, [0], 0.0), (100, [99], 99.5 - MAX_SECONDS)],
)
def test_of_a_long_recording_the_part_with_the_first_vehicle_is_taken(num_steps, vehicle_at, start):
    excerpt = choose_excerpt(recording("a", "day", num_steps, vehicle_at), 2)
    assert (excerpt.start_seconds, excerpt.duration_seconds) == (start, MAX_SECONDS)


def test_all_videos_of_a_page_fit_into_it():
    own = recording("a", "day", 10)
    for num_videos in (1, 2, 4, 8):
        bits = choose_excerpt(own, num_videos).bits_per_second + SOUND_BITS_PER_SECOND
        assert num_videos * bits * MAX_SECONDS / 8 <= ALL_BYTES
