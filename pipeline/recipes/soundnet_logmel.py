"""SoundNet's idea with a student of today: log-mel, a small residual network, any clip length."""

from dataclasses import replace

from avkd.pipeline.recipe import (
    DataConfig,
    EncoderConfig,
    EvaluationConfig,
    MethodConfig,
    OptimiserConfig,
    Recipe,
    ScheduleConfig,
)
from avkd.pipeline.recipes.registry import register_recipe


@register_recipe
def soundnet_logmel() -> tuple[Recipe, ...]:
    """Made for clips of 5 s; steps that a clip does not have are masked, not repeated."""
    default = Recipe(
        name="soundnet_logmel",
        variant="default",
        # Temperature, rate and batch: chosen on a made-up world of another seed than the demo's.
        method=MethodConfig(name="soundnet", options={"tile": False, "temperature": 4.0}),
        encoder=EncoderConfig(name="logmel_resnet"),
        data=DataConfig(batch_size=16),
        optimiser=OptimiserConfig(
            name="adamw", learning_rate=2e-3, weight_decay=1e-2, max_grad_norm=5.0
        ),
        schedule=ScheduleConfig(num_epochs=20, warmup_updates=50, shape="cosine"),
        evaluation=EvaluationConfig(window_seconds=None),
    )
    tiny = replace(
        default,
        variant="tiny",
        encoder=EncoderConfig(
            name="logmel_resnet", options={"widths": (16, 32, 64, 128), "hop_seconds": 0.03}
        ),
        data=DataConfig(batch_size=8),
        schedule=ScheduleConfig(num_epochs=14, warmup_updates=10, shape="cosine"),
        evaluation=replace(default.evaluation, num_updates=60),
    )
    return default, tiny
