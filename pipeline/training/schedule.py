"""The learning rate of every update, a pure function: resuming needs no scheduler's state."""

from math import cos, pi

from avkd.pipeline.recipe import OptimiserConfig, ScheduleConfig


def count_updates(schedule: ScheduleConfig, num_batches: int) -> int:
    """Updates of a whole run with that many batches in an epoch."""
    if schedule.num_updates is not None:
        return schedule.num_updates
    assert schedule.num_epochs is not None  # ScheduleConfig has one of the two
    return schedule.num_epochs * num_batches


def learning_rate(
    update: int, num_updates: int, schedule: ScheduleConfig, optimiser: OptimiserConfig
) -> float:
    """The rate of update 0, 1, ...: a linear warm-up, then constant or half a cosine to zero."""
    if update < schedule.warmup_updates:
        return optimiser.learning_rate * (update + 1) / (schedule.warmup_updates + 1)
    if schedule.shape == "constant":
        return optimiser.learning_rate
    length = max(1, num_updates - schedule.warmup_updates)
    done = min(1.0, (update - schedule.warmup_updates) / length)
    return optimiser.learning_rate * (1 + cos(pi * done)) / 2
