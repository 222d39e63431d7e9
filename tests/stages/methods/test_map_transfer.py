from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.stages.losses.attention_transfer import activation_attention, attention_transfer
from avkd.stages.losses.ranking import map_ranking
from avkd.stages.methods.batch import TargetShape
from avkd.stages.methods.map_transfer import MapPlan, MapTransfer

LEVELS = ((6, 10), (3, 5), (2, 3))
MAPS: Mapping[str, tuple[int, int, int]] = {
    "features_1": (4, 6, 10),
    "attention_0": (1, 12, 20),
    "attention_1": (1, 6, 10),
    "attention_2": (1, 3, 5),
}
DETECTOR = TargetShape(num_steps=2, num_classes=0, box_classes=("car",), map_shapes=MAPS)
TARGETS = {"rgb": DETECTOR, "thermal": DETECTOR}


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def test_maps_go_with_the_levels_of_their_size() -> None:
    plan = MapTransfer().plan(("rgb", "thermal"), TARGETS, LEVELS)
    assert plan == MapPlan(
        outputs=dict.fromkeys(TARGETS, ("attention_1", "attention_2")), levels=(0, 1)
    )
    assert plan.maps_of[:2] == (("rgb", "attention_1"), ("rgb", "attention_2"))


def test_maps_of_no_levels_size_go_in_order() -> None:
    plan = MapTransfer().plan(("rgb",), TARGETS, ((96, 96), (48, 48)))
    assert plan is not None
    assert plan.outputs == {"rgb": ("attention_0", "attention_1")}
    assert plan.levels == (0, 1)


def test_other_teachers_than_those_of_the_labels_can_be_learned_from() -> None:
    plan = MapTransfer(teachers=("thermal",)).plan(("rgb",), TARGETS, LEVELS)
    assert plan is not None
    assert tuple(plan.outputs) == ("thermal",)


def test_nothing_is_planned_without_distillation() -> None:
    assert MapTransfer(distillation="none").plan(("rgb",), TARGETS, LEVELS) is None


def test_a_ranking_takes_one_map_and_its_channels() -> None:
    plan = MapTransfer(distillation="ranking").plan(("rgb",), TARGETS, LEVELS)
    assert plan == MapPlan(outputs={"rgb": ("features_1",)}, levels=(0,), ranked_channels=4)
    with pytest.raises(InvalidValueError, match="one map of the size of a level"):
        MapTransfer(distillation="ranking").plan(("rgb",), TARGETS, ((5, 5),))


def test_maps_that_are_not_stored_are_refused() -> None:
    bare = {"rgb": TargetShape(num_steps=2, num_classes=0, box_classes=("car",))}
    with pytest.raises(InvalidValueError, match=r"--maps rgb=attention"):
        MapTransfer().plan(("rgb",), bare, LEVELS)
    with pytest.raises(UnknownNameError, match="teacher of maps 'depth'"):
        MapTransfer(teachers=("depth",)).plan(("rgb",), TARGETS, LEVELS)
    with pytest.raises(UnknownNameError, match="did you mean attention_"):
        MapTransfer(outputs=("attention_9",)).plan(("rgb",), TARGETS, LEVELS)
    other = {**MAPS, "attention_2": (1, 4, 5)}
    odd = TargetShape(num_steps=2, num_classes=0, box_classes=("car",), map_shapes=other)
    with pytest.raises(InvalidValueError, match="of one size"):
        MapTransfer().plan(("rgb", "odd"), {"rgb": DETECTOR, "odd": odd}, LEVELS)


def test_attention_is_that_of_the_planned_levels_in_the_mean_over_steps() -> None:
    transfer = MapTransfer(combination="average")
    plan = transfer.plan(("rgb", "thermal"), TARGETS, LEVELS)
    assert plan is not None
    levels = [drawn(3, 8, *size, seed=place) for place, size in enumerate(LEVELS)]
    maps = {key: drawn(3, *MAPS[key[1]], seed=7 + len(key[0])) for key in plan.maps_of}
    seen = torch.tensor([[True, True, False], [True, False, False]])
    expected = attention_transfer(
        [activation_attention(levels[place]) for place in (0, 1)],
        [[maps[name, f"attention_{place}"][:, 0] for place in (1, 2)] for name in TARGETS],
        form="as_paper",
        combination="average",
        seen=seen,
    )
    said = transfer.compare(plan, levels, None, maps, seen)
    torch.testing.assert_close(said, expected.mean())
    assert expected[2] == 0, "nobody saw the third"


def test_a_ranking_is_against_the_mean_of_those_who_saw() -> None:
    transfer = MapTransfer(distillation="ranking", margin=0.3)
    plan = transfer.plan(("rgb", "thermal"), TARGETS, LEVELS)
    assert plan is not None
    projected = drawn(4, 4, 6, 10)
    one, other = drawn(4, 4, 6, 10, seed=1), drawn(4, 4, 6, 10, seed=2)
    maps = {("rgb", "features_1"): one, ("thermal", "features_1"): other}
    seen = torch.tensor([[True, True, False, False], [True, False, True, False]])
    mean = torch.stack([(one[0] + other[0]) / 2, one[1], other[2]])
    said = transfer.compare(plan, (), projected, maps, seen)
    torch.testing.assert_close(said, map_ranking(projected[:3], mean, 0.3))
    nobody = torch.zeros(2, 4, dtype=torch.bool)
    assert transfer.compare(plan, (), projected, maps, nobody) == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"distillation": "kd"}, "none or ranking or mta"),
        ({"form": "mine"}, "as_paper or as_printed or as_released"),
        ({"combination": "sum"}, "product or average or per_teacher"),
        ({"beta": -1.0}, "beta -1 must be 0 or more"),
    ],
)
def test_options_out_of_their_range_are_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidValueError, match=said):
        MapTransfer(**options)  # type: ignore[arg-type]
