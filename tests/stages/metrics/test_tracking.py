import builtins
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avkd.errors import InvalidValueError
from avkd.stages.metrics.boxes import FrameBoxes, RecordingBoxes, box_iou
from avkd.stages.metrics.tracking import evaluate_tracking

Boxes = Mapping[int, Sequence[float]]
"""Of the tracks in a frame."""
LEFT, RIGHT = (0.1, 0.4, 0.3, 0.6), (0.6, 0.4, 0.8, 0.6)


def frame(boxes: Boxes, seconds: float = 0.0) -> FrameBoxes:
    return FrameBoxes(
        time_seconds=seconds,
        boxes=np.array(list(boxes.values()), dtype=np.float32).reshape(-1, 4),
        scores=np.ones(len(boxes), dtype=np.float32),
        classes=np.zeros(len(boxes), dtype=np.int32),
        track_ids=np.array(list(boxes), dtype=np.int64),
    )


def recording(predicted: Sequence[Boxes], reference: Sequence[Boxes]) -> RecordingBoxes:
    return RecordingBoxes(
        recording_id="a",
        predicted=tuple(frame(each, float(place)) for place, each in enumerate(predicted)),
        reference=tuple(frame(each, float(place)) for place, each in enumerate(reference)),
    )


def random_recording(seed: int) -> RecordingBoxes:
    """Tracks that stand or drift, found with misses, exchanged ids and false alarms."""
    generator = np.random.default_rng(seed)
    starts = generator.random((4, 2)) * 0.4
    truth: list[dict[int, Any]] = []
    predicted: list[dict[int, Any]] = []
    names = np.arange(4)
    for _ in range(8):
        starts = np.clip(starts + generator.normal(0, 0.02, starts.shape), 0, 0.7)
        boxes = np.concatenate([starts, starts + 0.25], axis=1)
        there = np.flatnonzero(generator.random(4) < 0.8)
        truth.append({int(each) + 10: boxes[each] for each in there})
        if generator.random() < 0.3:
            names = generator.permutation(5)[:4]
        found = there[generator.random(len(there)) < 0.8]
        noisy = np.clip(boxes + generator.normal(0, 0.02, boxes.shape), 0, 1)
        predicted.append({int(names[each]): noisy[each] for each in found})
        if generator.random() < 0.3:
            predicted[-1][7] = np.array([0.5, 0.5, 0.9, 0.9])
    return recording(predicted, truth)


def overlaps(each: RecordingBoxes) -> list[tuple[Any, Any, npt.NDArray[np.float64]]]:
    return [(t.track_ids, p.track_ids, box_iou(t.boxes, p.boxes)) for p, t in each.pairs()]


def assignment(value: npt.NDArray[np.float64]) -> tuple[Any, Any]:
    """Rows and columns of the pairs whose sum is largest."""
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(value, maximize=True)
    return rows, columns


def clear_counts(each: RecordingBoxes, threshold: float) -> tuple[int, int, int]:
    """False positives, misses and switches by the definition, with TrackEval's continuity."""
    false, missed, switches = 0, 0, 0
    last: dict[int, int] = {}
    before: dict[int, int] = {}
    for truth, predicted, iou in overlaps(each):
        if len(truth) and len(predicted):
            stays = np.array([[before.get(t) == p for p in predicted] for t in truth])
            value = np.where(iou >= threshold, iou + 1000 * stays, 0)
            rows, columns = assignment(value)
            pairs = [(r, c) for r, c in zip(rows, columns, strict=True) if value[r, c] > 0]
            before = {int(truth[r]): int(predicted[c]) for r, c in pairs}
            switches += sum(last.get(t, p) != p for t, p in before.items())
            last |= before
        else:
            pairs = []
        false, missed = false + len(predicted) - len(pairs), missed + len(truth) - len(pairs)
    return false, missed, switches


def identity_f1(each: RecordingBoxes, threshold: float) -> float:
    """The best one-to-one naming of whole tracks, as a share of all boxes."""
    together = np.zeros((20, 20))
    num_boxes = 0
    for truth, predicted, iou in overlaps(each):
        num_boxes += len(truth) + len(predicted)
        for row, column in np.argwhere(iou >= threshold):
            together[truth[row], predicted[column]] += 1
    rows, columns = assignment(together)
    return float(2 * together[rows, columns].sum() / max(num_boxes, 1))


