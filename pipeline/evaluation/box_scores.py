"""Boxes beside a reference to numbers, of all recordings and of groups of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from avkd.errors import CorpusError
from avkd.pipeline.evaluation.box_reference import BoxReference, ClassRule, ReferenceFrame
from avkd.pipeline.evaluation.box_said import SaidBoxes
from avkd.pipeline.evaluation.box_tracks import Ids, follow_boxes, take_tracked
from avkd.stages.metrics.boxes import FrameBoxes, RecordingBoxes, Reference, group_recordings
from avkd.stages.metrics.center_distance import cd_released, center_distance
from avkd.stages.metrics.detection import DetectionScores, evaluate_detection
from avkd.stages.metrics.detection_released import released_detection
from avkd.stages.metrics.hidden_boxes import drop_hidden
from avkd.stages.metrics.tracking import evaluate_tracking
from avkd.stages.tracking.tracker import TrackerSettings

Number = float | int | None
CURVES_AT = (0.5, 0.75)
CURVE_DIGITS = 5


@dataclass(frozen=True, kw_only=True)
class JudgedBoxes:
    """What was said of recordings, beside what should have been."""

    boxes: tuple[RecordingBoxes, ...]
    tracks: tuple[RecordingBoxes, ...]
    """The same of the boxes that have a track."""
    track_ids: Mapping[str, tuple[Ids, ...]]
    """By recording and frame, of everything that was said, judged or not."""
    num_unjudged_frames: int
    """Those of which the reference says nothing."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Precision at recalls 0, 0.01 to 1, at one IoU threshold."""

    iou_threshold: float
    precisions: tuple[float, ...]
    """(101,): 0 beyond the largest recall reached."""


@dataclass(frozen=True, kw_only=True)
class GroupScores:
    """The numbers of some recordings."""

    group: str
    """``all``, or a column and its value, such as ``light=night``."""
    num_recordings: int
    num_frames: int
    num_reference_boxes: int
    num_predicted_boxes: int
    """Of any score."""
    metrics: Mapping[str, Number]
    """By name; None where there is nothing to measure."""
    curves: tuple[Curve, ...]


@dataclass(frozen=True, kw_only=True)
class Measuring:
    """What is measured, and what it is called."""

    kind: Reference
    teacher: str
    """The reference's name; empty for the truth."""
    min_score: float
    """Of boxes that count where boxes are counted."""
    has_tracks: bool

    def name(self, metric: str) -> str:
        """What to call a metric: against a teacher it is agreement with it, never accuracy."""
        if self.kind == "truth":
            return metric
        return f"{metric} (agreement with teacher {self.teacher})"


def judge_boxes(
    said: SaidBoxes,
    reference: BoxReference,
    rule: ClassRule,
    tracker: TrackerSettings,
    groups: Mapping[str, Mapping[str, str]],
) -> JudgedBoxes:
    """Follow what was said over each recording, and lay the reference beside it.

    ``groups`` are those of each recording. What matches only hidden boxes is left out, after it was
    followed.

    Raises:
        CorpusError: The reference speaks of none of the frames.
    """
    recordings = said.by_recording()
    ids = {name: follow_boxes(frames, tracker) for name, frames in recordings.items()}
    boxes, tracks, num_unjudged = [], [], 0
    for name, frames in recordings.items():
        wanted = reference.at(name, [frame.time_seconds for frame in frames])
        num_unjudged += sum(each is None for each in wanted)
        plain = [_merge(frame) if rule.is_merged else frame for frame in frames]
        followed = take_tracked(plain, ids[name])
        own = groups.get(name, {})
        if any(each is not None for each in wanted):
            boxes.append(_pair(name, plain, wanted, own, "boxes"))
            tracks.append(_pair(name, followed, wanted, own, "followed"))
    if not boxes:
        raise CorpusError(
            f"the reference says nothing of the {len(recordings)} recordings that are measured; "
            "give one of the same recordings"
        )
    return JudgedBoxes(
        boxes=tuple(boxes),
        tracks=tuple(tracks),
        track_ids=ids,
        num_unjudged_frames=num_unjudged,
    )


