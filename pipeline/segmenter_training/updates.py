"""The updates of a segmenter: what it learns from, and by which loss.

Conventions: B pictures, K classes, H and W pixels.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from avkd.pipeline.picture_training.batches import choose_places, show_changed
from avkd.pipeline.segmenter_training.pictures import MappedPictures
from avkd.pipeline.segmenter_training.recipe import SegmenterData, SegmenterRecipe
from avkd.stages.teachers.segmenter import Segmenter
from avkd.stages.types import IGNORED_CLASS


@dataclass(frozen=True, kw_only=True)
class Learner:
    """A segmenter, what it learns from, and where its run is."""

    recipe: SegmenterRecipe
    network: Segmenter
    pictures: MappedPictures
    class_weights: Tensor
    """(K,)"""
    folder: Path
    device: torch.device

    def measure(self, update: int) -> tuple[Mapping[str, Tensor], int]:
        """The loss of an update, and the pictures that it learns from."""
        data, seed = self.recipe.data, self.recipe.seed
        places = choose_places(len(self.pictures), data.batch_size, seed, update)
        shown, maps = build_batch(self.pictures, places, data, seed, update)
        logits = self.network(shown.to(self.device))
        loss = class_loss(logits, maps.to(self.device), self.class_weights.to(self.device))
        return {"classes": loss}, len(places)


def build_batch(
    pictures: MappedPictures,
    places: npt.NDArray[np.int64],
    data: SegmenterData,
    seed: int,
    update: int,
) -> tuple[Tensor, Tensor]:
    """Prepare the pictures at those places, changed by chance, and their class maps.

    Gives float32 (B, 3, H, W) in [0, 1] and int64 (B, H, W).
    """
    shown, is_mirrored = show_changed(pictures, places, data, seed, update)
    maps = np.stack([pictures.truth[place] for place in places])
    maps[is_mirrored] = maps[is_mirrored, :, ::-1]
    return shown, torch.from_numpy(maps.astype(np.int64))


def class_loss(logits: Tensor, maps: Tensor, class_weights: Tensor) -> Tensor:
    """Cross-entropy of logits (B, K, H, W): the mean over pixels that count, times their weights.

    ``maps`` int64 (B, H, W) are classes, or ``IGNORED_CLASS``.
    """
    total = cross_entropy(
        logits, maps, weight=class_weights, ignore_index=IGNORED_CLASS, reduction="sum"
    )
    return total / (maps != IGNORED_CLASS).sum().clamp_min(1)


def weigh_classes(counts: npt.NDArray[np.int64], balance: float) -> Tensor:
    """Weights (K,) of pixels by their class: its share to minus that power, of mean 1 over pixels.

    A class without a pixel has weight 1: it never counts.
    """
    shares = counts / max(1, counts.sum())
    weights = np.where(counts > 0, np.maximum(shares, 1e-12) ** -balance, 0.0)
    mean = float((shares * weights).sum()) or 1.0
    return torch.from_numpy(np.where(counts > 0, weights / mean, 1.0)).float()
