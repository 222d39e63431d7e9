"""What a frozen student hears in labelled sounds.

Conventions: N clips, C channels, T columns, S samples.
"""

from collections.abc import Iterator
from copy import deepcopy

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from avkd.pipeline.evaluation.datasets import Sounds
from avkd.pipeline.training.loading import FULL_SCALE
from avkd.stages.methods.student import Student
from avkd.stages.methods.tiling import repeat_to
from avkd.stages.metrics.probe import pool_columns

Features = npt.NDArray[np.float32]
BATCH_SIZE = 32


def stack_sounds(sounds: Sounds, num_samples: int, gain: float = 1.0) -> Tensor:
    """float32 (N, 1, num_samples), [-1, 1] times gain; sounds are repeated or cut to fit."""
    rows = [repeat_to(torch.from_numpy(sound[:1]), num_samples) for sound in sounds]
    return torch.stack(rows).float() * (gain / FULL_SCALE)


def longest_seconds(sounds: Sounds, sample_rate: int) -> float:
    """The length of the longest sound."""
    longest: int = max(sound.shape[1] for sound in sounds)
    return longest / sample_rate


def batches_of(waveforms: Tensor) -> Iterator[Tensor]:
    """The clips in order, some at a time."""
    return (waveforms[i : i + BATCH_SIZE] for i in range(0, len(waveforms), BATCH_SIZE))


@torch.no_grad()
def extract_features(
    student: Student, waveforms: Tensor, layer: str, *, pooled: bool, device: torch.device
) -> Features:
    """(N, C, T) of a layer in evaluation mode; pooled, (N, 2C): mean and maximum over time."""
    student = student.to(device).eval()
    parts: list[Features] = []
    for batch in batches_of(waveforms):
        maps = student.features(batch.to(device), layer).float().cpu().numpy()
        parts.append(pool_columns(maps).astype(np.float32) if pooled else maps)
    return np.concatenate(parts)


@torch.no_grad()
def calibrate_normalisation(student: Student, waveforms: Tensor, device: torch.device) -> Student:
    """A copy whose batch normalisation has seen these sounds, with all weights as they were.

    An untrained network without it hardly passes any signal on, which makes a control too weak.
    """
    student = deepcopy(student).to(device).eval()
    for module in student.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # the plain mean over batches
            module.train()
    last = student.encoder.layer_names[-1]
    for batch in batches_of(waveforms):
        student.encoder.features(batch.to(device), last)
    return student.eval()
