from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avkd.errors import InvalidValueError
from avkd.stages.metrics.boxes import FrameBoxes, RecordingBoxes
from avkd.stages.metrics.tracking import evaluate_tracking
from avkd.stages.tracking.tracker import TrackerSettings, track_boxes

Box = tuple[float, float, float, float]
FRAME_SECONDS = 0.1


def frame(seconds: float, boxes: Sequence[Box], scores: Sequence[float] = ()) -> FrameBoxes:
    return FrameBoxes(
        time_seconds=seconds,
        boxes=np.clip(np.array(boxes, dtype=np.float32).reshape(-1, 4), 0, 1),
        scores=np.array(scores or [0.9] * len(boxes), dtype=np.float32),
        classes=np.zeros(len(boxes), dtype=np.int32),
    )


def rightward(seconds: float) -> Box:
    """The near lane: half of the picture a second."""
    left = 0.05 + 0.5 * seconds
    return left, 0.5, left + 0.2, 0.7


def leftward(seconds: float) -> Box:
    """The far lane, behind it: the two cross after 0.8 s."""
    left = 0.85 - 0.5 * seconds
    return left, 0.46, left + 0.14, 0.6


def crossing(missed: Sequence[tuple[int, int]] = ()) -> tuple[FrameBoxes, ...]:
    """Both vehicles over 1.5 s, right one first; ``missed`` are (step, vehicle)."""
    return tuple(
        frame(
            step * FRAME_SECONDS,
            [
                vehicle(step * FRAME_SECONDS)
                for place, vehicle in enumerate((rightward, leftward))
                if (step, place) not in missed
            ],
        )
        for step in range(15)
    )


def names(frames: Sequence[FrameBoxes]) -> list[list[int]]:
    return [[] if each.track_ids is None else each.track_ids.tolist() for each in frames]


def test_two_crossing_vehicles_keep_their_identities() -> None:
    assert names(track_boxes(crossing())) == [[0, 1]] * 15


def test_the_order_of_boxes_does_not_matter() -> None:
    turned = [each.take(np.array([1, 0])) for each in crossing()]
    assert names(track_boxes(turned)) == [[0, 1]] * 15
    mixed = [each.take(np.array([1, 0])) if step % 2 else each for step, each in enumerate(turned)]
    assert names(track_boxes(mixed)) == [[1, 0] if step % 2 else [0, 1] for step in range(15)]


def test_missed_detections_do_not_end_a_track() -> None:
    # One of them for three steps, and both at once where they cross.
    missed = [(4, 0), (5, 0), (6, 0), (8, 0), (8, 1)]
    found = names(track_boxes(crossing(missed)))
    assert found[3:10] == [[0, 1], [1], [1], [1], [0, 1], [], [0, 1]]
    assert found[-1] == [0, 1]


def test_a_track_lost_for_long_is_not_taken_up_again() -> None:
    box = (0.4, 0.4, 0.6, 0.6)
    times = [0.0, 0.1, 1.0, 1.1]
    kept = [frame(seconds, [box]) for seconds in times]
    assert names(track_boxes(kept)) == [[0], [0], [1], [1]]
    patient = TrackerSettings(lost_seconds=1.0)
    assert names(track_boxes(kept, patient)) == [[0]] * 4


def test_a_fast_vehicle_is_followed_though_its_boxes_do_not_overlap() -> None:
    # 0.2 wide, 0.22 a step.
    boxes = [(0.02 + 0.22 * step, 0.5, 0.22 + 0.22 * step, 0.7) for step in range(4)]
    frames = [frame(0.2 * step, [box]) for step, box in enumerate(boxes)]
    assert names(track_boxes(frames)) == [[0]] * 4


def test_velocity_is_of_time_and_not_of_frames() -> None:
    # 0.8 of the picture a second, seen every 0.1 s, and once more after five times as long.
    times = [0.0, 0.1, 0.2, 0.3, 0.4, 0.9]
    frames = [frame(each, [(0.02 + 0.8 * each, 0.5, 0.12 + 0.8 * each, 0.6)]) for each in times]
    assert names(track_boxes(frames)) == [[0]] * 6
    every_third = [each for step, each in enumerate(crossing()) if step % 3 == 0 or step > 8]
    assert names(track_boxes(every_third)) == [[0, 1]] * len(every_third)


