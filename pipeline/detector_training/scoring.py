"""How well a detector finds the boxes of recordings that it did not learn from.

A found box that lies on an ignored one counts neither for nor against it, as in training.
"""

from itertools import groupby
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from avkd.pipeline.detector_training.pictures import LabelledPictures
from avkd.pipeline.detector_training.recipe import DetectorData
from avkd.pipeline.detector_training.truth import PictureTruth
from avkd.stages.metrics.boxes import (
    GROUP_KEYS,
    FrameBoxes,
    RecordingBoxes,
    group_recordings,
)
from avkd.stages.metrics.detection import evaluate_detection
from avkd.stages.metrics.hidden_boxes import drop_hidden
from avkd.stages.teachers.detector import Detections, prepare_pictures
from avkd.stages.teachers.pyramid_detector import PyramidDetector

Scores: TypeAlias = dict[str, dict[str, float | int | None]]
"""By group of recordings: metrics and counts."""


def score_detector(
    network: PyramidDetector, pictures: LabelledPictures, data: DetectorData, device: torch.device
) -> Scores:
    """Give ``ap50``, ``ap75`` and ``ap`` of all recordings, and of each light and kind of view.

    None where there is nothing to find. Empty without pictures.
    """
    if not len(pictures):
        return {}
    found = _find_boxes(network, pictures, data, device)
    recordings = _pair_recordings(found, pictures)
    scores: Scores = {}
    for group, members in group_recordings(recordings, GROUP_KEYS).items():
        score = evaluate_detection(members, "truth")
        scores[group] = {
            "ap50": score.ap50,
            "ap75": score.ap75,
            "ap": score.ap,
            "num_pictures": score.num_frames,
            "num_boxes": score.num_reference_boxes,
        }
    return scores


def _find_boxes(
    network: PyramidDetector, pictures: LabelledPictures, data: DetectorData, device: torch.device
) -> list[Detections]:
    network.eval()
    found: list[Detections] = []
    with torch.inference_mode():
        for first in range(0, len(pictures), data.batch_size):
            frames = torch.from_numpy(pictures.frames(slice(first, first + data.batch_size)))
            found += network(prepare_pictures(frames, data.value_range).to(device))[0]
    return found


def _pair_recordings(
    found: list[Detections], pictures: LabelledPictures
) -> tuple[RecordingBoxes, ...]:
    triples = zip(found, pictures.truth, pictures.recordings, strict=True)
    paired = []
    for name, group in groupby(triples, key=lambda each: each[2].recording_id):
        members = list(group)
        metadata = members[0][2].metadata
        paired.append(
            RecordingBoxes(
                recording_id=name,
                predicted=tuple(_without_ignored(_as_found(f, t), t) for f, t, _ in members),
                reference=tuple(_as_truth(truth) for _, truth, _ in members),
                groups={key: str(metadata[key]) for key in GROUP_KEYS if key in metadata},
            )
        )
    return tuple(paired)


def _as_found(found: Detections, truth: PictureTruth) -> FrameBoxes:
    return FrameBoxes(
        time_seconds=truth.time_seconds,
        boxes=found.boxes.cpu().numpy(),
        scores=found.scores.cpu().numpy(),
        classes=found.classes.cpu().numpy().astype(np.int32),
    )


def _without_ignored(found: FrameBoxes, truth: PictureTruth) -> FrameBoxes:
    return drop_hidden(found, _as_truth(truth), truth.boxes[truth.is_ignored])


def _as_truth(truth: PictureTruth) -> FrameBoxes:
    wanted: npt.NDArray[np.bool_] = ~truth.is_ignored
    return FrameBoxes(
        time_seconds=truth.time_seconds,
        boxes=truth.boxes[wanted],
        scores=np.ones(int(wanted.sum()), np.float32),
        classes=truth.classes[wanted].astype(np.int32),
    )
