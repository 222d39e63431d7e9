"""MM-DistillNet (Valverde et al., CVPR 2021): eight microphones, taught by several detectors.

Sourced from the released code: input, network, anchors, fusion of boxes, focal and smooth L1, Adam,
rate, batch, epochs. There the rate falls on a plateau of the training loss; here it stays. The
weight of MTA in the paper is unknown [U]; 0.005, as released, leaves it nearly without effect [D],
so ``default`` has 1. A batch counts clips, and each of their steps is an example.
"""

from dataclasses import replace

from avkd.pipeline.recipe import (
    EncoderConfig,
    MethodConfig,
    OptimiserConfig,
    Option,
    Recipe,
    ScheduleConfig,
)
from avkd.pipeline.recipes.registry import register_recipe
from avkd.pipeline.recipes.stereosoundnet import CAMERA, STREET

METHOD = "mm_distillnet"
PAPER_EAR: dict[str, Option] = {"picture_size": (768, 768), "reference": "own"}
RELEASED: dict[str, Option] = {
    "attention_form": "as_released",
    "combination": "per_teacher",
    "distillation_weight": 0.005,
}
SMALL_EAR: dict[str, Option] = {
    "picture_size": (96, 160),
    "reference": "shared",
    # Else the zeros around a picture are as loud as its loudest place.
    "scaling": "unit",
    "backbone": "mobilenetv3_small_050",
    "num_mels": 64,
}
RING_EAR: dict[str, Option] = {"metadata": CAMERA, "window_seconds": 1.0}
NARROW: dict[str, Option] = {
    "pyramid_width": 48,
    "num_pyramid_cells": 1,
    "head_repeats": 1,
    # As for stereosoundnet: below it little of what the road's camera reports is true.
    "min_score": 0.5,
}
RING_PYRAMID: dict[str, Option] = {
    **NARROW,
    "picture_size": (192, 320),
    "strides": (16, 32, 64),
    # Vehicles of this road begin at a tenth of the picture's width, as these anchors do.
    "anchor_scale": 2.0,
    "bottleneck": 256,
    "deconv_widths": (128, 64),
    # Ours: a box is a label where two detectors agree. The paper takes all there are (`union`).
    "min_teachers": 2,
}


@register_recipe
def mm_distillnet() -> tuple[Recipe, ...]:
    """The paper's form, the released one, both small, one with our ear, and rows of ablations."""
    paper = Recipe(
        name="mm_distillnet",
        variant="default",
        method=MethodConfig(name=METHOD),
        encoder=EncoderConfig(name="mel_pictures", options=PAPER_EAR),
        data=replace(STREET, batch_size=2),
        optimiser=OptimiserConfig(name="adam", learning_rate=1e-4),
        schedule=ScheduleConfig(num_epochs=50),
        seed=24,
    )
    released = replace(
        paper, variant="as_released", method=MethodConfig(name=METHOD, options=RELEASED)
    )
    small = replace(
        paper,
        variant="small",
        method=MethodConfig(
            name=METHOD, options={**NARROW, "strides": (8, 16, 32), "anchor_scale": 2.0}
        ),
        encoder=EncoderConfig(name="mel_pictures", options=SMALL_EAR),
        data=replace(STREET, batch_size=2, validation_fraction=0.0),
        optimiser=OptimiserConfig(
            name="adamw", learning_rate=2e-3, weight_decay=1e-2, max_grad_norm=10.0
        ),
        # Each of 40 steps is a picture of its own: about a second an update on one core.
        schedule=ScheduleConfig(num_updates=240, warmup_updates=20, shape="cosine"),
        seed=0,
    )
    ring = replace(
        small,
        variant="ring",
        method=MethodConfig(name=METHOD, options=RING_PYRAMID),
        encoder=EncoderConfig(name="phase_aware", options=RING_EAR),
        data=replace(STREET, validation_fraction=0.0),
        schedule=ScheduleConfig(num_epochs=8, warmup_updates=50, shape="cosine"),
    )
    return paper, released, small, ring, *ablations(ring), tiny(ring)


def ablations(ring: Recipe) -> tuple[Recipe, ...]:
    """The same student with other boxes as labels, or another term beside them.

    Those of ``rgb`` have the camera alone as a teacher of maps as well; ``union`` has every box of
    all three, as the paper has.
    """
    rgb: dict[str, Option] = {"teachers": ("rgb",), "min_teachers": 1}
    changes: dict[str, dict[str, Option]] = {
        "rgb": rgb,
        "rgb_boxes": {**rgb, "distillation": "none"},
        "rgb_ranking": {**rgb, "distillation": "ranking"},
        "union": {"min_teachers": 1},
        "union_boxes": {"min_teachers": 1, "distillation": "none"},
        "boxes": {"distillation": "none"},
        "ranking": {"distillation": "ranking"},
        "average": {"combination": "average"},
        "per_teacher": {"combination": "per_teacher"},
    }
    return tuple(
        replace(ring, variant=variant, method=with_options(ring.method, options))
        for variant, options in changes.items()
    )


def with_options(method: MethodConfig, options: dict[str, Option]) -> MethodConfig:
    """The same method with other options."""
    return replace(method, options={**method.options, **options})


def tiny(ring: Recipe) -> Recipe:
    """The same in seconds."""
    ear: dict[str, Option] = {
        "window_seconds": 0.5,
        "columns_per_second": 16.0,
        "widths": (4, 8),
        "lag_widths": (4, 8),
        "num_lags": 16,
        "num_bands": 2,
        "num_mels": 16,
        "vector_size": 16,
    }
    pyramid: dict[str, Option] = {"pyramid_width": 8, "bottleneck": 16, "deconv_widths": (12, 8)}
    return replace(
        ring,
        variant="tiny",
        method=with_options(ring.method, pyramid),
        encoder=EncoderConfig(name="phase_aware", options={**RING_EAR, **ear}),
        schedule=ScheduleConfig(num_epochs=4, warmup_updates=4),
    )
