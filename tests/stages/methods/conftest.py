import pytest
import torch
from torch import Tensor, nn

from avkd.errors import UnknownNameError
from avkd.stages.encoders.registry import Encoder


class Means(Encoder):
    """Two layers of means over blocks of 10 and 20 samples, with 3 and 4 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.layer_names = ("first", "last")
        self.feature_layer = "first"
        self.head_layer = "output"
        self.sample_rate = 40
        self.min_samples = 20
        self.first = nn.Conv1d(1, 3, 10, 10)
        self.last = nn.Conv1d(3, 4, 2, 2)

    def features(self, waveform: Tensor, layer: str) -> Tensor:
        if layer not in self.layer_names:
            raise UnknownNameError("layer", layer, self.layer_names)
        columns: Tensor = self.first(waveform)
        return columns if layer == "first" else self.last(columns)

    def num_channels(self, layer: str) -> int:
        return {"first": 3, "last": 4}[layer]

    def build_head(self, num_classes: int) -> nn.Module:
        return nn.Conv1d(4, num_classes, 1)


@pytest.fixture
def encoder() -> Means:
    torch.manual_seed(0)
    return Means()