def test_unsure_boxes_continue_tracks_but_start_none() -> None:
    box, other = (0.4, 0.4, 0.6, 0.6), (0.1, 0.1, 0.2, 0.2)
    frames = [
        frame(0.1 * step, [box, other], [0.9 if step < 2 else 0.35, 0.35]) for step in range(5)
    ]
    found = track_boxes(frames)
    assert names(found) == [[0]] * 5
    assert found[4].scores.tolist() == [np.float32(0.35)]
    dropped = [frame(0.1 * step, [box], [0.9 if step < 2 else 0.2]) for step in range(5)]
    assert names(track_boxes(dropped)) == [[0], [0], [], [], []]


def test_sure_boxes_choose_before_unsure_ones() -> None:
    box, near = (0.4, 0.4, 0.6, 0.6), (0.45, 0.4, 0.65, 0.6)
    frames = [frame(0.0, [box]), frame(0.1, [box, near], [0.4, 0.9]), frame(0.2, [near])]
    found = track_boxes(frames)
    assert names(found) == [[0], [0], [0]]
    assert found[1].boxes[0].tolist() == pytest.approx(near)


def test_a_single_false_alarm_is_no_track() -> None:
    alarm = (0.7, 0.05, 0.8, 0.15)
    frames = [
        frame(
            each.time_seconds, [*map(tuple, each.boxes.tolist()), *([alarm] if step == 4 else [])]
        )
        for step, each in enumerate(crossing())
    ]
    assert names(track_boxes(frames)) == [[0, 1]] * 15
    assert names(track_boxes(frames, TrackerSettings(min_boxes=1)))[4] == [0, 1, 2]


def test_frames_without_boxes_stay() -> None:
    empty = [frame(0.1 * step, []) for step in range(3)]
    found = track_boxes(empty)
    assert [each.time_seconds for each in found] == [each.time_seconds for each in empty]
    assert names(found) == [[], [], []]
    assert track_boxes([]) == ()


def test_tracking_the_truth_gives_the_truth_back() -> None:
    tracked = track_boxes(crossing())
    renamed = tuple(
        FrameBoxes(
            time_seconds=each.time_seconds,
            boxes=each.boxes,
            scores=each.scores,
            classes=each.classes,
            track_ids=np.array([7, 3]),
        )
        for each in crossing()
    )
    pair = RecordingBoxes(recording_id="a", predicted=tracked, reference=renamed)
    found = evaluate_tracking([pair], "truth")
    assert (found.mota, found.idf1, found.hota) == pytest.approx((1, 1, 1))


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**31))
def test_boxes_are_given_names_and_nothing_else(seed: int) -> None:
    generator = np.random.default_rng(seed)
    frames = []
    for step in range(12):
        low = generator.random((generator.integers(0, 5), 2)) * 0.7
        boxes = np.concatenate([low, low + 0.3 * generator.random(low.shape)], axis=1)
        frames.append(frame(0.2 * step, boxes.tolist(), generator.random(len(boxes)).tolist()))
    found = track_boxes(frames)
    again = track_boxes(frames)
    for before, after, twin in zip(frames, found, again, strict=True):
        assert after.track_ids is not None
        assert {tuple(box) for box in after.boxes.tolist()} <= {
            tuple(box) for box in before.boxes.tolist()
        }
        np.testing.assert_array_equal(after.track_ids, twin.track_ids)
    counts = np.bincount(
        np.concatenate([each.track_ids for each in found if each.track_ids is not None])
    )
    # No name is left out, and none is of a single box.
    assert (counts >= 2).all()


def test_frames_that_go_back_in_time_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="do not ascend"):
        track_boxes([frame(0.1, []), frame(0.1, [])])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"low_score": 0.6}, "ascend from 0"),
        ({"min_overlap": 1.0}, "below 1"),
        ({"lost_seconds": -1.0}, "lost_seconds"),
        ({"min_boxes": 0}, "min_boxes"),
    ],
)
def test_settings_that_no_box_could_meet_are_refused(
    changes: dict[str, float], message: str
) -> None:
    with pytest.raises(InvalidValueError, match=message):
        TrackerSettings(**changes)  # type: ignore[arg-type]
