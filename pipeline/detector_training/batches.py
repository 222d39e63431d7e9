"""Batches of a detector's updates: pictures changed by chance, and their boxes as well."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from avkd.pipeline.detector_training.pictures import LabelledPictures
from avkd.pipeline.detector_training.recipe import DetectorData
from avkd.pipeline.detector_training.truth import PictureTruth
from avkd.pipeline.picture_training.batches import show_changed
from avkd.stages.teachers.pyramid_loss import LabelledBoxes


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What an update learns from."""

    pictures: Tensor
    """float32 (B, 3, H, W) in [0, 1]."""
    truth: Sequence[LabelledBoxes]
    """B"""

    def to(self, device: torch.device) -> "Batch":
        """The same on that device."""
        return Batch(
            pictures=self.pictures.to(device), truth=[each.to(device) for each in self.truth]
        )


def build_batch(
    pictures: LabelledPictures,
    places: npt.NDArray[np.int64],
    data: DetectorData,
    seed: int,
    update: int,
) -> Batch:
    """Prepare the pictures at those places as the detector sees them, changed by chance."""
    shown, is_mirrored = show_changed(pictures, places, data, seed, update)
    truth = [
        _in_pixels(pictures.truth[place], data.picture_size, mirrors=bool(mirrors))
        for place, mirrors in zip(places, is_mirrored, strict=True)
    ]
    return Batch(pictures=shown, truth=truth)


def _in_pixels(truth: PictureTruth, size: tuple[int, int], *, mirrors: bool) -> LabelledBoxes:
    boxes = torch.from_numpy(truth.boxes)
    if mirrors:
        x_min, y_min, x_max, y_max = boxes.T
        boxes = torch.stack([1 - x_max, y_min, 1 - x_min, y_max], dim=1)
    return LabelledBoxes(
        boxes=boxes * torch.tensor([*size, *size]),
        classes=torch.from_numpy(truth.classes),
        is_ignored=torch.from_numpy(truth.is_ignored),
    )
