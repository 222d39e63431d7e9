from dataclasses import replace

import pytest
import torch

from avkd.pipeline.recipe import Recipe
from avkd.pipeline.recipes.mke_dense import DEPTH, RGB, THERMAL, TRUTH
from avkd.pipeline.recipes.registry import get_recipe
from avkd.pipeline.training.students import build_student
from avkd.stages.encoders.picture_maps import PictureMapsEncoder
from avkd.stages.encoders.streams import InputShape
from avkd.stages.methods.batch import LearningShape, TargetShape
from avkd.stages.methods.dense_student import DenseStudent

HEIGHT, WIDTH = 24, 40
CLASSES = ("road", "vehicle")
SAID = TargetShape(num_steps=5, num_classes=0, map_classes=CLASSES, map_size=(HEIGHT, WIDTH))
ROAD = LearningShape(
    targets={"sees": SAID, TRUTH: replace(SAID, is_truth=True)},
    inputs={
        name: InputShape(shape=(5, HEIGHT, WIDTH, channels))
        for name, channels in ((RGB, 3), (DEPTH, 1), (THERMAL, 1))
    },
)


def recipe(variant: str) -> Recipe:
    return get_recipe("mke_dense", variant)


def build(variant: str) -> DenseStudent:
    _, student = build_student(recipe(variant), ROAD)
    assert isinstance(student, DenseStudent)
    return student


def encoder_of(variant: str) -> PictureMapsEncoder:
    return build(variant).encoder.train()


@pytest.mark.parametrize(
    ("variant", "streams"),
    [
        ("rgb_depth", (RGB, DEPTH)),
        ("rgb_thermal", (RGB, THERMAL)),
        ("rgb", (RGB,)),
        ("quiet", (RGB, DEPTH)),
        ("bound", (RGB, DEPTH)),
        ("tiny", (RGB, DEPTH)),
    ],
)
def test_every_variant_builds_a_student_of_its_streams_and_only_the_bound_is_told(
    variant: str, streams: tuple[str, ...]
) -> None:
    student = build(variant)
    assert student.streams == streams
    assert student.teacher == (TRUTH if variant == "bound" else "sees")


@pytest.mark.parametrize("variant", ["rgb_depth", "rgb_thermal", "bound"])
def test_only_the_stream_that_goes_black_by_night_is_taken_away(variant: str) -> None:
    torch.manual_seed(0)
    kept = encoder_of(variant).perturbation.keep(2_000)
    assert kept is not None
    assert kept[:, 1].all()
    assert float(kept[:, 0].float().mean()) == pytest.approx(0.7, abs=0.04)


def test_nothing_disturbs_the_quiet_student_and_else_it_is_the_same() -> None:
    change = encoder_of("quiet").perturbation
    before = [torch.rand(3, 3, 8, 8), torch.rand(3, 1, 8, 8)]
    assert all(torch.equal(one, other) for one, other in zip(change(before), before, strict=True))
    assert change.keep(5) is None
    quiet, student = recipe("quiet"), recipe("rgb_depth")
    assert dict(quiet.method.options) == {**student.method.options, "flip": 0.0}
    same = replace(quiet, variant="rgb_depth", encoder=student.encoder, method=student.method)
    assert same == student


def test_the_bound_differs_by_its_teacher_alone() -> None:
    bound, student = recipe("bound"), recipe("rgb_depth")
    assert replace(bound, variant="rgb_depth", method=student.method) == student
    assert dict(bound.method.options) == {**student.method.options, "teacher": TRUTH}
