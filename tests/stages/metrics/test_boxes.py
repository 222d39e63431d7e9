import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avkd.errors import InvalidValueError
from avkd.stages.metrics.boxes import (
    FrameBoxes,
    RecordingBoxes,
    box_iou,
    generalised_box_iou,
    group_recordings,
    match_boxes,
    metric_name,
)

Rows = list[list[float]]


def frame(boxes: Rows, seconds: float = 0.0, scores: list[float] | None = None) -> FrameBoxes:
    return FrameBoxes(
        time_seconds=seconds,
        boxes=np.array(boxes, dtype=np.float32).reshape(-1, 4),
        scores=np.array(scores or [1.0] * len(boxes), dtype=np.float32),
        classes=np.zeros(len(boxes), dtype=np.int32),
    )


def recording(name: str, **groups: str) -> RecordingBoxes:
    return RecordingBoxes(recording_id=name, predicted=(), reference=(), groups=groups)


def random_boxes(generator: np.random.Generator, num: int) -> npt.NDArray[np.float32]:
    corners = generator.random((num, 2, 2))
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1).astype(np.float32)


def test_overlaps_of_squares_are_known() -> None:
    first = np.array([[0.0, 0.0, 0.5, 0.5]])
    second = np.array([[0.0, 0.0, 0.5, 0.5], [0.25, 0.0, 0.75, 0.5], [0.75, 0.0, 1.0, 0.5]])
    assert box_iou(first, second) == pytest.approx(np.array([[1, 1 / 3, 0]]))
    # The hull of the last pair is 1 by 0.5, of which a quarter belongs to neither.
    assert generalised_box_iou(first, second) == pytest.approx(np.array([[1, 1 / 3, -1 / 4]]))


def test_boxes_without_area_overlap_nothing() -> None:
    empty = np.array([[0.5, 0.5, 0.5, 0.5]])
    assert box_iou(empty, empty) == pytest.approx(0)
    assert box_iou(empty, np.empty((0, 4))).shape == (1, 0)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**31))
def test_overlaps_are_those_of_torchvision(seed: int) -> None:
    import torch
    from torchvision.ops import box_iou as torch_iou
    from torchvision.ops import generalized_box_iou

    generator = np.random.default_rng(seed)
    first, second = random_boxes(generator, 5), random_boxes(generator, 4)
    tensors = torch.from_numpy(first).double(), torch.from_numpy(second).double()
    assert box_iou(first, second) == pytest.approx(torch_iou(*tensors).numpy())
    generalised = generalized_box_iou(*tensors).numpy()
    assert generalised_box_iou(first, second) == pytest.approx(generalised)


def test_matches_are_best_together_not_one_by_one() -> None:
    # Greedy would take 0.9 and leave 0.1.
    rows, columns = match_boxes(np.array([[0.9, 0.8], [0.7, 0.1]]), least=0.0)
    assert (rows.tolist(), columns.tolist()) == ([0, 1], [1, 0])


def test_pairs_at_or_below_the_least_are_no_match() -> None:
    rows, columns = match_boxes(np.array([[0.5, -0.2], [-0.3, -0.4]]), least=-0.3)
    assert (rows.tolist(), columns.tolist()) == ([0], [0])
    assert len(match_boxes(np.empty((0, 3)), least=0.0)[0]) == 0


def test_a_minimum_score_leaves_the_reference_as_it_is() -> None:
    scored = frame([[0, 0, 1, 1], [0, 0, 0.5, 1]], scores=[0.3, 0.2])
    pair = RecordingBoxes(recording_id="a", predicted=(scored,), reference=(scored,))
    ((predicted, reference),) = pair.pairs(min_score=0.3)
    assert (len(predicted), len(reference)) == (1, 2)


def test_recordings_are_grouped_by_each_key() -> None:
    drives = [
        recording("a", light="day", view_split="seen"),
        recording("b", light="night", view_split="seen"),
        recording("c", light="night"),
    ]
    groups = group_recordings(drives)
    names = {key: [each.recording_id for each in group] for key, group in groups.items()}
    assert names == {
        "all": ["a", "b", "c"],
        "light=day": ["a"],
        "light=night": ["b", "c"],
        "view_split=seen": ["a", "b"],
    }


def test_numbers_against_a_teacher_are_called_agreement() -> None:
    assert metric_name("AP@0.5", "truth") == "AP@0.5"
    assert metric_name("AP@0.5", "teacher") == "AP@0.5 (agreement with teacher)"


@pytest.mark.parametrize(
    "box", [[0.5, 0, 0.4, 1], [0, 0, 1.01, 1], [-0.01, 0, 1, 1], [0, 0, 1, float("nan")]]
)
def test_boxes_outside_the_picture_or_inside_out_are_refused(box: list[float]) -> None:
    with pytest.raises(InvalidValueError, match="fractions of the picture"):
        frame([box])


def test_scores_beyond_1_and_wrong_dtypes_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="score"):
        frame([[0, 0, 1, 1]], scores=[1.5])
    with pytest.raises(InvalidValueError, match=r"classes .* float64"):
        FrameBoxes(
            time_seconds=0,
            boxes=np.zeros((1, 4), dtype=np.float32),
            scores=np.ones(1, dtype=np.float32),
            classes=np.zeros(1),  # type: ignore[arg-type]
        )


def test_a_track_is_once_in_a_frame() -> None:
    with pytest.raises(InvalidValueError, match="holds a track twice"):
        FrameBoxes(
            time_seconds=0,
            boxes=np.zeros((2, 4), dtype=np.float32),
            scores=np.ones(2, dtype=np.float32),
            classes=np.zeros(2, dtype=np.int32),
            track_ids=np.array([3, 3]),
        )


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([0.0], "1 predicted frames for 2"),
        ([0.0, 0.2], "differ in time"),
        ([0.1, 0.0], "differ in time"),
    ],
)
def test_frames_that_do_not_pair_up_are_refused(times: list[float], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        RecordingBoxes(
            recording_id="a",
            predicted=tuple(frame([], seconds) for seconds in times),
            reference=(frame([], 0.0), frame([], 0.1)),
        )
