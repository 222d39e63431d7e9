"""Batches of an update, and how their pictures are changed: pure functions of seed and update.

So a run that was interrupted goes on as if it had not been, with no state but the network's.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from avkd.pipeline.detector_training.pictures import LabelledPictures
from avkd.pipeline.detector_training.recipe import DetectorData
from avkd.pipeline.detector_training.truth import PictureTruth
from avkd.stages.teachers.detector import prepare_pictures
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


def count_batches(num_pictures: int, batch_size: int) -> int:
    """Batches of an epoch: whole ones, or a single smaller one."""
    return max(1, num_pictures // batch_size)


def choose_places(
    num_pictures: int, batch_size: int, seed: int, update: int
) -> npt.NDArray[np.int64]:
    """Which pictures update 0, 1, ... learns from; each at most once in an epoch."""
    epoch, number = divmod(update, count_batches(num_pictures, batch_size))
    order = np.random.default_rng([*b"order", seed, epoch]).permutation(num_pictures)
    return np.asarray(order[number * batch_size : (number + 1) * batch_size], np.int64)


def build_batch(
    pictures: LabelledPictures,
    places: npt.NDArray[np.int64],
    data: DetectorData,
    seed: int,
    update: int,
) -> Batch:
    """Prepare the pictures at those places as the detector sees them, changed by chance."""
    rng = np.random.default_rng([*b"changes", seed, update])
    chances, gains, contrasts = rng.uniform(size=(3, len(places)))
    is_mirrored = chances < data.flip
    frames = pictures.frames(places)
    # Mirrored as bytes, which is a quarter of the work.
    frames[is_mirrored] = frames[is_mirrored, :, ::-1]
    shown = prepare_pictures(torch.from_numpy(frames), data.value_range)
    if data.stream == "rgb" and data.value_range is None and data.brightness:
        shown = change_light(
            shown,
            1 + data.brightness * (2 * gains - 1),
            1 + data.brightness * (2 * contrasts - 1),
        )
    truth = [
        _in_pixels(pictures.truth[place], data.picture_size, mirrors=bool(mirrors))
        for place, mirrors in zip(places, is_mirrored, strict=True)
    ]
    return Batch(pictures=shown, truth=truth)


def change_light(
    pictures: Tensor, gains: npt.NDArray[np.float64], contrasts: npt.NDArray[np.float64]
) -> Tensor:
    """Multiply the brightness of each picture, and what differs from its mean by its contrast."""
    gain, contrast = (
        torch.from_numpy(each).float()[:, None, None, None] for each in (gains, contrasts)
    )
    mean = pictures.mean(dim=(1, 2, 3), keepdim=True)
    return torch.addcmul(mean * (1 - contrast) * gain, pictures, contrast * gain).clamp_(0, 1)


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
