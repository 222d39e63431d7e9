"""SoundNet, 8 layers (Aytar, Vondrick and Torralba, NIPS 2016): raw sound, clips of 20 s."""

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

PAPER_UPDATES = 100_000
"""Of batches of 64, about a day on the GPU of 2016."""
ESC_SECONDS = 10.0
"""ESC clips of 5 s are repeated to this length before the probe."""


@register_recipe
def soundnet() -> tuple[Recipe, ...]:
    """The paper's network; ``as_released`` has the loss weights and the gain of the code."""
    paper = Recipe(
        name="soundnet",
        variant="as_paper",
        method=MethodConfig(name="soundnet"),
        encoder=EncoderConfig(name="soundnet8"),
        data=DataConfig(clip_seconds=20.0, num_steps=4, batch_size=64),
        optimiser=OptimiserConfig(name="adam", learning_rate=1e-3),
        schedule=ScheduleConfig(num_updates=PAPER_UPDATES),
        evaluation=EvaluationConfig(layer="pool5", clip_seconds=ESC_SECONDS, window_seconds=1.0),
    )
    return paper, as_released(paper), tiny(paper, {"width": 0.25, "head_kernel": 4})


def as_released(paper: Recipe) -> Recipe:
    """The scene head weighs more than the object head, and probes hear twice the amplitude."""
    return replace(
        paper,
        variant="as_released",
        method=replace(paper.method, options={"weighting": "torch7"}),
        evaluation=replace(paper.evaluation, gain=2.0),
    )


def tiny(paper: Recipe, encoder_options: dict[str, float | int]) -> Recipe:
    """A narrow network on clips of any length, for seconds on a CPU; not in the paper."""
    return replace(
        paper,
        variant="tiny",
        encoder=replace(paper.encoder, options=encoder_options),
        data=DataConfig(batch_size=16),
        schedule=ScheduleConfig(num_epochs=5),
        evaluation=replace(paper.evaluation, num_updates=60),
    )
