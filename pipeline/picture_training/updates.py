"""The updates of a training from pictures: gradients, checkpoints and the log."""

import time
from collections.abc import Callable, Mapping, Sized
from dataclasses import dataclass
from math import inf, isfinite
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from avkd.errors import InterruptedRunError, InvalidValueError
from avkd.pipeline.picture_training.batches import count_batches
from avkd.pipeline.picture_training.recipe_values import PictureData
from avkd.pipeline.recipe import OptimiserConfig, ScheduleConfig
from avkd.pipeline.run_dir import RunDir
from avkd.pipeline.signals import StopRequest
from avkd.pipeline.training.checkpoint import TrainingState, load_checkpoint, save_checkpoint
from avkd.pipeline.training.metrics_log import MetricsLog, open_metrics
from avkd.pipeline.training.schedule import count_updates, learning_rate
from avkd.pipeline.training.session import build_optimiser

OnUpdate = Callable[[int, int, float], None]
"""Told the updates done, all updates, and the loss."""


class LearnerRecipe(Protocol):
    """What of a recipe the updates need."""

    @property
    def data(self) -> PictureData:
        """Which pictures, and how many at once."""
        ...

    @property
    def optimiser(self) -> OptimiserConfig:
        """By what."""
        ...

    @property
    def schedule(self) -> ScheduleConfig:
        """How long."""
        ...


class Learner(Protocol):
    """What is trained, what it learns from, and where its run is."""

    @property
    def recipe(self) -> LearnerRecipe:
        """Of the training."""
        ...

    @property
    def network(self) -> nn.Module:
        """Of the teacher."""
        ...

    @property
    def pictures(self) -> Sized:
        """To learn from."""
        ...

    @property
    def folder(self) -> Path:
        """Of the run."""
        ...

    def measure(self, update: int) -> tuple[Mapping[str, Tensor], int]:
        """The parts of the loss of update 0, 1, ..., and the pictures that it learns from."""
        ...


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
    num_updates = count_updates(schedule, _num_batches(learner))
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
    recipe = learner.recipe
    rate = learning_rate(update, num_updates, recipe.schedule, recipe.optimiser)
    for group in optimiser.param_groups:
        group["lr"] = rate
    parts, num_pictures = learner.measure(update)
    loss = torch.stack(list(parts.values())).sum()
    total = float(loss.detach())
    if not isfinite(total):
        raise InvalidValueError(
            f"the loss is {total} at update {update + 1}; lower optimiser.learning_rate"
        )
    torch.autograd.backward(loss)
    norm: Tensor = torch.nn.utils.clip_grad_norm_(
        learner.network.parameters(), recipe.optimiser.max_grad_norm or inf
    )
    optimiser.step()
    optimiser.zero_grad()
    return {
        "update": update + 1,
        "epoch": update // _num_batches(learner),
        "loss": total,
        "parts": {name: float(value.detach()) for name, value in parts.items()},
        "learning_rate": rate,
        "grad_norm": float(norm),
        "num_pictures": num_pictures,
        "seconds": time.monotonic() - started,
    }


def _num_batches(learner: Learner) -> int:
    return count_batches(len(learner.pictures), learner.recipe.data.batch_size)


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
