from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from avkd.pipeline.detector_training.pictures import LabelledPictures
from avkd.pipeline.detector_training.recipe import DetectorData
from avkd.pipeline.detector_training.scoring import score_detector
from avkd.pipeline.detector_training.truth import PictureTruth
from avkd.stages.teachers.detector import Detections
from avkd.storage.schema import Recording

CPU = torch.device("cpu")
DATA = DetectorData(picture_size=(64, 64), batch_size=3)
LEFT, RIGHT = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)


class TwoBoxes(nn.Module):
    """Finds a box on the left in every picture and, less sure, one on the right."""

    def forward(self, pictures: Tensor) -> tuple[Sequence[Detections], Sequence[Tensor]]:
        found = Detections(
            boxes=torch.tensor([LEFT, RIGHT]),
            scores=torch.tensor([0.9, 0.8]),
            classes=torch.tensor([0, 0]),
        )
        return [found] * len(pictures), []


def pictures_of(*truth: tuple[str, tuple[tuple[float, ...], ...], tuple[bool, ...]]) -> object:
    return LabelledPictures(
        memory=np.zeros((len(truth), 64, 64, 3), np.uint8),
        places=np.arange(len(truth)),
        truth=tuple(
            PictureTruth(
                time_seconds=float(second),
                boxes=np.array(boxes, np.float32).reshape(-1, 4),
                classes=np.zeros(len(boxes), np.int64),
                is_ignored=np.array(ignored, bool),
            )
            for second, (_, boxes, ignored) in enumerate(truth)
        ),
        recordings=tuple(
            Recording(recording_id=light, streams={}, metadata={"light": light})
            for light, _, _ in truth
        ),
    )


def score(pictures: object) -> dict:
    return score_detector(TwoBoxes(), pictures, DATA, CPU)  # type: ignore[arg-type]


def test_scores_are_of_all_and_of_each_light() -> None:
    scores = score(
        pictures_of(
            ("night", (LEFT,), (False,)),
            ("night", (LEFT,), (False,)),
            ("day", (LEFT, RIGHT), (False, False)),
            ("day", (LEFT, RIGHT), (False, False)),
        )
    )
    assert scores["light=day"]["ap50"] == pytest.approx(1)
    # The two on the right are false alarms, but less sure than what is right.
    assert scores["light=night"]["ap50"] == pytest.approx(1)
    assert scores["all"]["num_boxes"] == 6
    # All 4 on the left are right, of the next 4 the first 2 wrong: precision 6 / 8 at the end.
    assert scores["all"]["ap50"] == pytest.approx(4 / 6 + 2 / 6 * 6 / 8, abs=0.01)


def test_what_is_found_on_an_ignored_box_is_no_false_alarm() -> None:
    empty = pictures_of(("day", (RIGHT,), (False,)), ("day", (RIGHT,), (False,)))
    ignored = pictures_of(
        ("day", (LEFT, RIGHT), (True, False)),
    )
    assert score(empty)["all"]["ap50"] == pytest.approx(0.5, abs=0.01)
    assert score(ignored)["all"]["ap50"] == pytest.approx(1)
    assert score(ignored)["all"]["num_boxes"] == 1


def test_without_pictures_there_is_no_score() -> None:
    assert score(pictures_of()) == {}


def test_without_a_box_there_is_no_ap() -> None:
    assert score(pictures_of(("day", (), ())))["all"]["ap50"] is None