def hota(each: RecordingBoxes) -> float:
    """Luiten et al., IJCV 2021, equations for one alpha at a time."""
    frames = overlaps(each)
    alike, of_truth, of_predicted = np.zeros((20, 20)), np.zeros(20), np.zeros(20)
    for truth, predicted, iou in frames:
        both = iou.sum(axis=0)[None] + iou.sum(axis=1)[:, None] - iou
        alike[np.ix_(truth, predicted)] += np.divide(
            iou, both, out=np.zeros_like(iou), where=both > 0
        )
        of_truth[truth] += 1
        of_predicted[predicted] += 1
    union = of_truth[:, None] + of_predicted[None] - alike
    alignment = np.divide(alike, union, out=np.zeros_like(alike), where=union > 0)
    values = []
    for alpha in np.arange(0.05, 0.99, 0.05):
        pairs = np.zeros((20, 20))
        for truth, predicted, iou in frames:
            rows, columns = assignment(alignment[np.ix_(truth, predicted)] * iou)
            good = iou[rows, columns] >= alpha - 1e-9
            pairs[truth[rows[good]], predicted[columns[good]]] += 1
        hits = pairs.sum()
        detection = hits / (of_truth.sum() + of_predicted.sum() - hits)
        jaccard = pairs / np.maximum(1, of_truth[:, None] + of_predicted[None] - pairs)
        association = (pairs * jaccard).sum() / max(1, hits)
        values.append(np.sqrt(detection * association))
    return float(np.mean(values))


def test_perfect_tracks_score_1() -> None:
    both: list[Boxes] = [{1: LEFT, 2: RIGHT}] * 4
    found = evaluate_tracking([recording([{5: LEFT, 3: RIGHT}] * 4, both)], "truth")
    assert (found.mota, found.idf1, found.hota, found.det_a, found.ass_a) == (1, 1, 1, 1, 1)
    assert (found.num_switches, found.num_false_positives, found.num_misses) == (0, 0, 0)
    assert (found.num_reference_boxes, found.num_reference_tracks) == (8, 2)


def test_identities_exchanged_midway_are_a_switch_each() -> None:
    reference: list[Boxes] = [{1: LEFT}] * 4
    found = evaluate_tracking([recording([{1: LEFT}] * 2 + [{2: LEFT}] * 2, reference)], "truth")
    assert found.num_switches == 1
    assert found.mota == pytest.approx(1 - 1 / 4)
    # Either name is right for half of the boxes: 2 of 4 found, as much is false and missed.
    assert found.idf1 == pytest.approx(1 / 2)
    # Every box is found; of its track, 2 of 4 boxes are under the same name.
    assert (found.det_a, found.ass_a) == pytest.approx((1, 1 / 2))
    assert found.hota == pytest.approx(np.sqrt(1 / 2))
    both: list[Boxes] = [{1: LEFT, 2: RIGHT}] * 2
    exchanged: list[Boxes] = [{1: LEFT, 2: RIGHT}, {1: RIGHT, 2: LEFT}]
    assert evaluate_tracking([recording(exchanged, both)], "truth").num_switches == 2


def test_misses_and_false_alarms_count_against_mota() -> None:
    reference: list[Boxes] = [{1: LEFT}] * 4
    predicted: list[Boxes] = [{1: LEFT}, {}, {1: LEFT, 2: RIGHT}, {1: LEFT}]
    found = evaluate_tracking([recording(predicted, reference)], "truth")
    assert (found.num_misses, found.num_false_positives, found.num_switches) == (1, 1, 0)
    assert found.mota == pytest.approx(1 - 2 / 4)
    assert found.idf1 == pytest.approx(3 / (3 + 0.5 + 0.5))


def test_mota_is_negative_where_errors_are_more_than_boxes() -> None:
    found = evaluate_tracking([recording([{1: RIGHT, 2: (0, 0, 0.1, 0.1)}], [{1: LEFT}])], "truth")
    assert found.mota == pytest.approx(-2)
    assert (found.idf1, found.hota) == (0, 0)


