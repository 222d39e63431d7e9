"""Teachers of MKE (Xue, Ren, Gao and Zhao, ICCV 2021): one modality, few labels."""

from dataclasses import replace

from avkd.pipeline.recipe import (
    DataConfig,
    EncoderConfig,
    MethodConfig,
    OptimiserConfig,
    Recipe,
    ScheduleConfig,
)
from avkd.pipeline.recipes.registry import register_recipe

TWO_MOON_ROWS = 500
"""No split has more: every batch is the whole of one, in its order."""
SIGHT = "efficientnet_lite0"
"""The stored teacher whose embeddings stand for what can be seen; --set names another."""


@register_recipe
def mke_teacher() -> tuple[Recipe, ...]:
    """``two_moon`` is exact; of the others the paper gives no recipe."""
    return two_moon_teacher(), ravdess_teacher(), things_teacher(), tiny_teacher()


def two_moon_teacher() -> Recipe:
    """A perceptron on alpha and 30 labels [S: TwoMoon/mke.ipynb at 7600bd5]."""
    return Recipe(
        name="mke_teacher",
        variant="two_moon",
        method=MethodConfig(name="supervised"),
        encoder=EncoderConfig(name="vectors", options={"streams": ("alpha",), "hidden_size": 32}),
        data=DataConfig(
            split="labelled",
            label_column="label",
            batch_size=TWO_MOON_ROWS,
            validation_fraction=0.0,
        ),
        optimiser=OptimiserConfig(name="sgd", learning_rate=0.01),
        schedule=ScheduleConfig(num_epochs=1000),
        seed=39,
        seeding="once",
    )


def ravdess_teacher() -> Recipe:
    """The picture network on labelled clips.

    Sourced from the code of the same author's next paper: network, SGD with momentum, batch of 64,
    100 epochs. That MKE's teacher sees is recalled; its share of labels is unknown.
    """
    return Recipe(
        name="mke_teacher",
        variant="ravdess",
        method=MethodConfig(name="supervised"),
        encoder=EncoderConfig(name="ravdess_image", options={"stream": "frames"}),
        data=DataConfig(split="labelled", label_column="label", batch_size=64),
        optimiser=OptimiserConfig(name="sgd", learning_rate=0.01, momentum=0.9),
        schedule=ScheduleConfig(num_epochs=100),
    )


def things_teacher() -> Recipe:
    """Ours, for videos of things: a perceptron over the stored embeddings of an image network."""
    return Recipe(
        name="mke_teacher",
        variant="things",
        method=MethodConfig(name="supervised"),
        encoder=EncoderConfig(name="stored", options={"stream": SIGHT}),
        data=DataConfig(
            split="labelled", label_column="label", batch_size=32, validation_fraction=0.0
        ),
        optimiser=OptimiserConfig(name="adamw", learning_rate=1e-3, weight_decay=1e-2),
        schedule=ScheduleConfig(num_epochs=60, shape="cosine"),
    )


def tiny_teacher() -> Recipe:
    """The same in seconds."""
    things = things_teacher()
    return replace(
        things,
        variant="tiny",
        encoder=EncoderConfig(name="stored", options={"stream": SIGHT, "hidden_size": 32}),
        schedule=ScheduleConfig(num_epochs=10),
    )
