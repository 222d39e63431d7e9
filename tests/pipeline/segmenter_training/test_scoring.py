import numpy as np
import pytest
import torch
from torch import nn

from avkd.pipeline.segmenter_training.pictures import MappedPictures
from avkd.pipeline.segmenter_training.recipe import SegmenterData
from avkd.pipeline.segmenter_training.scoring import score_segmenter
from avkd.storage.schema import Recording

DATA = SegmenterData(picture_size=(64, 64), map_stride=2, batch_size=2)


class ShadeReader(nn.Module):
    """Says class 1 where a picture is bright."""

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return torch.stack([0.5 - pictures[:, 0], pictures[:, 0] - 0.5], dim=1) * 100


def pictures_of(bright: list[int], truth: list[int], lights: list[str]) -> MappedPictures:
    """Pictures whose first so many columns are bright, and as many that really are."""
    frames = np.zeros((len(bright), 64, 64, 3), np.uint8)
    maps = np.zeros((len(bright), 64, 64), np.uint8)
    for number, (shown, true) in enumerate(zip(bright, truth, strict=True)):
        frames[number, :, :shown] = 255
        maps[number, :, :true] = 1
    return MappedPictures(
        memory=frames,
        places=np.arange(len(bright)),
        truth=tuple(maps),
        recordings=tuple(
            Recording(recording_id=f"r{number}", streams={}, metadata={"light": light})
            for number, light in enumerate(lights)
        ),
    )


def test_pixels_are_summed_before_a_number_is_taken_and_by_light() -> None:
    pictures = pictures_of([32, 16, 0], [32, 32, 0], ["day", "night", "night"])
    scores = score_segmenter(
        ShadeReader(),
        pictures,
        ("dark", "bright"),
        DATA,
        torch.device("cpu"),  # type: ignore[arg-type]
    )
    assert {*scores} == {"all", "light=day", "light=night"}
    assert scores["light=day"]["mIoU"] == 1
    # Bright: 48 of 64 columns that are true or said; dark: 128 of 144.
    assert scores["all"]["IoU_bright"] == pytest.approx(48 / 64)
    assert scores["all"]["IoU_dark"] == pytest.approx(128 / 144)
    assert scores["all"]["pixel_accuracy"] == pytest.approx(1 - 16 / 192)
    assert scores["light=night"]["num_pictures"] == 2


def test_without_pictures_there_is_no_score() -> None:
    none = pictures_of([1], [1], ["day"]).take(np.zeros(1, bool))
    assert score_segmenter(ShadeReader(), none, ("a", "b"), DATA, torch.device("cpu")) == {}  # type: ignore[arg-type]
