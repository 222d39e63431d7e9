"""MKE of dense prediction (Xue, Ren, Gao and Zhao, ICCV 2021; their task on NYU-Depth-v2).

Sourced: hard pseudo-labels by cross-entropy, the student's input disturbed. Unknown [U], so that
ours: network, perturbation, optimiser and schedule, settled on a road of another seed than that of
the results (docs/dense-mke.md has the trials). Ours too: rare classes count for more. A batch
counts clips, of each of which one step is learned from at an update: neighbours show almost the
same. Nothing here says which recordings are learned from: where a teacher is blind, leave them out
by `--where`.
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
)
from avkd.pipeline.recipes.registry import register_recipe

RGB, DEPTH, THERMAL = "frames_rgb", "frames_depth", "frames_thermal"
"""Cached pictures of each stream, as `avkd extract-teacher --frames` names them."""
TRUTH = "truth"
LESSON: dict[str, Option] = {"steps_per_clip": 1, "balance": 0.25, "flip": 0.5}
NETWORK: dict[str, Option] = {
    "widths": (16, 24, 48, 64),
    "decoder_width": 32,
    "fine_width": 16,
    "num_blocks": 1,
}
PERTURBATION: dict[str, Option] = {"input_noise": 0.1, "brightness": 0.1}
"""Of every stream."""
RGB_AWAY: dict[str, Option] = {**PERTURBATION, "drop_stream": {RGB: 0.3}}
"""Black pictures of the stream that goes black by night carry a student there."""


@register_recipe
def mke_dense() -> tuple[Recipe, ...]:
    """Students of two streams and of one, one that is not disturbed, and the upper bound."""
    student = Recipe(
        name="mke_dense",
        variant="rgb_depth",
        method=MethodConfig(name="mke_dense", options=LESSON),
        encoder=eye((RGB, DEPTH), RGB_AWAY),
        data=DataConfig(split="train", batch_size=8, buffer_rows=1024, validation_fraction=0.0),
        optimiser=OptimiserConfig(
            name="adamw", learning_rate=3e-3, weight_decay=1e-2, max_grad_norm=5.0
        ),
        schedule=ScheduleConfig(num_updates=1000, warmup_updates=40, shape="cosine"),
    )
    thermal = replace(student, variant="rgb_thermal", encoder=eye((RGB, THERMAL), RGB_AWAY))
    alone = replace(student, variant="rgb", encoder=eye((RGB,), PERTURBATION))
    quiet = replace(
        student, variant="quiet", encoder=eye((RGB, DEPTH), {}), method=learn(student, flip=0.0)
    )
    bound = replace(student, variant="bound", method=learn(student, teacher=TRUTH))
    return student, thermal, alone, quiet, bound, tiny(student)


def eye(streams: Sequence[str], perturbation: dict[str, Option]) -> EncoderConfig:
    """The network over pictures of those streams."""
    options: dict[str, Option] = {"streams": tuple(streams), **NETWORK, **perturbation}
    return EncoderConfig(name="picture_maps", options=options)


def learn(student: Recipe, **options: Option) -> MethodConfig:
    """Its method with other options."""
    return replace(student.method, options={**student.method.options, **options})


def tiny(student: Recipe) -> Recipe:
    """The same in seconds."""
    sizes: dict[str, Option] = {"widths": (8, 16), "decoder_width": 16, "fine_width": 8}
    return replace(
        student,
        variant="tiny",
        encoder=replace(student.encoder, options={**student.encoder.options, **sizes}),
        data=replace(student.data, batch_size=4),
        schedule=ScheduleConfig(num_updates=30, warmup_updates=4),
    )
