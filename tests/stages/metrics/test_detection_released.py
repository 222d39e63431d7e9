import numpy as np
import pytest

from avkd.stages.metrics.boxes import FrameBoxes, RecordingBoxes
from avkd.stages.metrics.detection import evaluate_detection
from avkd.stages.metrics.detection_released import (
    RELEASED_IOU_THRESHOLDS,
    all_point_average_precision,
    released_detection,
)

Rows = list[list[float]]
SIZE = (100, 100)
BOX, OTHER = [0.1, 0.4, 0.3, 0.6], [0.6, 0.4, 0.8, 0.6]


def frame(boxes: Rows, scores: list[float] | None = None) -> FrameBoxes:
    return FrameBoxes(
        time_seconds=0.0,
        boxes=np.array(boxes, dtype=np.float32).reshape(-1, 4),
        scores=np.array(scores or [1.0] * len(boxes), dtype=np.float32),
        classes=np.zeros(len(boxes), dtype=np.int32),
    )


def recording(predicted: FrameBoxes, reference: FrameBoxes) -> RecordingBoxes:
    return RecordingBoxes(recording_id="a", predicted=(predicted,), reference=(reference,))


def test_all_points_are_the_area_under_the_raised_precision() -> None:
    # Precisions 1, 1/2, 2/3, 2/4, 3/5 at recalls 1/4, 1/4, 2/4, 2/4, 3/4.
    hits = np.array([True, False, True, False, True])
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
    value = all_point_average_precision(scores, hits, num_reference=4)
    assert value == pytest.approx((1 + 2 / 3 + 3 / 5) / 4)


def test_precision_is_raised_to_the_best_of_a_higher_recall() -> None:
    hits, scores = np.array([False, True, True]), np.array([0.9, 0.8, 0.7])
    assert all_point_average_precision(scores, hits, num_reference=2) == pytest.approx(2 / 3)
    nothing = np.empty(0)
    assert all_point_average_precision(nothing, nothing.astype(bool), num_reference=2) == 0


def test_half_of_the_boxes_is_a_half_and_not_51_of_101() -> None:
    pair = recording(frame([BOX]), frame([BOX, OTHER]))
    assert released_detection([pair]).ap50 == pytest.approx(1 / 2)
    assert evaluate_detection([pair], "truth").ap50 == pytest.approx(51 / 101)


def test_boxes_are_a_pixel_wider_and_higher_than_their_corners() -> None:
    # 20 x 20 and 10 x 20 pixels: 0.5 by area, but 11 * 21 / (21 * 21) > 0.5 with a pixel more.
    # 9 x 20 would be 0.45, and is 10 / 21 < 0.5.
    half, less = [0.1, 0.4, 0.2, 0.6], [0.1, 0.4, 0.19, 0.6]
    nearly = [0.1, 0.4, 0.195, 0.6]
    assert released_detection([recording(frame([half]), frame([BOX]))], picture_size=SIZE).ap50 == 1
    assert released_detection([recording(frame([less]), frame([BOX]))], picture_size=SIZE).ap50 == 0
    # Cut to whole pixels, 19.5 is 19.
    cut = released_detection([recording(frame([nearly]), frame([BOX]))], picture_size=SIZE)
    assert cut.ap50 == 0


def test_neighbours_overlap_by_the_pixel_between_them() -> None:
    # 1 x 20 pixels each, apart by one: with the extra pixel they share a column of 2 of 3.
    first, second = [0.5, 0.4, 0.51, 0.6], [0.51, 0.4, 0.52, 0.6]
    found = released_detection([recording(frame([first]), frame([second]))], picture_size=SIZE)
    assert found.ap50 == 0
    nearer = released_detection(
        [recording(frame([[0.5, 0.4, 0.52, 0.6]]), frame([[0.51, 0.4, 0.53, 0.6]]))],
        picture_size=SIZE,
    )
    # Columns 50 to 52 and 51 to 53: 2 of 4, where the true IoU is 1 of 3.
    assert nearer.ap50 == 1


def test_false_alarms_are_free_where_there_is_no_reference() -> None:
    pairs = [recording(frame([OTHER]), frame([])), recording(frame([BOX], [0.5]), frame([BOX]))]
    found = released_detection(pairs)
    assert (found.ap50, found.num_frames) == (1, 1)
    assert (found.num_skipped_frames, found.num_free_false_alarms) == (1, 1)
    assert evaluate_detection(pairs, "teacher").ap50 == pytest.approx(0.5)


def test_the_mean_stops_at_090_and_unsure_boxes_are_dropped() -> None:
    assert RELEASED_IOU_THRESHOLDS == (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9)
    # 94 of 101 columns: over 0.90, below 0.95.
    nearly = recording(frame([[0, 0, 0.93, 1]]), frame([[0, 0, 1, 1]]))
    assert released_detection([nearly], picture_size=SIZE).ap == 1
    unsure = recording(frame([BOX], [0.29]), frame([BOX]))
    assert released_detection([unsure]).ap == 0


def test_a_second_box_on_the_same_reference_is_wrong_even_where_another_is_free() -> None:
    # COCO gives the second box the free reference; the released code looks at the best only.
    near = [0.1, 0.4, 0.32, 0.6]
    wide = [0.1, 0.4, 0.36, 0.6]
    pair = recording(frame([near, BOX], [0.9, 0.8]), frame([BOX, wide]))
    assert released_detection([pair]).ap50 == pytest.approx(0.5)
    assert evaluate_detection([pair], "truth").ap50 == pytest.approx(1)


def test_without_a_reference_there_is_no_number() -> None:
    found = released_detection([recording(frame([BOX]), frame([]))])
    assert (found.ap, found.ap50, found.ap75) == (None, None, None)
    assert released_detection([]).num_frames == 0
