"""Which pictures an update learns from, and how they are changed: functions of seed and update.

So a run that was interrupted goes on as if it had not been, with no state but the network's.
"""

from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from avkd.pipeline.picture_training.pictures import LabelledPictures
from avkd.pipeline.picture_training.recipe_values import PictureData
from avkd.stages.teachers.detector import prepare_pictures

TruthT = TypeVar("TruthT")


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


def show_changed(
    pictures: LabelledPictures[TruthT],
    places: npt.NDArray[np.int64],
    data: PictureData,
    seed: int,
    update: int,
) -> tuple[Tensor, npt.NDArray[np.bool_]]:
    """Prepare the pictures at those places as the teacher sees them, changed by chance.

    Gives float32 (B, 3, H, W) in [0, 1], and which of them (B,) are mirrored.
    """
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
    return shown, is_mirrored


def change_light(
    pictures: Tensor, gains: npt.NDArray[np.float64], contrasts: npt.NDArray[np.float64]
) -> Tensor:
    """Multiply the brightness of each picture, and what differs from its mean by its contrast."""
    gain, contrast = (
        torch.from_numpy(each).float()[:, None, None, None] for each in (gains, contrasts)
    )
    mean = pictures.mean(dim=(1, 2, 3), keepdim=True)
    return torch.addcmul(mean * (1 - contrast) * gain, pictures, contrast * gain).clamp_(0, 1)
