from typing import Any

import pytest

from avkd.pipeline.recipe import Recipe
from avkd.pipeline.recipes.counting import COPIED
from avkd.pipeline.recipes.mm_distillnet import ablations
from avkd.pipeline.recipes.registry import get_recipe, recipe_variants
from avkd.pipeline.recipes.stereosoundnet import CAMERA
from avkd.pipeline.training.students import build_student
from avkd.stages.encoders.streams import InputShape
from avkd.stages.methods.anchor_student import AnchorStudent
from avkd.stages.methods.batch import LearningShape, TargetShape
from avkd.stages.methods.counting import CountingStudent
from avkd.stages.methods.mm_distillnet import MmDistillNetMethod

MAPS = {
    "features_1": (32, 12, 20),
    "attention_0": (1, 24, 40),
    "attention_1": (1, 12, 20),
    "attention_2": (1, 6, 10),
}
DETECTOR = TargetShape(num_steps=20, num_classes=0, box_classes=("vehicle",), map_shapes=MAPS)
TEACHERS = ("rgb", "depth", "thermal")


def street(sample_rate: int = 16_000) -> LearningShape:
    sound = InputShape(shape=(8, 5 * sample_rate), sample_rate=sample_rate, step_seconds=0.25)
    camera = {name: InputShape(shape=(1,)) for name in CAMERA}
    return LearningShape(
        targets=dict.fromkeys(TEACHERS, DETECTOR), inputs={"waveform": sound, **camera}
    )


def build(recipe: Recipe, sample_rate: int = 16_000) -> tuple[MmDistillNetMethod, AnchorStudent]:
    method, student = build_student(recipe, street(sample_rate))
    assert isinstance(method, MmDistillNetMethod)
    assert isinstance(student, AnchorStudent)
    return method, student


def test_the_default_is_the_papers_network() -> None:
    method, student = build(get_recipe("mm_distillnet"), 44_100)
    assert student.layout.num_cells == 12_276
    assert student.layout.num_anchors == len(student.anchors) == 110_484
    assert student.class_head.num_levels == 5
    assert student.encoder.num_channels == 8
    assert method.labels.min_score == pytest.approx(0.3)
    assert method.labels.min_teachers == 1
    assert (method.focal_alpha, method.focal_gamma) == (0.25, 2.0)
    # EfficientDet-D2 has 8.1 M parameters with 90 classes and three channels.
    assert sum(p.numel() for p in student.parameters()) == pytest.approx(8.1e6, rel=0.02)


def test_as_released_differs_in_the_transfer_alone() -> None:
    paper, released = (get_recipe("mm_distillnet", v) for v in ("default", "as_released"))
    assert released.method.options == {
        "attention_form": "as_released",
        "combination": "per_teacher",
        "distillation_weight": 0.005,
    }
    assert (paper.encoder, paper.data, paper.optimiser, paper.schedule, paper.seed) == (
        released.encoder,
        released.data,
        released.optimiser,
        released.schedule,
        released.seed,
    )


@pytest.mark.parametrize("variant", ["small", "ring"])
def test_those_for_a_cpu_have_levels_of_the_size_of_stored_maps(variant: str) -> None:
    _, student = build(get_recipe("mm_distillnet", variant))
    assert student.layout.level_sizes == ((12, 20), (6, 10), (3, 5))
    plan = student.lesson.maps
    assert plan is not None
    assert plan.outputs == dict.fromkeys(TEACHERS, ("attention_1", "attention_2"))
    # Anchors from a tenth of the picture's width on.
    widths = student.anchors[:, 2] - student.anchors[:, 0]
    assert float(widths.min()) == pytest.approx(0.7 * 0.1, abs=1e-6)


def test_the_ablations_differ_in_whose_word_is_learned_and_in_the_term() -> None:
    ring = get_recipe("mm_distillnet", "ring")
    found = {recipe.variant: recipe for recipe in ablations(ring)}
    options: list[dict[str, Any]] = [dict(recipe.method.options) for recipe in found.values()]
    assert all(one != other for place, one in enumerate(options) for other in options[:place])
    for recipe in found.values():
        assert (recipe.encoder, recipe.data, recipe.schedule) == (
            ring.encoder,
            ring.data,
            ring.schedule,
        )
    assert build(found["rgb"])[1].teachers == ("rgb",)
    assert build(ring)[0].labels.min_teachers == 2
    assert build(found["union"])[0].labels.min_teachers == 1
    assert build(ring)[1].teachers == TEACHERS
    assert build(found["boxes"])[1].lesson.maps is None
    ranked = build(found["ranking"])[1]
    assert ranked.projection is not None
    assert ranked.projection.out_channels == 32


@pytest.mark.parametrize("variant", COPIED)
def test_who_has_counted_has_the_ear_of_the_detector(variant: str) -> None:
    counting, detector = get_recipe("counting", variant), get_recipe("mm_distillnet", variant)
    assert counting.encoder == detector.encoder
    assert counting.data == detector.data
    _, counter = build_student(counting, street(44_100))
    _, finder = build(detector, 44_100)
    assert isinstance(counter, CountingStudent)
    assert {name: value.shape for name, value in counter.encoder.state_dict().items()} == {
        name: value.shape for name, value in finder.encoder.state_dict().items()
    }


def test_each_variant_that_counts_is_one_of_the_detectors() -> None:
    assert set(recipe_variants("counting")) <= set(recipe_variants("mm_distillnet"))
