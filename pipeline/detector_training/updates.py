"""The updates of a detector: what it learns from, and by which losses."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from avkd.pipeline.detector_training.batches import build_batch
from avkd.pipeline.detector_training.pictures import LabelledPictures
from avkd.pipeline.detector_training.recipe import DetectorRecipe
from avkd.pipeline.picture_training.batches import choose_places
from avkd.stages.teachers.pyramid_detector import PyramidDetector
from avkd.stages.teachers.pyramid_loss import pyramid_loss


@dataclass(frozen=True, kw_only=True)
class Learner:
    """A detector, what it learns from, and where its run is."""

    recipe: DetectorRecipe
    network: PyramidDetector
    pictures: LabelledPictures
    folder: Path
    device: torch.device

    def measure(self, update: int) -> tuple[Mapping[str, Tensor], int]:
        """The parts of an update's loss, and the pictures that it learns from."""
        data, seed = self.recipe.data, self.recipe.seed
        places = choose_places(len(self.pictures), data.batch_size, seed, update)
        batch = build_batch(self.pictures, places, data, seed, update).to(self.device)
        said = self.network.look(batch.pictures)
        return pyramid_loss(said, self.network.points, batch.truth), len(batch.truth)
