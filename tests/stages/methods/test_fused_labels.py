from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.stages.detection.boxes import BoxTargets, suppress
from avkd.stages.methods.batch import TargetShape
from avkd.stages.methods.fused_labels import LabelRule, read_names

CAR, VAN = (0.1, 0.1, 0.3, 0.3), (0.6, 0.5, 0.9, 0.9)
NEAR_CAR = (0.1, 0.1, 0.3, 0.28)
"""IoU 0.9 with CAR."""
RGB, DEPTH = ("person", "car", "van"), ("van", "bus", "car")
"""Two teachers that number the same classes in other ways."""


def stored(classes: Sequence[str]) -> TargetShape:
    return TargetShape(num_steps=3, num_classes=0, box_classes=tuple(classes))


TARGETS = {
    "rgb": stored(RGB),
    "ears": TargetShape(num_steps=3, num_classes=7),
    "depth": stored(DEPTH),
}
KNOWN = {"rgb": RGB, "depth": DEPTH}


def boxes(*found: tuple[Sequence[float], float, int, int, int]) -> BoxTargets:
    """Of corners, score, class, row and step each."""
    return BoxTargets(
        boxes=torch.tensor([each[0] for each in found]).view(-1, 4),
        scores=torch.tensor([each[1] for each in found]),
        classes=torch.tensor([each[2] for each in found], dtype=torch.int64),
        row=torch.tensor([each[3] for each in found], dtype=torch.int64),
        step=torch.tensor([each[4] for each in found], dtype=torch.int64),
    )


def listed(found: BoxTargets) -> set[tuple[Any, ...]]:
    """The boxes, their numbers rounded, in no order."""
    columns = zip(found.boxes, found.scores, found.classes, found.row, found.step, strict=True)
    return {
        (*(round(x, 4) for x in box.tolist()), round(float(score), 4), int(c), int(row), int(step))
        for box, score, c, row, step in columns
    }


SAID: Mapping[str, BoxTargets] = {
    "rgb": boxes(
        (CAR, 0.8, 1, 0, 0),  # fused with the surer one of depth
        (VAN, 0.7, 2, 0, 0),
        (CAR, 0.9, 0, 0, 0),  # a person, not learned
        (CAR, 0.2, 1, 1, 2),  # unsure
    ),
    "depth": boxes(
        (NEAR_CAR, 0.9, 2, 0, 0),
        (NEAR_CAR, 0.6, 0, 0, 0),  # a van where the others see a car: another class
        (VAN, 0.5, 2, 0, 1),  # a car in another step than the van
        (VAN, 0.95, 1, 0, 0),  # a bus
    ),
}


def test_boxes_of_teachers_that_number_classes_otherwise_are_met_by_name_and_fused() -> None:
    rule = LabelRule()
    names = rule.name_classes(TARGETS)
    assert names == ("car", "van")
    fused = rule.fuse(SAID, KNOWN, names)
    assert listed(fused) == {
        (*NEAR_CAR, 0.9, 0, 0, 0),
        (*VAN, 0.7, 1, 0, 0),
        (*NEAR_CAR, 0.6, 1, 0, 0),
        (*VAN, 0.5, 0, 0, 1),
    }
    turned = rule.fuse(SAID, KNOWN, ("van", "car"))
    assert listed(turned) == {(*box, s, 1 - c, r, t) for *box, s, c, r, t in listed(fused)}


def test_labels_that_several_teachers_must_have_seen_lose_what_one_saw_alone() -> None:
    rule = LabelRule(min_teachers=2)
    fused = rule.fuse(SAID, KNOWN, ("car", "van"))
    assert listed(fused) == {(*NEAR_CAR, 0.9, 0, 0, 0)}
    strict = LabelRule(min_teachers=2, iou_threshold=0.95)
    assert not len(strict.fuse(SAID, KNOWN, ("car", "van")))


def test_unsure_boxes_are_labels_where_the_rule_says_so() -> None:
    lenient = LabelRule(min_score=0.1).fuse(SAID, KNOWN, ("car",))
    assert (*CAR, 0.2, 0, 1, 2) in listed(lenient)
    assert len(LabelRule(min_score=1.0).fuse(SAID, KNOWN, ("car",))) == 0


def test_one_teachers_labels_are_its_boxes_after_score_and_suppression() -> None:
    generator = torch.Generator().manual_seed(3)
    lower = torch.rand(60, 2, generator=generator) * 0.3
    said = BoxTargets(
        boxes=torch.cat([lower, lower + 0.3], dim=1),
        scores=torch.rand(60, generator=generator),
        classes=torch.randint(0, 3, (60,), generator=generator),
        row=torch.randint(0, 2, (60,), generator=generator),
        step=torch.randint(0, 2, (60,), generator=generator),
    )
    rule = LabelRule(teachers=("rgb",), min_score=0.4, iou_threshold=0.3)
    fused = rule.fuse({"rgb": said, "depth": SAID["depth"]}, {"rgb": RGB}, RGB)
    alone = suppress(said.keep(said.scores >= 0.4), 0.3, max_boxes=60)
    assert 0 < len(alone) < int((said.scores >= 0.4).sum())
    assert listed(fused) == listed(alone)


