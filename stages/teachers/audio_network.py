"""Networks of sound as torch modules, from int16 windows to their outputs; ``runtimes`` runs them.

int16 travels to the device; scaling to [-1, 1] is part of the network.
"""

from typing import Any

import torch
from torch import Tensor, nn

from avkd.stages.teachers.audio_loaded import FULL_SCALE, SMALLEST_VARIANCE


class Listener(nn.Module):
    """int16 windows (B, channels, samples) to what a network gives for float ones in [-1, 1].

    One channel is given as (B, samples), as networks of sound mostly take it.
    """

    def __init__(self, network: nn.Module, *, normalises: bool = False) -> None:
        """Wrap a network; ``normalises`` brings each channel to mean 0 and variance 1 before."""
        super().__init__()
        self.network = network
        self.normalises = normalises

    def forward(self, windows: Tensor) -> tuple[Tensor, ...]:
        """Scale and listen."""
        sound = windows.to(torch.float32) / FULL_SCALE
        if self.normalises:
            sound = nn.functional.layer_norm(sound, sound.shape[-1:], eps=SMALLEST_VARIANCE)
        outputs = self.network(sound[:, 0] if sound.shape[1] == 1 else sound)
        return outputs if isinstance(outputs, tuple) else (outputs,)


class MeanOverTime(nn.Module):
    """A model of torchaudio's kind: sound (B, samples) to the mean of its last layer (B, D)."""

    def __init__(self, model: nn.Module) -> None:
        """Wrap a model with a ``feature_extractor`` and an ``encoder``."""
        super().__init__()
        self.model: Any = model

    def forward(self, sound: Tensor) -> Tensor:
        """Encode and average; whatever the model was fine-tuned to say after that is left out."""
        features, _ = self.model.feature_extractor(sound, None)
        encoded: Tensor = self.model.encoder(features, None)
        return encoded.mean(dim=1)
