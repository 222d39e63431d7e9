"""Students to compare a distilled one with: untrained, or trained on labels."""

from collections.abc import Iterator
from dataclasses import replace
from math import cos, pi

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from avkd.pipeline.evaluation.features import batches_of
from avkd.pipeline.recipe import EvaluationConfig, Recipe
from avkd.pipeline.training.students import build_recipe_encoder, build_student
from avkd.stages.encoders.registry import Encoder
from avkd.stages.methods.batch import WAVEFORM, Batch, LearningShape
from avkd.stages.methods.classification import LABELS
from avkd.stages.methods.registry import build_method, require_sound_encoder
from avkd.stages.methods.student import Student


def build_random(recipe: Recipe, learning: LearningShape, seed: int) -> Student:
    """The recipe's student with fresh weights."""
    with torch.random.fork_rng(devices=[]):
        student = build_student(replace(recipe, seed=seed), learning)[1]
    assert isinstance(student, Student)
    return student


def build_fresh_encoder(recipe: Recipe, seed: int) -> Encoder:
    """The recipe's encoder with fresh weights."""
    with torch.random.fork_rng(devices=[]):
        return require_sound_encoder(
            build_recipe_encoder(replace(recipe, seed=seed), {}), "classification"
        )


def train_classifier(
    encoder: Encoder,
    waveforms: Tensor,
    labels: npt.NDArray[np.int64],
    num_classes: int,
    config: EvaluationConfig,
    *,
    seed: int,
    device: torch.device,
) -> Student:
    """Train the encoder with one head for the labels by cross-entropy; it is changed in place.

    Adam with a rate that falls to zero by half a cosine.
    """
    method = build_method("classification", num_classes=num_classes)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        student = method.build_student(encoder, LearningShape())
        assert isinstance(student, Student)
        student.to(device).train()
        optimiser = torch.optim.Adam(student.parameters(), lr=config.learning_rate)
        num_updates = count_label_updates(len(labels), config)
        for update, places in enumerate(_draw_batches(len(labels), config, seed)):
            for group in optimiser.param_groups:
                group["lr"] = config.learning_rate * (1 + cos(pi * update / num_updates)) / 2
            batch = _batch(waveforms[places], labels[places]).to(device)
            loss = method.loss(student, batch).total
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
    return student.eval()


@torch.no_grad()
def predict_labels(
    student: Student, waveforms: Tensor, device: torch.device
) -> npt.NDArray[np.int64]:
    """(N,): the class with the largest softmax of a student with a head for labels."""
    student.to(device).eval()
    parts = [
        student(batch.to(device), 1).logits[LABELS][:, 0].argmax(dim=-1).cpu().numpy()
        for batch in batches_of(waveforms)
    ]
    return np.concatenate(parts)


def count_label_updates(num_clips: int, config: EvaluationConfig) -> int:
    """How long a student is trained on so many labelled clips."""
    per_epoch = -(-num_clips // config.batch_size)
    return min(config.num_updates, config.num_epochs * per_epoch)


def _draw_batches(
    num_clips: int, config: EvaluationConfig, seed: int
) -> Iterator[npt.NDArray[np.int64]]:
    """Shuffled passes over all clips, cut off at the number of updates."""
    generator = np.random.default_rng(seed)
    size = min(config.batch_size, num_clips)
    waiting = np.empty(0, np.int64)
    for _ in range(count_label_updates(num_clips, config)):
        if len(waiting) < size:
            waiting = np.concatenate([waiting, generator.permutation(num_clips)])
        yield waiting[:size]
        waiting = waiting[size:]


def _batch(waveforms: Tensor, labels: npt.NDArray[np.int64]) -> Batch:
    return Batch(
        clip_ids=("",) * len(labels),
        inputs={WAVEFORM: waveforms},
        num_steps=torch.ones(len(labels), dtype=torch.int64),
        labels=torch.from_numpy(labels),
    )