def test_a_box_that_its_own_teacher_suppressed_does_not_come_back_in_the_union() -> None:
    # Depth's removes the second, which had removed the third, which depth's does not reach.
    first, second, third = ((x, 0.0, x + 0.3, 0.3) for x in (0.1, 0.2, 0.3))
    said = {
        "rgb": boxes((second, 0.8, 1, 0, 0), (third, 0.7, 1, 0, 0)),
        "depth": boxes((first, 0.9, 2, 0, 0)),
    }
    fused = LabelRule(iou_threshold=0.4).fuse(said, KNOWN, ("car",))
    assert listed(fused) == {(0.1, 0.0, 0.4, 0.3, 0.9, 0, 0, 0)}


def test_nothing_seen_makes_no_label() -> None:
    rule = LabelRule()
    assert not len(rule.fuse({"rgb": boxes(), "depth": boxes()}, KNOWN, ("car", "van")))


def test_teachers_and_classes_follow_the_store_unless_named() -> None:
    assert LabelRule().choose_teachers(TARGETS) == ("rgb", "depth")
    named = LabelRule(teachers=("depth", "rgb"), classes=("van",))
    assert named.choose_teachers(TARGETS) == ("depth", "rgb")
    assert named.name_classes(TARGETS) == ("van",)
    assert LabelRule(teachers=("depth", "rgb")).name_classes(TARGETS) == ("van", "car")
    assert LabelRule(classes=("bus",)).name_classes(TARGETS) == ("bus",)
    assert LabelRule(teachers=("depth",)).name_classes(TARGETS) == DEPTH


@pytest.mark.parametrize(
    ("rule", "targets", "message"),
    [
        ({"teachers": ("termal",)}, {"thermal": TARGETS["rgb"]}, "did you mean thermal"),
        ({"teachers": ("ears",)}, TARGETS, "unknown teacher with boxes 'ears'"),
        ({}, {"ears": TARGETS["ears"]}, "but ears stored none; extract a detector"),
        ({}, {}, "but none stored none; extract a detector"),
        (
            {"min_teachers": 3},
            TARGETS,
            "3, more than the teachers that stored boxes \\(rgb, depth\\); lower",
        ),
        ({"classes": ("vans",)}, TARGETS, "unknown class of teachers rgb, depth: 'vans'; did"),
        (
            {"classes": ("bus",), "min_teachers": 2},
            TARGETS,
            "2 teachers saw it but class 'bus' is known to depth only",
        ),
        (
            {},
            {"rgb": stored(RGB), "toys": stored(("a", "b", "c", "d", "e", "f", "g"))},
            "no class in common \\(rgb: person, car, van; toys: a, b, c, d, e and 2 more\\)",
        ),
    ],
)
def test_rules_that_a_store_cannot_serve_are_refused_in_one_line(
    rule: dict[str, Any], targets: dict[str, TargetShape], message: str
) -> None:
    with pytest.raises(InvalidValueError, match=message) as caught:
        LabelRule(**rule).name_classes(targets)
    assert "\n" not in str(caught.value)


def test_unknown_names_are_told_as_such() -> None:
    with pytest.raises(UnknownNameError):
        LabelRule(teachers=("nobody",)).choose_teachers(TARGETS)
    with pytest.raises(UnknownNameError):
        LabelRule(classes=("nothing",)).name_classes(TARGETS)


def test_batches_without_a_teacher_or_with_an_unnamed_class_are_refused() -> None:
    with pytest.raises(
        InvalidValueError, match="of teacher 'depth' but the batch has those of rgb"
    ):
        LabelRule().fuse({"rgb": boxes()}, KNOWN, ("car",))
    strange = {"rgb": boxes((CAR, 0.9, 3, 0, 0)), "depth": boxes()}
    with pytest.raises(InvalidValueError, match="teacher 'rgb' is of class 3 but the teacher nam"):
        LabelRule().fuse(strange, KNOWN, ("car",))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_score": 1.5}, "min_score 1.5 must be from 0 to 1"),
        ({"iou_threshold": -0.1}, "iou_threshold -0.1 must be from 0 to 1"),
        ({"min_teachers": 0}, "min_teachers 0 must be a whole number"),
        ({"teachers": ("rgb", "rgb")}, "must be names, each once"),
        ({"classes": ("car", "car")}, "must be names, each once"),
        (
            {"teachers": ("rgb",), "min_teachers": 2},
            "min_teachers is 2, more than the teachers chosen \\(rgb\\)",
        ),
    ],
)
def test_wrong_rules_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        LabelRule(**options)


def test_one_name_is_no_list_of_its_letters() -> None:
    assert read_names("teachers", ["rgb", "depth"]) == ("rgb", "depth")
    with pytest.raises(InvalidValueError, match="teachers 'rgb' must be names"):
        read_names("teachers", "rgb")
