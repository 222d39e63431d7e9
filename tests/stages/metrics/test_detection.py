import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avkd.stages.metrics.boxes import FrameBoxes, RecordingBoxes, box_iou, group_recordings
from avkd.stages.metrics.detection import IOU_THRESHOLDS, evaluate_detection

Rows = list[list[float]]
Pairs = list[tuple[FrameBoxes, FrameBoxes]]
LEFT, RIGHT = [0.1, 0.4, 0.3, 0.6], [0.6, 0.4, 0.8, 0.6]
NARROW = [0.1, 0.4, 0.22, 0.6]
"""IoU 0.6 with the left one."""


def frame(boxes: Rows, scores: list[float] | None = None, seconds: float = 0.0) -> FrameBoxes:
    return FrameBoxes(
        time_seconds=seconds,
        boxes=np.array(boxes, dtype=np.float32).reshape(-1, 4),
        scores=np.array(scores or [1.0] * len(boxes), dtype=np.float32),
        classes=np.zeros(len(boxes), dtype=np.int32),
    )


def recording(predicted: FrameBoxes, reference: FrameBoxes, **groups: str) -> RecordingBoxes:
    return RecordingBoxes(
        recording_id="a", predicted=(predicted,), reference=(reference,), groups=groups
    )


def random_pairs(seed: int, num_frames: int = 6) -> Pairs:
    """References, some of which are found askew, with false alarms; frames may be empty."""
    generator = np.random.default_rng(seed)
    pairs = []
    for _ in range(num_frames):
        low = generator.random((generator.integers(0, 4), 2)) * 0.6
        truth = np.concatenate([low, low + 0.1 + 0.3 * generator.random(low.shape)], axis=1)
        # Below half of the smallest side: no box is turned inside out.
        askew = truth + np.clip(generator.normal(0, 0.03, truth.shape), -0.04, 0.04)
        false = generator.random((generator.integers(0, 3), 2)) * 0.5
        every = np.concatenate([askew, np.concatenate([false, false + 0.2], axis=1)])
        chosen = np.clip(every[generator.random(len(every)) < 0.8], 0, 1)
        pairs.append((frame(chosen.tolist(), generator.random(len(chosen)).tolist()), truth))
    return [(predicted, frame(truth.tolist())) for predicted, truth in pairs]


def coco_average_precision(pairs: Pairs, threshold: float) -> float:
    """AP of one class by COCO's rules, written down plainly."""
    scored: list[tuple[float, bool]] = []
    for predicted, truth in pairs:
        iou = box_iou(predicted.boxes, truth.boxes)
        taken: set[int] = set()
        for row in np.argsort(-predicted.scores, kind="stable"):
            free = [k for k in range(len(truth)) if k not in taken and iou[row, k] >= threshold]
            best = max(free, key=lambda k: iou[row, k], default=None)
            taken |= set() if best is None else {best}
            scored.append((float(predicted.scores[row]), best is not None))
    hits = np.array([hit for _, hit in sorted(scored, key=lambda each: -each[0])], dtype=float)
    found = np.cumsum(hits)
    recalls = found / sum(len(truth) for _, truth in pairs)
    precisions = found / np.arange(1, len(hits) + 1)
    points = [max(precisions[recalls >= recall], default=0.0) for recall in np.linspace(0, 1, 101)]
    return float(np.mean(points))


def test_perfect_boxes_have_an_ap_of_1() -> None:
    found = evaluate_detection([recording(frame([RIGHT, LEFT]), frame([LEFT, RIGHT]))], "truth")
    assert (found.ap, found.ap50, found.ap75) == pytest.approx((1, 1, 1))
    assert (found.num_frames, found.num_reference_boxes, found.num_predicted_boxes) == (1, 2, 2)


def test_a_box_counts_up_to_its_iou() -> None:
    found = evaluate_detection([recording(frame([NARROW]), frame([LEFT]))], "truth")
    # 0.50, 0.55, and by float32 rounding of the corners 0.60 or not.
    assert (found.ap50, found.ap75) == pytest.approx((1, 0))
    assert found.ap in (pytest.approx(0.2), pytest.approx(0.3))


def test_a_false_alarm_costs_by_its_score() -> None:
    far = [0.0, 0.0, 0.1, 0.1]
    last = frame([LEFT, far], [0.9, 0.1])
    first = frame([LEFT, far], [0.1, 0.9])
    assert evaluate_detection([recording(last, frame([LEFT]))], "truth").ap50 == pytest.approx(1)
    assert evaluate_detection([recording(first, frame([LEFT]))], "truth").ap50 == pytest.approx(0.5)


def test_a_false_alarm_in_a_frame_without_a_reference_costs_as_well() -> None:
    alarm = recording(frame([RIGHT], [0.9]), frame([]))
    right = recording(frame([LEFT], [0.5]), frame([LEFT]))
    assert evaluate_detection([right], "truth").ap50 == pytest.approx(1)
    assert evaluate_detection([alarm, right], "truth").ap50 == pytest.approx(0.5)


