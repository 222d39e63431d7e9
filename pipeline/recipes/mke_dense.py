"""MKE of dense prediction (Xue, Ren, Gao and Zhao, ICCV 2021; their task on NYU-Depth-v2).

Sourced: hard pseudo-labels by cross-entropy, the student's input disturbed. Unknown [U], so that
ours: network, perturbation, optimiser and schedule. A batch counts clips, of each of which two
steps are learned from at an update: neighbours show almost the same.
"""

from collections.abc import Sequence
from dataclasses import replace

from avkd.pipeline.recipe import (
    DataConfig,
    EncoderConfig,
    MethodConfig,
    OptimiserConfig,
    Option,
    Recipe,
    ScheduleConfig,
    Value,
)
from avkd.pipeline.recipes.registry import register_recipe

RGB, DEPTH, THERMAL = "frames_rgb", "frames_depth", "frames_thermal"
"""Cached pictures of each stream, as `avkd extract-teacher --frames` names them."""
TRUTH = "truth"
NETWORK: dict[str, Value] = {"widths": (16, 24, 48, 64), "fine_width": 16}
PERTURBATION: dict[str, Value] = {
    "input_noise": 0.3,
    "brightness": 0.2,
    "drop_stream": 0.4,
    "dropout": 0.1,
}
"""Ours, from no trial yet."""


@register_recipe
def mke_dense() -> tuple[Recipe, ...]:
    """Students of two streams and of one, one that is not disturbed, and the upper bound."""
    student = Recipe(
        name="mke_dense",
        variant="rgb_depth",
        method=MethodConfig(name="mke_dense", options={"steps_per_clip": 2}),
        encoder=eye((RGB, DEPTH), PERTURBATION),
        data=DataConfig(split="train", batch_size=16, buffer_rows=1024, validation_fraction=0.0),
        optimiser=OptimiserConfig(
            name="adamw", learning_rate=3e-3, weight_decay=1e-2, max_grad_norm=5.0
        ),
        schedule=ScheduleConfig(num_updates=400, warmup_updates=20, shape="cosine"),
    )
    thermal = replace(student, variant="rgb_thermal", encoder=eye((RGB, THERMAL), PERTURBATION))
    alone = replace(student, variant="rgb", encoder=eye((RGB,), PERTURBATION))
    quiet = replace(student, variant="quiet", encoder=eye((RGB, DEPTH), {}))
    told: dict[str, Option] = {**student.method.options, "teacher": TRUTH}
    bound = replace(student, variant="bound", method=replace(student.method, options=told))
    return student, thermal, alone, quiet, bound, tiny(student)


def eye(streams: Sequence[str], perturbation: dict[str, Value]) -> EncoderConfig:
    """The network over pictures of those streams."""
    options: dict[str, Option] = {"streams": tuple(streams), **NETWORK, **perturbation}
    return EncoderConfig(name="picture_maps", options=options)


def tiny(student: Recipe) -> Recipe:
    """The same in seconds."""
    small: dict[str, Option] = {**student.encoder.options, "widths": (8, 16), "fine_width": 8}
    return replace(
        student,
        variant="tiny",
        encoder=replace(student.encoder, options=small),
        data=replace(student.data, batch_size=4),
        schedule=ScheduleConfig(num_updates=30, warmup_updates=4),
    )
