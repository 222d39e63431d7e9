"""How well boxes are followed: MOTA, IDF1, HOTA and identity switches, by TrackEval.

TrackEval is the reference implementation of HOTA, and what MOTChallenge and KITTI measure with:
MOTA and IDF1 match boxes at one IoU threshold, HOTA is the mean over thresholds 0.05 to 0.95, and
recordings are combined as a benchmark combines its sequences. Classes are not told apart.

A teacher has boxes, not identities: where it is the reference its boxes were tracked first, and
errors of that tracker count against the student.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from avkd.errors import InvalidValueError
from avkd.stages.metrics.boxes import FrameBoxes, RecordingBoxes, Reference, box_iou

TrackIds = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class TrackingScores:
    """How well tracks agree with those of the reference; shares, not percent."""

    reference: Reference
    mota: float | None
    """1 less misses, false positives and switches over reference boxes: negative where those are
    more. This and the next four are None where the reference has no box."""
    idf1: float | None
    hota: float | None
    det_a: float | None
    """HOTA's part that is detection."""
    ass_a: float | None
    """HOTA's part that is association."""
    num_switches: int
    """How often a reference track was matched to another predicted track than the last time."""
    num_false_positives: int
    num_misses: int
    num_reference_boxes: int
    num_predicted_boxes: int
    num_reference_tracks: int
    num_predicted_tracks: int
    iou_threshold: float
    """Of all but the HOTA family."""


def evaluate_tracking(
    recordings: Sequence[RecordingBoxes], reference: Reference, *, iou_threshold: float = 0.5
) -> TrackingScores:
    """Measure predicted tracks against those of the reference.

    Raises:
        InvalidValueError: There are boxes without track ids, the threshold is not 0 to 1, or
            TrackEval is not installed.
    """
    if not 0 < iou_threshold <= 1:
        raise InvalidValueError(f"iou_threshold {iou_threshold} must be 0 to 1, such as 0.5")
    sequences = [_sequence(each) for each in recordings]
    totals = {
        name: sum(int(each[name]) for each in sequences)
        for name in ("num_gt_dets", "num_tracker_dets", "num_gt_ids", "num_tracker_ids")
    }
    found = _measure(sequences, iou_threshold) if sequences else {}

    def share(name: str) -> float | None:
        # The package says 0 where there is nothing to measure; arrays are over thresholds.
        return float(np.mean(found[name])) if totals["num_gt_dets"] else None

    return TrackingScores(
        reference=reference,
        mota=share("MOTA"),
        idf1=share("IDF1"),
        hota=share("HOTA"),
        det_a=share("DetA"),
        ass_a=share("AssA"),
        num_switches=int(found.get("IDSW", 0)),
        num_false_positives=int(found.get("CLR_FP", 0)),
        num_misses=int(found.get("CLR_FN", 0)),
        num_reference_boxes=totals["num_gt_dets"],
        num_predicted_boxes=totals["num_tracker_dets"],
        num_reference_tracks=totals["num_gt_ids"],
        num_predicted_tracks=totals["num_tracker_ids"],
        iou_threshold=iou_threshold,
    )


def _measure(sequences: Sequence[Mapping[str, Any]], iou_threshold: float) -> dict[str, Any]:
    """TrackEval's fields of all sequences together."""
    try:
        from trackeval.metrics import CLEAR, HOTA, Identity
    except ImportError as error:
        raise InvalidValueError(
            f"tracks are measured by TrackEval, but {error}; pip install 'avkd[tracking]'"
        ) from error

    settings = {"THRESHOLD": iou_threshold, "PRINT_CONFIG": False}
    fields: dict[str, Any] = {}
    for metric in (CLEAR(settings), Identity(settings), HOTA()):
        each = {str(place): metric.eval_sequence(one) for place, one in enumerate(sequences)}
        fields |= metric.combine_sequences(each)
    return fields


def _sequence(recording: RecordingBoxes) -> dict[str, Any]:
    """A recording as TrackEval takes it: ids numbered from 0, frame by frame."""
    truth_ids, num_truth = _number_tracks(recording.recording_id, recording.reference)
    predicted_ids, num_predicted = _number_tracks(recording.recording_id, recording.predicted)
    return {
        "num_timesteps": len(recording.reference),
        "num_gt_ids": num_truth,
        "num_tracker_ids": num_predicted,
        "num_gt_dets": sum(len(frame) for frame in recording.reference),
        "num_tracker_dets": sum(len(frame) for frame in recording.predicted),
        "gt_ids": truth_ids,
        "tracker_ids": predicted_ids,
        "similarity_scores": [
            box_iou(truth.boxes, predicted.boxes) for predicted, truth in recording.pairs()
        ],
    }


def _number_tracks(name: str, frames: Sequence[FrameBoxes]) -> tuple[list[TrackIds], int]:
    """The ids (n,) of each frame as numbers from 0, and how many there are."""
    ids = [_track_ids(name, frame) for frame in frames]
    known = np.unique(np.concatenate([np.empty(0, dtype=np.int64), *ids]))
    return [np.searchsorted(known, each).astype(np.int64) for each in ids], len(known)


def _track_ids(name: str, frame: FrameBoxes) -> TrackIds:
    if frame.track_ids is not None:
        return frame.track_ids
    if len(frame):
        raise InvalidValueError(
            f"{name} has boxes without track ids at {frame.time_seconds} s; track its frames first"
        )
    return np.empty(0, dtype=np.int64)
