"""Teachers of three-level distillation (Zhang, Chen and Qian, Interspeech 2021).

That the teacher hears and sees, and is trained with AAM-Softmax on the speakers of the training
split, is recalled; the small networks for a CPU, crops, rates and epochs are ours.
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

EMBEDDING_SIZE = 128
DROP_STREAM = 0.4
"""Without it, and without augmented faces, two modalities were worse than the voice alone."""
SPEAKERS = DataConfig(
    split="train",
    label_column="speaker",
    group_column="speaker",
    min_rows_per_class=2,
    batch_size=32,
    # All of a small corpus is mixed: its rows lie speaker by speaker.
    buffer_rows=1024,
    validation_fraction=0.0,
)
VOICE: dict[str, Value] = {
    "widths": (8, 16, 32, 64),
    "num_blocks": (1, 1, 1, 1),
    "num_mels": 40,
    "spec_augment": True,
}
FACE: dict[str, Value] = {"widths": (16, 32, 64, 128), "flip": 0.5, "rand_augment": 1}
TINY_VOICE: dict[str, Value] = {"widths": (4, 8), "num_blocks": (1, 1), "num_mels": 24}
TINY_FACE: dict[str, Value] = {"widths": (8, 16)}


@register_recipe
def three_level_teacher() -> tuple[Recipe, ...]:
    """Made for the simulated people world: 3 s of sound at 16 kHz and three pictures a clip."""
    default = Recipe(
        name="three_level_teacher",
        variant="default",
        method=MethodConfig(name="supervised", options={"task": "verification", "head": "cosine"}),
        encoder=voice_and_face(VOICE, FACE, EMBEDDING_SIZE),
        data=SPEAKERS,
        optimiser=OptimiserConfig(
            name="adamw", learning_rate=2e-3, weight_decay=1e-2, max_grad_norm=5.0
        ),
        schedule=ScheduleConfig(num_epochs=40, warmup_updates=20, shape="cosine"),
    )
    one_stream = replace(
        default,
        optimiser=replace(default.optimiser, learning_rate=3e-3),
        schedule=replace(default.schedule, num_epochs=30),
    )
    voice = replace(one_stream, variant="voice", encoder=voice_encoder(VOICE))
    face = replace(one_stream, variant="face", encoder=face_encoder(FACE))
    tiny = replace(
        default,
        variant="tiny",
        encoder=voice_and_face(TINY_VOICE, TINY_FACE, 16),
        data=replace(SPEAKERS, batch_size=8),
        schedule=ScheduleConfig(num_epochs=4),
    )
    return default, voice, face, tiny


def voice_and_face(
    voice: dict[str, Value], face: dict[str, Value], embedding_size: int
) -> EncoderConfig:
    """Both streams, weighed by a gate for each clip."""
    options: dict[str, Value] = {f"waveform.{name}": value for name, value in voice.items()}
    options |= {f"frames.{name}": value for name, value in face.items()}
    streams: dict[str, Value] = {"waveform": "voice_resnet", "frames": "pictures"}
    return EncoderConfig(
        name="fusion",
        options={
            "streams": streams,
            "kind": "gated",
            "embedding_size": embedding_size,
            "drop_stream": DROP_STREAM,
            "options": options,
        },
    )


def voice_encoder(voice: dict[str, Value], embedding_size: int = EMBEDDING_SIZE) -> EncoderConfig:
    """The residual network of speakers."""
    options: dict[str, Option] = {**voice, "embedding_size": embedding_size}
    return EncoderConfig(name="voice_resnet", options=options)


def face_encoder(face: dict[str, Value]) -> EncoderConfig:
    """A small network over each picture; its last width is the embedding's."""
    return EncoderConfig(name="pictures", options={**face})