def test_a_box_counts_from_the_threshold_on() -> None:
    # IoU 0.6.
    narrow = recording([{1: (0.1, 0.4, 0.22, 0.6)}] * 2, [{1: LEFT}] * 2)
    assert evaluate_tracking([narrow], "truth").mota == 1
    strict = evaluate_tracking([narrow], "truth", iou_threshold=0.65)
    assert (strict.mota, strict.iou_threshold) == (-1, 0.65)
    # HOTA counts it at 0.05 to 0.60 whatever the threshold, or to 0.55 by rounding.
    assert strict.hota in (pytest.approx(11 / 19), pytest.approx(12 / 19))


def test_recordings_have_identities_of_their_own() -> None:
    one = recording([{1: LEFT}] * 2, [{1: LEFT}] * 2)
    other = recording([{2: LEFT}] * 2, [{1: LEFT}] * 2)
    found = evaluate_tracking([one, other], "truth")
    assert (found.num_switches, found.idf1, found.hota) == pytest.approx((0, 1, 1))
    assert (found.num_reference_tracks, found.num_predicted_tracks) == (2, 2)


def test_recordings_weigh_by_their_boxes() -> None:
    long = recording([{1: LEFT}] * 6, [{1: LEFT}] * 6)
    missed = recording([{}] * 2, [{1: LEFT}] * 2)
    assert evaluate_tracking([long, missed], "truth").mota == pytest.approx(6 / 8)


def test_nothing_predicted_is_0_and_nothing_to_follow_is_none() -> None:
    missed = evaluate_tracking([recording([{}], [{1: LEFT}])], "truth")
    assert (missed.mota, missed.idf1, missed.hota, missed.num_misses) == (0, 0, 0, 1)
    alarms = evaluate_tracking([recording([{1: LEFT}], [{}])], "teacher")
    assert (alarms.mota, alarms.idf1, alarms.hota, alarms.ass_a) == (None,) * 4
    assert (alarms.num_false_positives, alarms.reference) == (1, "teacher")
    assert evaluate_tracking([], "truth").mota is None
    assert evaluate_tracking([recording([], [])], "truth").num_misses == 0


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**31))
def test_the_package_agrees_with_the_definitions(seed: int) -> None:
    each = random_recording(seed)
    found = evaluate_tracking([each], "truth")
    counts = found.num_false_positives, found.num_misses, found.num_switches
    assert counts == clear_counts(each, 0.5)
    if not found.num_reference_boxes:
        return
    assert found.mota == pytest.approx(1 - sum(counts) / found.num_reference_boxes)
    assert found.idf1 == pytest.approx(identity_f1(each, 0.5))
    assert found.hota == pytest.approx(hota(each))


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 2**31))
def test_names_of_tracks_do_not_matter(seed: int) -> None:
    each = random_recording(seed)
    renamed = [
        {97 - int(name): box for name, box in zip(some.track_ids, some.boxes, strict=True)}
        for some in each.predicted
        if some.track_ids is not None
    ]
    truth = [
        dict(zip(some.track_ids.tolist(), some.boxes, strict=True))
        for some in each.reference
        if some.track_ids is not None
    ]
    first = asdict(evaluate_tracking([each], "truth"))
    second = asdict(evaluate_tracking([recording(renamed, truth)], "truth"))
    assert second.pop("reference") == first.pop("reference")
    # Sums over tracks are taken in another order.
    assert second == pytest.approx(first)


def test_boxes_that_were_never_tracked_are_refused() -> None:
    plain = FrameBoxes(
        time_seconds=0,
        boxes=np.array([LEFT], dtype=np.float32),
        scores=np.ones(1, dtype=np.float32),
        classes=np.zeros(1, dtype=np.int32),
    )
    pair = RecordingBoxes(recording_id="drive-3", predicted=(plain,), reference=(frame({1: LEFT}),))
    with pytest.raises(InvalidValueError, match="drive-3 has boxes without track ids"):
        evaluate_tracking([pair], "truth")
    with pytest.raises(InvalidValueError, match="iou_threshold 50"):
        evaluate_tracking([], "truth", iou_threshold=50)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def no_trackeval(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("trackeval"):
            raise ImportError("No module named 'trackeval'")
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", no_trackeval)
    with pytest.raises(InvalidValueError, match=r"pip install 'avkd\[tracking\]'"):
        evaluate_tracking([recording([{1: LEFT}], [{1: LEFT}])], "truth")
