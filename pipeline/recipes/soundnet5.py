"""SoundNet, 5 layers: the paper's shallower network, otherwise as the deep one."""

from dataclasses import replace

from avkd.pipeline.recipe import EncoderConfig, Recipe
from avkd.pipeline.recipes.registry import register_recipe
from avkd.pipeline.recipes.soundnet import as_released, soundnet, tiny


@register_recipe
def soundnet5() -> tuple[Recipe, ...]:
    """The 5-layer network of the paper's ablation of depth; probes read conv4."""
    deep = soundnet()[0]
    paper = replace(
        deep,
        name="soundnet5",
        encoder=EncoderConfig(name="soundnet5"),
        evaluation=replace(deep.evaluation, layer="conv4"),
    )
    return paper, as_released(paper), tiny(paper, {"width": 0.25})
