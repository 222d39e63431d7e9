import pytest
import torch

from avkd.pipeline.recipe import Recipe, differing_fields
from avkd.pipeline.recipes.registry import get_recipe, recipe_variants
from avkd.pipeline.recipes.stereosoundnet import CAMERA
from avkd.pipeline.training.students import build_student
from avkd.stages.encoders.streams import InputShape
from avkd.stages.methods.batch import LearningShape, TargetShape
from avkd.stages.methods.grid_student import GridStudent

YOLO = TargetShape(
    num_steps=10,
    num_classes=0,
    box_classes=tuple(f"class {number}" for number in range(20)),
    map_shapes={"features_0": (1024, 13, 13)},
)
ROAD = LearningShape(
    targets={"yolo": YOLO},
    inputs={
        "waveform": InputShape(shape=(2, 60_000), sample_rate=24_000, step_seconds=0.25),
        **{name: InputShape(shape=(1,)) for name in CAMERA},
    },
)


def build(recipe: Recipe, learning: LearningShape = ROAD) -> GridStudent:
    _, student = build_student(recipe, learning)
    assert isinstance(student, GridStudent)
    return student


def test_the_variants_are_the_paper_two_for_a_cpu_and_controls() -> None:
    assert recipe_variants("stereosoundnet") == (
        "default",
        "small",
        "phase",
        "mono",
        "shuffled",
        "no_metadata",
        "no_ranking",
        "tiny",
    )


def test_the_default_has_the_papers_shapes() -> None:
    student = build(get_recipe("stereosoundnet"))
    assert student.streams == ("waveform", *CAMERA)
    assert (student.encoder.num_channels, student.encoder.window_samples) == (2, 24_000)
    assert student.encoder.samples_per_step == 6_000
    assert student.encoder.part_sizes == {"waveform": 512, "metadata": 128}
    assert len(student.encoder.network.body.layers) == 10
    vector = torch.zeros(2, student.encoder.embedding_size)
    maps = student.network(vector)
    assert maps.shape == (2, 1024, 13, 13)
    assert student.head(maps).shape == (2, 125, 13, 13)


@pytest.mark.parametrize(
    ("variant", "fields"),
    [
        ("mono", {"encoder.options.channels"}),
        ("shuffled", {"encoder.options.channels"}),
        ("no_metadata", {"encoder.options.metadata"}),
        (
            "no_ranking",
            {f"method.options.{name}" for name in ("ranking", "grid_size", "map_channels")},
        ),
    ],
)
def test_a_control_differs_in_one_thing(variant: str, fields: set[str]) -> None:
    phase, control = (get_recipe("stereosoundnet", name) for name in ("phase", variant))
    assert set(differing_fields(phase, control)) == {"variant", *fields}


@pytest.mark.parametrize("variant", ["mono", "shuffled"])
def test_what_a_control_hears_goes_through_the_same_network(variant: str) -> None:
    phase, control = (build(get_recipe("stereosoundnet", name)) for name in ("phase", variant))
    shapes = {name: value.shape for name, value in phase.state_dict().items()}
    assert {name: value.shape for name, value in control.state_dict().items()} == shapes


def test_without_ranking_boxes_are_enough() -> None:
    boxes_alone = LearningShape(
        targets={"yolo": TargetShape(num_steps=10, num_classes=0, box_classes=("vehicle",))},
        inputs=ROAD.inputs,
    )
    student = build(get_recipe("stereosoundnet", "no_ranking"), boxes_alone)
    assert (student.grid, student.feature_map) == ((13, 13), "")