def measure_groups(
    judged: JudgedBoxes, measuring: Measuring, columns: Sequence[str]
) -> tuple[GroupScores, ...]:
    """The numbers of all recordings, then of those of each value of a column."""
    tracks = group_recordings(judged.tracks, columns)
    return tuple(
        _measure(name, recordings, tracks[name], measuring)
        for name, recordings in group_recordings(judged.boxes, columns).items()
    )


def _measure(
    group: str,
    boxes: Sequence[RecordingBoxes],
    tracks: Sequence[RecordingBoxes],
    measuring: Measuring,
) -> GroupScores:
    kind, min_score = measuring.kind, measuring.min_score
    found = evaluate_detection(boxes, kind)
    metrics: dict[str, Number] = {"AP@0.5": found.ap50, "AP@0.75": found.ap75}
    metrics |= {"AP@0.5:0.95": found.ap}
    centers = center_distance(boxes, kind, min_score=min_score)
    metrics |= {
        "CDx_percent": centers.cd_x_percent,
        "CDy_percent": centers.cd_y_percent,
        "match_rate": centers.match_rate,
    }
    if measuring.has_tracks:
        metrics |= _measure_tracks(tracks, kind)
    metrics |= _measure_released(boxes, min_score)
    return GroupScores(
        group=group,
        num_recordings=len(boxes),
        num_frames=found.num_frames,
        num_reference_boxes=found.num_reference_boxes,
        num_predicted_boxes=found.num_predicted_boxes,
        metrics={measuring.name(name): value for name, value in metrics.items()},
        curves=_draw_curves(found),
    )


def _measure_tracks(tracks: Sequence[RecordingBoxes], kind: Reference) -> dict[str, Number]:
    scores = evaluate_tracking(tracks, kind)
    return {
        "MOTA": scores.mota,
        "IDF1": scores.idf1,
        "HOTA": scores.hota,
        "id_switches": scores.num_switches,
        "false_positives": scores.num_false_positives,
        "misses": scores.num_misses,
    }


def _measure_released(boxes: Sequence[RecordingBoxes], min_score: float) -> dict[str, Number]:
    """As paper 3's code computes what it calls by these names."""
    found = released_detection(boxes, min_score=min_score)
    sizes = cd_released(boxes, min_score=min_score)
    return {
        "as_released_AP@0.5": found.ap50,
        "as_released_AP@0.75": found.ap75,
        "as_released_AP@avg": found.ap,
        "cd_released_x_percent": sizes.cd_x_percent,
        "cd_released_y_percent": sizes.cd_y_percent,
    }


def _draw_curves(found: DetectionScores) -> tuple[Curve, ...]:
    return tuple(
        Curve(
            iou_threshold=each.iou_threshold,
            precisions=tuple(np.round(each.precisions, CURVE_DIGITS).tolist()),
        )
        for each in found.curves
        if each.iou_threshold in CURVES_AT
    )


def _pair(
    name: str,
    predicted: Sequence[FrameBoxes],
    wanted: Sequence[ReferenceFrame | None],
    groups: Mapping[str, str],
    side: str,
) -> RecordingBoxes:
    """The frames that are judged; ``side`` is which boxes of the reference count."""
    judged = [
        (said, getattr(frame, side), frame.hidden)
        for said, frame in zip(predicted, wanted, strict=True)
        if frame is not None
    ]
    return RecordingBoxes(
        recording_id=name,
        predicted=tuple(drop_hidden(said, counted, hidden) for said, counted, hidden in judged),
        reference=tuple(counted for _, counted, _ in judged),
        groups=groups,
    )


def _merge(frame: FrameBoxes) -> FrameBoxes:
    return replace(frame, classes=np.zeros(len(frame), np.int32))
