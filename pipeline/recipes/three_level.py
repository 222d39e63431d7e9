"""Three-level distillation (Zhang, Chen and Qian, Interspeech 2021): a voice that learned of faces.

The three levels are sourced, by name only; AAM-Softmax with scale 32 and margin 0.2 is recalled.
Weights, temperature and the distance between distributions are unknown [U]. Ours, and rates and
epochs, were chosen on a simulated world of another seed than that of the results: of one run each,
the form and the weight of a level that harmed least (docs/three-level.md).
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
from avkd.pipeline.recipes.three_level_teacher import (
    FACE,
    SPEAKERS,
    TINY_VOICE,
    VOICE,
    face_encoder,
    voice_encoder,
)

LEVELS: dict[str, Option] = {
    "label_weight": 0.3,
    "embedding_weight": 1.0,
    "distribution_weight": 1.0,
    "temperature": 4.0,
    "embedding": "cosine",
    "distribution": "similarity",
}


@register_recipe
def three_level() -> tuple[Recipe, ...]:
    """All levels, none, each alone; a face for a voice; and the sizes of the VoxCeleb papers."""
    default = Recipe(
        name="three_level",
        variant="default",
        method=MethodConfig(name="three_level", options=LEVELS),
        encoder=voice_encoder(VOICE),
        data=SPEAKERS,
        optimiser=OptimiserConfig(
            name="adamw", learning_rate=3e-3, weight_decay=1e-2, max_grad_norm=5.0
        ),
        schedule=ScheduleConfig(num_epochs=30, warmup_updates=20, shape="cosine"),
    )
    alone = replace(
        default,
        variant="alone",
        method=MethodConfig(name="supervised", options={"task": "verification", "head": "cosine"}),
    )
    levels = (one_level(default, name) for name in ("label", "embedding", "distribution"))
    face = face_encoder(FACE)
    faces = (
        replace(alone, variant="face_alone", encoder=face),
        replace(default, variant="face", encoder=face),
    )
    return default, alone, *levels, *faces, vox_voice(default), tiny_voice(default)


def one_level(default: Recipe, level: str) -> Recipe:
    """That level beside AAM-Softmax, the other two switched off."""
    off = {f"{name}_weight": 0.0 for name in ("label", "embedding", "distribution")}
    options = {**LEVELS, **off, f"{level}_weight": LEVELS[f"{level}_weight"]}
    return replace(default, variant=level, method=MethodConfig(name="three_level", options=options))


def vox_voice(default: Recipe) -> Recipe:
    """A ResNet34 at 80 bands for VoxCeleb, not run here.

    Recalled: the network, clips of 2 to 3 s, a face of about 112 x 112. Ours: rates, epochs and
    batch. ECAPA-TDNN comes by --set encoder.name=ecapa.
    """
    return replace(
        default,
        variant="vox",
        encoder=EncoderConfig(name="voice_resnet"),
        data=replace(SPEAKERS, batch_size=256, buffer_rows=16_384, validation_fraction=0.01),
        optimiser=OptimiserConfig(
            name="sgd", learning_rate=0.1, momentum=0.9, weight_decay=1e-4, max_grad_norm=5.0
        ),
        schedule=ScheduleConfig(num_epochs=40, warmup_updates=2000, shape="cosine"),
    )


def tiny_voice(default: Recipe) -> Recipe:
    """The same in seconds."""
    return replace(
        default,
        variant="tiny",
        encoder=voice_encoder(TINY_VOICE, embedding_size=16),
        data=replace(SPEAKERS, batch_size=8),
        schedule=ScheduleConfig(num_epochs=4),
    )
