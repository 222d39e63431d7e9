"""How well boxes are found: COCO average precision, by torchmetrics and pycocotools.

AP is the mean of the precision at 101 recalls, after each precision was raised to the best of any
higher recall. Boxes are matched in the order of their scores to the free reference box of the best
IoU; in frames without a reference every box is a false alarm. With several classes, AP is the mean
over those that the reference holds.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from avkd.stages.metrics.boxes import FrameBoxes, RecordingBoxes, Reference

Vector = npt.NDArray[np.float64]

IOU_THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
"""COCO's: 0.50 to 0.95."""
RECALLS = np.linspace(0, 1, 101)
MAX_BOXES = 100
"""Of a frame that count, those of the best scores; COCO's number."""
FRAMES_AT_ONCE = 256
BOX_AREAS, MOST_BOXES = 0, -1
"""Places in the curves of all sizes of boxes, and of the largest number of boxes a frame."""


@dataclass(frozen=True, kw_only=True)
class PrecisionRecall:
    """The curve whose mean precision is AP at one IoU threshold."""

    iou_threshold: float
    recalls: Vector
    """(101,): 0 to 1 in steps of 0.01."""
    precisions: Vector
    """(101,): never ascending; 0 beyond the largest recall reached; the mean over classes."""


@dataclass(frozen=True, kw_only=True)
class DetectionScores:
    """Average precision, 0 to 1; None where no frame has a reference box."""

    reference: Reference
    ap: float | None
    """The mean over IoU thresholds 0.50, 0.55 to 0.95: COCO's AP@0.5:0.95."""
    ap50: float | None
    ap75: float | None
    curves: tuple[PrecisionRecall, ...]
    """One for each IoU threshold, ascending; none without a reference."""
    num_frames: int
    num_reference_boxes: int
    num_predicted_boxes: int
    """Of any score."""


def evaluate_detection(
    recordings: Sequence[RecordingBoxes], reference: Reference
) -> DetectionScores:
    """AP of predictions of every score against the reference."""
    frames = [pair for each in recordings for pair in each.pairs()]
    num_reference = sum(len(truth) for _, truth in frames)
    curves = _precision_recall(frames) if num_reference else ()
    by_threshold = {each.iou_threshold: float(each.precisions.mean()) for each in curves}
    return DetectionScores(
        reference=reference,
        ap=float(np.mean(list(by_threshold.values()))) if curves else None,
        ap50=by_threshold.get(0.5),
        ap75=by_threshold.get(0.75),
        curves=curves,
        num_frames=len(frames),
        num_reference_boxes=num_reference,
        num_predicted_boxes=sum(len(predicted) for predicted, _ in frames),
    )


def _precision_recall(
    frames: Sequence[tuple[FrameBoxes, FrameBoxes]],
) -> tuple[PrecisionRecall, ...]:
    from torchmetrics.detection import MeanAveragePrecision

    metric = MeanAveragePrecision(
        iou_thresholds=list(IOU_THRESHOLDS),
        # COCO's. Those of torchmetrics are rounded to float32: 3 of 5 would not reach 0.60.
        rec_thresholds=RECALLS.tolist(),
        max_detection_thresholds=[1, 10, MAX_BOXES],
        extended_summary=True,
        backend="pycocotools",
    )
    # COCO counts the best of a frame's boxes; a student may well store more.
    metric.warn_on_many_detections = False
    for some in _pieces(frames):
        metric.update(
            [{**_tensors(each), "scores": torch.from_numpy(each.scores)} for each, _ in some],
            [_tensors(each) for _, each in some],
        )
    precision = metric.compute()["precision"].numpy()[..., BOX_AREAS, MOST_BOXES]
    # (thresholds, recalls, classes); -1 marks a class that the reference lacks.
    present = (precision >= 0).all(axis=(0, 1))
    return tuple(
        PrecisionRecall(
            iou_threshold=threshold,
            recalls=RECALLS.copy(),
            precisions=curve[:, present].mean(axis=1).astype(np.float64),
        )
        for threshold, curve in zip(IOU_THRESHOLDS, precision, strict=True)
    )


def _tensors(frame: FrameBoxes) -> dict[str, torch.Tensor]:
    # In doubles: an IoU that falls on a threshold should not depend on how a corner was rounded.
    return {
        "boxes": torch.from_numpy(frame.boxes).double(),
        "labels": torch.from_numpy(frame.classes).long(),
    }


def _pieces(
    frames: Sequence[tuple[FrameBoxes, FrameBoxes]],
) -> Iterator[Sequence[tuple[FrameBoxes, FrameBoxes]]]:
    return (
        frames[start : start + FRAMES_AT_ONCE] for start in range(0, len(frames), FRAMES_AT_ONCE)
    )
