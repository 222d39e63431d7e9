"""The updates of a detector: batches, gradients, checkpoints and the log."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from math import inf, isfinite
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from avkd.errors import InterruptedRunError, InvalidValueError
from avkd.pipeline.detector_training.batches import (
    Batch,
    build_batch,
    choose_places,
    count_batches,
)
from avkd.pipeline.detector_training.pictures import LabelledPictures
from avkd.pipeline.detector_training.recipe import DetectorRecipe
from avkd.pipeline.run_dir import RunDir
from avkd.pipeline.signals import StopRequest
from avkd.pipeline.training.checkpoint import TrainingState, load_checkpoint, save_checkpoint
from avkd.pipeline.training.metrics_log import MetricsLog, open_metrics
from avkd.pipeline.training.schedule import count_updates, learning_rate
from avkd.pipeline.training.session import build_optimiser
from avkd.stages.teachers.pyramid_detector import PyramidDetector
from avkd.stages.teachers.pyramid_loss import pyramid_loss

OnUpdate = Callable[[int, int, float], None]
"""Told the updates done, all updates, and the loss."""


@dataclass(frozen=True, kw_only=True)
class Learner:
    """A detector, what it learns from, and where its run is."""

    recipe: DetectorRecipe
    network: PyramidDetector
    pictures: LabelledPictures
    folder: Path
    device: torch.device

    @property
    def num_batches(self) -> int:
        """Updates of an epoch."""
        return count_batches(len(self.pictures), self.recipe.data.batch_size)


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What a session of updates came to."""

    num_updates: int
    first_update: int
    """Above 0 when it went on from a checkpoint."""
    loss: float | None
    """Of the last update; None where nothing was left to do."""


def run_updates(learner: Learner, stop: StopRequest, on_update: OnUpdate) -> Trained:
    """Do all updates, or those that an earlier session left.

    Raises:
        InterruptedRunError: A signal came; a checkpoint was written.
        InvalidValueError: The loss is no number any more.
    """
    run = RunDir(path=learner.folder)
    schedule = learner.recipe.schedule
    num_updates = count_updates(schedule, learner.num_batches)
    optimiser = build_optimiser(learner.network, learner.recipe.optimiser)
    state = TrainingState(student=learner.network, optimiser=optimiser)
    first_update = load_checkpoint(run.checkpoints, state)
    loss = None
    learner.network.train()
    with open_metrics(run, first_update) as log:
        for update in range(first_update, num_updates):
            record = _update(learner, optimiser, update, num_updates)
            loss = record["loss"]
            log.write(record)
            on_update(update + 1, num_updates, loss)
            if update + 1 < num_updates:
                _keep(run, update + 1, state, log, stop, schedule.checkpoint_updates)
    return Trained(num_updates=num_updates, first_update=first_update, loss=loss)


def _update(
    learner: Learner, optimiser: torch.optim.Optimizer, update: int, num_updates: int
) -> dict[str, Any]:
    """One step of the optimiser, and its line of the log."""
    started = time.monotonic()
    recipe, network = learner.recipe, learner.network
    rate = learning_rate(update, num_updates, recipe.schedule, recipe.optimiser)
    for group in optimiser.param_groups:
        group["lr"] = rate
    batch = _next_batch(learner, update)
    parts = pyramid_loss(network.look(batch.pictures), network.points, batch.truth)
    loss = torch.stack(list(parts.values())).sum()
    total = float(loss.detach())
    if not isfinite(total):
        raise InvalidValueError(
            f"the loss is {total} at update {update + 1}; lower optimiser.learning_rate"
        )
    torch.autograd.backward(loss)
    norm: Tensor = torch.nn.utils.clip_grad_norm_(
        network.parameters(), recipe.optimiser.max_grad_norm or inf
    )
    optimiser.step()
    optimiser.zero_grad()
    return {
        "update": update + 1,
        "epoch": update // learner.num_batches,
        "loss": total,
        "parts": {name: float(value.detach()) for name, value in parts.items()},
        "learning_rate": rate,
        "grad_norm": float(norm),
        "num_pictures": len(batch.truth),
        "seconds": time.monotonic() - started,
    }


def _next_batch(learner: Learner, update: int) -> Batch:
    data, seed = learner.recipe.data, learner.recipe.seed
    places = choose_places(len(learner.pictures), data.batch_size, seed, update)
    return build_batch(learner.pictures, places, data, seed, update).to(learner.device)


def _keep(
    run: RunDir,
    update: int,
    state: TrainingState,
    log: MetricsLog,
    stop: StopRequest,
    every: int,
) -> None:
    """Write a checkpoint where one is due, or where a signal asks to stop."""
    if stop.received or update % every == 0:
        log.flush()
        save_checkpoint(run.checkpoints, update, state)
    if stop.received:
        raise InterruptedRunError(
            f"stopped by a signal after update {update}; the same command goes on from there"
        )
