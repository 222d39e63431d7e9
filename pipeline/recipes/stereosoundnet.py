"""StereoSoundNet (Gan et al., ICCV 2019): where vehicles are, by ear.

Sourced: a pair of spectrograms and what is known of the camera, to the teacher's grid of 13 x 13
with 1024 channels, learned from its map by a ranking and from its boxes, both with weight 1.
Recalled: windows of 1 s, log magnitudes. Unknown [U], so that ours: STFT, widths, margin (that of
MM-DistillNet's baseline), optimiser, rates, batches, epochs. A batch counts clips, and each of
their steps is an example.
"""

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

CAMERA = ("camera_height_metres", "camera_pitch_degrees", "camera_distance_metres")
"""Vector streams of the store, from columns of the corpus of that name."""
STREET = DataConfig(
    split="train",
    batch_size=8,
    # All of a small corpus is mixed: its rows lie recording by recording.
    buffer_rows=1024,
)
SMALL_EAR: dict[str, Value] = {
    "widths": (8, 8, 16, 16, 32, 32, 64, 64, 128, 128),
    "hop_seconds": 0.02,
}
SMALL_GRID: dict[str, Value] = {
    "bottleneck": 256,
    "deconv_widths": (128, 64),
    # With squared errors, sizes are learned in minutes but not where a vehicle is: of hundreds of
    # cells one is right, and being unsure about all of them is a plateau.
    "objectness_form": "quality_focal",
    "objectness": 5.0,
    "no_object": 5.0,
    "ignore_threshold": 0.5,
    # Of what the road's detector finds by day, 92 % is true above it, and 17 % from 0.3 to 0.5.
    "min_score": 0.5,
}
TINY_EAR: dict[str, Value] = {"widths": (8,) * 4 + (16,) * 6, "hop_seconds": 0.05}
TINY_GRID: dict[str, Value] = {"bottleneck": 32, "deconv_widths": (32, 16), "num_anchors": 2}
"""With the errors of the paper form, which are enough for few cells."""


@register_recipe
def stereosoundnet() -> tuple[Recipe, ...]:
    """The paper's form, the same for a CPU, one with our ear, and controls of ours."""
    paper = Recipe(
        name="stereosoundnet",
        variant="default",
        method=MethodConfig(name="stereosoundnet"),
        encoder=ear("spectrogram_pair", {}),
        data=STREET,
        optimiser=OptimiserConfig(name="adam", learning_rate=1e-4, max_grad_norm=10.0),
        schedule=ScheduleConfig(num_epochs=50, warmup_updates=100),
    )
    small = replace(
        paper,
        variant="small",
        method=MethodConfig(name="stereosoundnet", options={**SMALL_GRID}),
        encoder=ear("spectrogram_pair", SMALL_EAR),
        data=replace(STREET, validation_fraction=0.0),
        optimiser=OptimiserConfig(
            name="adamw", learning_rate=2e-3, weight_decay=1e-2, max_grad_norm=10.0
        ),
        schedule=ScheduleConfig(num_epochs=10, warmup_updates=50, shape="cosine"),
    )
    phase = replace(
        small,
        variant="phase",
        encoder=ear("phase_aware", {}),
        schedule=replace(small.schedule, num_epochs=12),
    )
    return paper, small, phase, *controls(phase), tiny(small)


def ear(name: str, options: dict[str, Value], metadata: tuple[str, ...] = CAMERA) -> EncoderConfig:
    """An encoder of windows of 1 s of all microphones, told of the camera."""
    told: dict[str, Option] = {"metadata": metadata, "window_seconds": 1.0, **options}
    return EncoderConfig(name=name, options=told)


def controls(phase: Recipe) -> tuple[Recipe, ...]:
    """The same network without one thing; only ``no_ranking`` has another grid.

    ``mono`` hears the first microphone twice, ``shuffled`` both in an order that is drawn for each
    clip. ``no_ranking`` learns from boxes alone, of detectors that stored no map.
    """
    name = phase.encoder.name
    mono, shuffled = (
        replace(phase, variant=variant, encoder=ear(name, {"channels": channels}))
        for variant, channels in (("mono", "doubled"), ("shuffled", "shuffled"))
    )
    untold = replace(phase, variant="no_metadata", encoder=ear(name, {}, metadata=()))
    boxes: dict[str, Option] = {"ranking": "off", "grid_size": 13, "map_channels": 64}
    options = {**phase.method.options, **boxes}
    alone = replace(phase, variant="no_ranking", method=replace(phase.method, options=options))
    return mono, shuffled, untold, alone


def tiny(small: Recipe) -> Recipe:
    """The same in seconds."""
    return replace(
        small,
        variant="tiny",
        method=replace(small.method, options={**TINY_GRID}),
        encoder=ear("spectrogram_pair", {**TINY_EAR, "window_seconds": 0.5}),
        schedule=ScheduleConfig(num_epochs=4, warmup_updates=4),
    )
