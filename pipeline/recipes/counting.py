"""The pretext task of MM-DistillNet: how many vehicles are in the picture, by ear.

Its student's encoder is where the detector starts (``--init-from``). Sourced: the task, an audio
network with a perceptron, labels from the count of the teachers' boxes [S:MM-note]. Its code is not
released: the largest count, rate and epochs are unknown [U], those here ours.
"""

from dataclasses import replace

from avkd.pipeline.recipe import MethodConfig, Recipe, ScheduleConfig
from avkd.pipeline.recipes.mm_distillnet import mm_distillnet
from avkd.pipeline.recipes.registry import register_recipe

COPIED = ("default", "small", "ring", "tiny")
"""Variants whose encoder, rows and optimiser are those of the detector."""


@register_recipe
def counting() -> tuple[Recipe, ...]:
    """The pretext task of MM-DistillNet, with each of its ears."""
    detectors = {recipe.variant: recipe for recipe in mm_distillnet()}
    return tuple(count_for(detectors[variant]) for variant in COPIED)


def count_for(detector: Recipe) -> Recipe:
    """Counting with the same encoder on the same rows, for half as long."""
    labels = ("min_score", "min_teachers")
    options = {name: value for name, value in detector.method.options.items() if name in labels}
    return replace(
        detector,
        name="counting",
        method=MethodConfig(name="counting", options=options),
        schedule=halve(detector.schedule),
    )


def halve(schedule: ScheduleConfig) -> ScheduleConfig:
    """Half of the epochs, or of the updates where those are counted."""
    if schedule.num_epochs is None:
        return replace(schedule, num_updates=(schedule.num_updates or 2) // 2)
    return replace(schedule, num_epochs=max(1, schedule.num_epochs // 2))
