"""Mutual learning of an audio-visual teacher and an audio student (Yin et al., AAAI 2021).

The abstract [S] tells of the two transfer losses and of both networks learning; front end,
networks, weights, temperature and schedule are unknown [U] and ours.
"""

from collections.abc import Mapping
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

STORED_TEACHER = "av_teacher"
"""The name under which ``one_way`` finds the fused logits of a trained teacher."""
STORED_AUDIO_TEACHER = "audio_teacher"
"""The same of a teacher that hears only."""


@register_recipe
def mutual() -> tuple[Recipe, ...]:
    """For clips of 5 s with tags; all rows of the comparison are these variants and switches."""
    default = Recipe(
        name="mutual",
        variant="default",
        method=MethodConfig(name="mutual", options={"visual": "efficientnet_lite0"}),
        encoder=EncoderConfig(
            name="sound",
            options={"body": "logmel_resnet", "body_options": {"hop_seconds": 0.03}},
        ),
        data=DataConfig(
            split="train", label_column="labels", batch_size=32, validation_fraction=0.0
        ),
        # No max_grad_norm: it would tie the student's updates to the teacher's gradients.
        optimiser=OptimiserConfig(name="adamw", learning_rate=2e-3, weight_decay=1e-2),
        schedule=ScheduleConfig(num_epochs=20, warmup_updates=30, shape="cosine"),
    )
    return (
        default,
        with_method(default, "audio_only", "supervised", {"task": "classes"}),
        with_method(default, "teacher", "mutual", {"form": "one_way", "learner": "teacher"}),
        with_method(
            default,
            "one_way",
            "mutual",
            {
                "form": "one_way",
                "teacher": STORED_TEACHER,
                "audio_teacher": STORED_AUDIO_TEACHER,
            },
        ),
        tiny(default),
    )


def with_method(
    default: Recipe, variant: str, method: str, options: Mapping[str, Option]
) -> Recipe:
    """The same networks and schedule with another method or form."""
    known = default.method.options if method == default.method.name else {}
    return replace(
        default,
        variant=variant,
        method=MethodConfig(name=method, options={**known, **options}),
    )


def tiny(default: Recipe) -> Recipe:
    """The same in seconds."""
    return replace(
        default,
        variant="tiny",
        method=replace(
            default.method,
            options={
                **default.method.options,
                "visual_options": {"hidden_size": 16},
                "fusion_size": 16,
            },
        ),
        encoder=EncoderConfig(
            name="sound",
            options={
                "body": "logmel_resnet",
                "body_options": {"widths": (4, 8), "num_mels": 24, "hop_seconds": 0.03},
            },
        ),
        data=replace(default.data, batch_size=8),
        schedule=ScheduleConfig(num_epochs=4),
    )