def test_a_recall_that_falls_on_a_point_of_the_curve_reaches_it() -> None:
    row = [[0.2 * place, 0.0, 0.2 * place + 0.1, 1.0] for place in range(5)]
    found = evaluate_detection([recording(frame(row[:3]), frame(row))], "truth")
    assert found.ap50 == pytest.approx(61 / 101)


def test_a_found_half_reaches_half_of_the_recalls() -> None:
    found = evaluate_detection([recording(frame([LEFT]), frame([LEFT, RIGHT]))], "truth")
    # Recalls 0, 0.01 to 0.50 of 101.
    assert found.ap50 == pytest.approx(51 / 101)
    curve = found.curves[0]
    assert curve.iou_threshold == 0.5
    np.testing.assert_allclose(curve.precisions, np.where(curve.recalls <= 0.5 + 1e-9, 1, 0))


def test_nothing_predicted_is_0_and_nothing_to_find_is_none() -> None:
    missed = evaluate_detection([recording(frame([]), frame([LEFT]))], "truth")
    assert (missed.ap, missed.ap50, missed.ap75) == (0, 0, 0)
    for nothing in ([], [recording(frame([LEFT]), frame([]))]):
        found = evaluate_detection(nothing, "teacher")
        assert (found.ap, found.ap50, found.ap75, found.curves) == (None, None, None, ())
        assert found.reference == "teacher"


def test_classes_are_averaged_over_those_of_the_reference() -> None:
    def with_classes(boxes: Rows, classes: list[int]) -> FrameBoxes:
        plain = frame(boxes)
        return FrameBoxes(
            time_seconds=0,
            boxes=plain.boxes,
            scores=plain.scores,
            classes=np.array(classes, dtype=np.int32),
        )

    # The first class is found, the second taken for a third, which nobody is.
    pair = recording(with_classes([LEFT, RIGHT], [0, 2]), with_classes([LEFT, RIGHT], [0, 1]))
    assert evaluate_detection([pair], "truth").ap == pytest.approx(0.5)


def test_only_the_best_hundred_boxes_of_a_frame_count() -> None:
    far = [[0.0, 0.0, 0.01, 0.01]] * 100
    scores = np.linspace(0.9, 0.5, 100).tolist()
    unsure = recording(frame([*far, LEFT], [*scores, 0.1]), frame([LEFT]))
    sure = recording(frame([*far, LEFT], [*scores, 0.95]), frame([LEFT]))
    assert evaluate_detection([unsure], "truth").ap50 == 0
    assert evaluate_detection([sure], "truth").ap50 == pytest.approx(1)


def test_groups_are_measured_apart() -> None:
    pairs = [
        recording(frame([LEFT]), frame([LEFT]), light="day"),
        recording(frame([RIGHT]), frame([LEFT]), light="night"),
    ]
    found = {
        name: evaluate_detection(group, "truth").ap50
        for name, group in group_recordings(pairs).items()
    }
    # Equal scores are taken in the order of frames: the hit comes first.
    assert found == pytest.approx({"all": 51 / 101, "light=day": 1, "light=night": 0})


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**31))
def test_the_package_agrees_with_the_definition(seed: int) -> None:
    pairs = random_pairs(seed)
    recordings = [recording(*pair) for pair in pairs]
    found = evaluate_detection(recordings, "truth")
    if not sum(len(truth) for _, truth in pairs):
        assert found.ap is None
        return
    expected = [coco_average_precision(pairs, threshold) for threshold in IOU_THRESHOLDS]
    measured: list[float] = [float(curve.precisions.mean()) for curve in found.curves]
    assert measured == pytest.approx(expected, abs=1e-6)
    assert found.ap == pytest.approx(np.mean(expected), abs=1e-6)
    assert found.ap50 == pytest.approx(expected[0], abs=1e-6)


def test_frames_beyond_one_piece_are_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    recordings = [recording(*pair) for pair in random_pairs(7, num_frames=9)]
    whole = evaluate_detection(recordings, "truth")
    monkeypatch.setattr("avkd.stages.metrics.detection.FRAMES_AT_ONCE", 2)
    assert evaluate_detection(recordings, "truth").ap == whole.ap


def curve_of(seed: int) -> npt.NDArray[np.float64]:
    found = evaluate_detection([recording(*pair) for pair in random_pairs(seed, 20)], "truth")
    return np.stack([curve.precisions for curve in found.curves])


def test_curves_fall_with_recall_and_with_the_iou_asked_for() -> None:
    precisions = curve_of(3)
    assert precisions.shape == (len(IOU_THRESHOLDS), 101)
    assert (np.diff(precisions, axis=1) <= 1e-12).all()
    assert precisions[0].mean() > precisions[-1].mean()
