import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avkd.stages.metrics.boxes import FrameBoxes, RecordingBoxes
from avkd.stages.metrics.center_distance import cd_released, center_distance

Rows = list[list[float]]


def frame(boxes: Rows, seconds: float = 0.0, scores: list[float] | None = None) -> FrameBoxes:
    return FrameBoxes(
        time_seconds=seconds,
        boxes=np.array(boxes, dtype=np.float32).reshape(-1, 4),
        scores=np.array(scores or [1.0] * len(boxes), dtype=np.float32),
        classes=np.zeros(len(boxes), dtype=np.int32),
    )


def recording(*pairs: tuple[Rows, Rows]) -> RecordingBoxes:
    return RecordingBoxes(
        recording_id="a",
        predicted=tuple(frame(boxes, float(place)) for place, (boxes, _) in enumerate(pairs)),
        reference=tuple(frame(boxes, float(place)) for place, (_, boxes) in enumerate(pairs)),
    )


LEFT, RIGHT = [0.1, 0.4, 0.3, 0.6], [0.6, 0.4, 0.8, 0.6]


def test_the_distance_is_that_of_centres_in_percent() -> None:
    # Moved by 0.04 and 0.02, and made wider about its centre: width must not matter.
    moved = [0.11, 0.42, 0.37, 0.62]
    found = center_distance([recording(([moved], [LEFT]))], "truth")
    assert found.cd_x_percent == pytest.approx(4, abs=1e-4)
    assert found.cd_y_percent == pytest.approx(2, abs=1e-4)
    assert found.match_rate == 1


def test_boxes_that_are_right_are_at_distance_0() -> None:
    found = center_distance([recording(([RIGHT, LEFT], [LEFT, RIGHT]))], "truth")
    assert (found.cd_x_percent, found.cd_y_percent, found.match_rate) == (0, 0, 1)


def test_what_is_missed_or_invented_shows_in_the_match_rate_only() -> None:
    found = center_distance([recording(([LEFT], [LEFT, RIGHT]), ([RIGHT], [LEFT]))], "teacher")
    assert (found.cd_x_percent, found.match_rate) == pytest.approx((0, 1 / 3))
    assert (found.num_matched, found.num_reference_boxes, found.num_predicted_boxes) == (1, 3, 2)
    assert found.reference == "teacher"


def test_a_reference_box_is_matched_once() -> None:
    near = [0.12, 0.4, 0.32, 0.6]
    found = center_distance([recording(([near, LEFT], [LEFT]))], "truth")
    assert (found.cd_x_percent, found.num_matched) == (0, 1)


def test_unsure_boxes_do_not_count() -> None:
    unsure = RecordingBoxes(
        recording_id="a", predicted=(frame([LEFT], scores=[0.2]),), reference=(frame([LEFT]),)
    )
    found = center_distance([unsure], "truth")
    assert (found.cd_x_percent, found.match_rate, found.min_score) == (None, 0, 0.3)
    assert center_distance([unsure], "truth", min_score=0.2).match_rate == 1


def test_without_a_reference_there_is_no_distance() -> None:
    found = center_distance([recording(([LEFT], []))], "truth")
    assert (found.cd_x_percent, found.cd_y_percent, found.match_rate) == (None, None, None)
    assert found.num_predicted_boxes == 1
    assert center_distance([], "truth").match_rate is None
    assert cd_released([recording(([LEFT], []))]).cd_x_percent is None


@settings(deadline=None, max_examples=30)
@given(st.floats(-0.04, 0.04), st.floats(-0.04, 0.04))
def test_moving_all_boxes_moves_the_distance_as_far(right: float, down: float) -> None:
    shift = np.array([right, down, right, down])
    moved = [(np.array(box) + shift).tolist() for box in (LEFT, RIGHT)]
    found = center_distance([recording((moved, [LEFT, RIGHT]))], "truth")
    assert found.cd_x_percent == pytest.approx(100 * abs(right), abs=1e-4)
    assert found.cd_y_percent == pytest.approx(100 * abs(down), abs=1e-4)


def test_the_released_code_compares_widths_and_heights() -> None:
    # A box of the right size at the other end of the picture counts as perfect there.
    found = cd_released([recording(([RIGHT], [LEFT]))])
    assert found.cd_x_percent == pytest.approx(0, abs=1e-4)
    assert center_distance([recording(([RIGHT], [LEFT]))], "truth").cd_x_percent is None
    wider = cd_released([recording(([[0.1, 0.4, 0.35, 0.5]], [LEFT]))])
    assert wider.cd_x_percent == pytest.approx(5, abs=1e-4)
    assert wider.cd_y_percent == pytest.approx(10, abs=1e-4)


def test_the_released_code_counts_what_is_missing_as_its_whole_size() -> None:
    # The first reference box takes the only prediction, the second has none: (0 + 20) / 2. The
    # second frame is (30) alone, the third has no reference: (10 + 30) / 2.
    tall = [0.0, 0.0, 0.3, 0.9]
    found = cd_released([recording(([LEFT], [LEFT, RIGHT]), ([], [tall]), ([LEFT], []))])
    assert found.cd_x_percent == pytest.approx(20, abs=1e-4)
    assert found.num_frames == 2
