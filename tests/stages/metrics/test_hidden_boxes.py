import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avkd.errors import InvalidValueError
from avkd.stages.metrics.boxes import FrameBoxes, RecordingBoxes
from avkd.stages.metrics.detection import evaluate_detection
from avkd.stages.metrics.hidden_boxes import drop_hidden

LEFT, RIGHT = [0.1, 0.4, 0.3, 0.6], [0.6, 0.4, 0.8, 0.6]
NEAR_LEFT = [0.11, 0.4, 0.31, 0.6]
"""IoU 0.9 with the left one."""


def frame(boxes: list[list[float]], scores: list[float] | None = None) -> FrameBoxes:
    return FrameBoxes(
        time_seconds=0.0,
        boxes=np.array(boxes, dtype=np.float32).reshape(-1, 4),
        scores=np.array(scores or [1.0] * len(boxes), dtype=np.float32),
        classes=np.zeros(len(boxes), dtype=np.int32),
    )


def corners(*boxes: list[float]) -> npt.NDArray[np.float32]:
    return np.array(boxes, dtype=np.float32).reshape(-1, 4)


def test_what_is_found_of_a_hidden_box_is_left_out() -> None:
    kept = drop_hidden(frame([RIGHT, LEFT], [0.9, 0.8]), frame([RIGHT]), corners(LEFT))
    assert kept.boxes.tolist() == corners(RIGHT).tolist()


def test_a_second_find_of_it_is_a_false_alarm() -> None:
    twice = frame([NEAR_LEFT, LEFT], [0.8, 0.9])
    kept = drop_hidden(twice, frame([]), corners(LEFT))
    assert kept.scores.tolist() == pytest.approx([0.8])


def test_a_box_that_counts_is_taken_before_a_hidden_one() -> None:
    # The prediction lies better on the hidden box, which stands behind the one that counts.
    kept = drop_hidden(frame([LEFT]), frame([NEAR_LEFT]), corners(LEFT))
    assert len(kept) == 1


def test_the_surer_prediction_has_the_box_that_counts() -> None:
    both = frame([LEFT, LEFT], [0.3, 0.9])
    kept = drop_hidden(both, frame([LEFT]), corners(NEAR_LEFT))
    assert kept.scores.tolist() == pytest.approx([0.9])


def test_boxes_elsewhere_stay_false_alarms() -> None:
    assert len(drop_hidden(frame([RIGHT]), frame([]), corners(LEFT))) == 1
    assert len(drop_hidden(frame([]), frame([LEFT]), corners(RIGHT))) == 0


def test_a_threshold_is_a_share() -> None:
    with pytest.raises(InvalidValueError, match="iou_threshold"):
        drop_hidden(frame([LEFT]), frame([]), corners(LEFT), iou_threshold=0.0)


def coco_ap50(
    frames: list[tuple[FrameBoxes, FrameBoxes, npt.NDArray[np.float32]]],
) -> float:
    """AP@0.5 by pycocotools, with the hidden boxes ignored as COCO ignores boxes.

    Its annotations have no flag of their own for that: one of a size out of the range is ignored.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truths, founds = [], []
    for image, (predicted, reference, hidden) in enumerate(frames, start=1):
        for box, is_hidden in [(b, 0) for b in reference.boxes] + [(b, 1) for b in hidden]:
            area = 1e11 if is_hidden else 1.0
            truths.append(_annotation(image, box) | {"area": area, "iscrowd": 0})
        founds += [
            _annotation(image, box) | {"score": float(score)}
            for box, score in zip(predicted.boxes, predicted.scores, strict=True)
        ]
    coco = COCO()
    coco.dataset = {
        "images": [{"id": image + 1} for image in range(len(frames))],
        "categories": [{"id": 1}],
        "annotations": [each | {"id": number + 1} for number, each in enumerate(truths)],
    }
    coco.createIndex()
    evaluation = COCOeval(coco, coco.loadRes(founds), "bbox")
    evaluation.params.iouThrs = np.array([0.5])
    evaluation.evaluate()
    evaluation.accumulate()
    return float(evaluation.eval["precision"][0, :, 0, 0, -1].mean())


def _annotation(image: int, box: npt.NDArray[np.float32]) -> dict[str, object]:
    left, top, right, bottom = (float(side) for side in box)
    return {
        "image_id": image,
        "category_id": 1,
        "bbox": [left, top, right - left, bottom - top],
    }


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_ap_is_that_of_coco_with_the_hidden_boxes_ignored(seed: int) -> None:
    generator = np.random.default_rng(seed)
    frames = []
    for _ in range(4):
        low = generator.random((3, 2)) * 0.5
        boxes = np.concatenate([low, low + 0.15 + 0.3 * generator.random(low.shape)], axis=1)
        askew = np.repeat(boxes, 2, axis=0) + generator.normal(0, 0.03, (6, 4))
        chosen = np.clip(askew[generator.random(6) < 0.7], 0, 1)
        is_hidden = generator.random(3) < 0.4
        frames.append(
            (
                frame(chosen.tolist(), generator.random(len(chosen)).tolist()),
                frame(boxes[~is_hidden].tolist()),
                boxes[is_hidden].astype(np.float32),
            )
        )
    if not any(len(each) for _, each, _ in frames) or not any(len(each) for each, _, _ in frames):
        return
    ours = evaluate_detection(
        [
            RecordingBoxes(recording_id="a", predicted=(drop_hidden(*each),), reference=(each[1],))
            for each in frames
        ],
        "truth",
    )
    assert ours.ap50 == pytest.approx(coco_ap50(frames), abs=1e-6)
