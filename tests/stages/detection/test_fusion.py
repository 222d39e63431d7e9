import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from avkd.errors import InvalidValueError
from avkd.stages.detection.boxes import BoxTargets, pairwise_iou
from avkd.stages.detection.fusion import count_supporters, fuse_boxes

Said = tuple[tuple[float, float, float, float], float]

# A car as three teachers see it. All are 0.4 wide and 0.2 high and differ along x alone; shifted by
# d, two share (0.4 - d) of (0.4 + d): 0.6 of them for d = 0.1, and a third for d = 0.2.
CAR = (0.1, 0.4, 0.5, 0.6)
SHIFTED = (0.2, 0.4, 0.6, 0.6)
SHIFTED_TWICE = (0.3, 0.4, 0.7, 0.6)
ELSEWHERE = (0.7, 0.7, 0.9, 0.9)


def teacher(
    *said: Said, classes: list[int] | None = None, row: int = 0, step: int = 0
) -> BoxTargets:
    total = len(said)
    return BoxTargets(
        boxes=torch.tensor([box for box, _ in said]).view(-1, 4),
        scores=torch.tensor([score for _, score in said]),
        classes=torch.tensor(classes or [0] * total, dtype=torch.int64),
        row=torch.full((total,), row),
        step=torch.full((total,), step),
    )


def random_teachers(seed: int, total: int = 3, num_boxes: int = 12) -> list[BoxTargets]:
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(total, num_boxes, 2, generator=generator) * 0.3
    sizes = 0.2 + 0.2 * torch.rand(total, num_boxes, 2, generator=generator)
    # No two scores are the same.
    scores = (1 + torch.randperm(total * num_boxes, generator=generator)) / (total * num_boxes)
    classes, row, step = torch.randint(0, 2, (3, total, num_boxes), generator=generator)
    return [
        BoxTargets(
            boxes=torch.cat([corners[k], corners[k] + sizes[k]], dim=1),
            scores=scores.view(total, num_boxes)[k],
            classes=classes[k],
            row=row[k],
            step=step[k],
        )
        for k in range(total)
    ]


def assert_same(left: BoxTargets, right: BoxTargets) -> None:
    for name in ("boxes", "scores", "classes", "row", "step"):
        assert torch.equal(getattr(left, name), getattr(right, name)), name


def test_what_two_teachers_say_of_one_car_is_said_once_by_the_surer() -> None:
    rgb = teacher((CAR, 0.6))
    depth = teacher((SHIFTED, 0.9))  # IoU 0.3 / 0.5 = 0.6
    thermal = teacher((ELSEWHERE, 0.4))
    fused = fuse_boxes([rgb, depth, thermal])
    assert fused.scores.tolist() == pytest.approx([0.9, 0.4])
    assert torch.equal(fused.boxes, torch.tensor([SHIFTED, ELSEWHERE]))


def test_boxes_that_share_less_than_the_threshold_are_two_cars() -> None:
    said = [teacher((CAR, 0.6)), teacher((SHIFTED_TWICE, 0.9))]  # IoU 0.2 / 0.6
    assert len(fuse_boxes(said)) == 2
    assert fuse_boxes(said, iou_threshold=0.3).scores.tolist() == pytest.approx([0.9])


def test_two_of_three_teachers_must_agree() -> None:
    rgb = teacher((CAR, 0.6), ((0.0, 0.0, 0.2, 0.2), 0.95))
    depth = teacher((SHIFTED, 0.9))
    thermal = teacher((ELSEWHERE, 0.4), ((0.71, 0.7, 0.91, 0.9), 0.5))
    fused = fuse_boxes([rgb, depth, thermal], min_teachers=2)
    # The surest of all has no second teacher, and two boxes of one teacher are one voice.
    assert torch.equal(fused.boxes, torch.tensor([SHIFTED]))
    assert len(fuse_boxes([rgb, depth, thermal], min_teachers=3)) == 0


def test_a_sure_box_that_too_few_support_takes_none_with_it() -> None:
    # The outer two share a third, the middle one 0.6 with each: all three agree about it alone.
    said = [teacher((CAR, 0.9)), teacher((SHIFTED, 0.8)), teacher((SHIFTED_TWICE, 0.7))]
    assert torch.equal(fuse_boxes(said, min_teachers=3).boxes, torch.tensor([SHIFTED]))
    # Of those that two support, the surest takes the middle one and leaves the other outer one.
    assert torch.equal(fuse_boxes(said, min_teachers=2).boxes, torch.tensor([CAR, SHIFTED_TWICE]))


@pytest.mark.parametrize("apart", ["classes", "row", "step"])
def test_boxes_of_another_class_clip_or_step_neither_suppress_nor_support(apart: str) -> None:
    other = {"classes": [1]} if apart == "classes" else {apart: 1}
    said = [teacher((CAR, 0.6)), teacher((CAR, 0.9), **other)]
    assert len(fuse_boxes(said)) == 2
    assert len(fuse_boxes(said, min_teachers=2)) == 0


def test_supporters_counted_by_hand() -> None:
    said = teacher((CAR, 0.9), (SHIFTED, 0.8), (SHIFTED_TWICE, 0.7), (ELSEWHERE, 0.5), (CAR, 0.1))
    whose = torch.tensor([0, 1, 2, 2, 0])
    assert count_supporters(said, whose, 0.5).tolist() == [2, 3, 2, 1, 2]
    # By exactly the threshold is by the threshold: halves of a box, without rounding.
    half = teacher(((0.0, 0.0, 0.5, 0.5), 0.9), ((0.0, 0.0, 0.25, 0.5), 0.8))
    assert count_supporters(half, whose[:2], 0.5).tolist() == [2, 2]


def supporters_one_by_one(together: BoxTargets, whose: Tensor, threshold: float) -> list[int]:
    iou = pairwise_iou(together.boxes, together.boxes)
    found = []
    for i in range(len(together)):
        supporters = {
            int(whose[j])
            for j in range(len(together))
            if i == j
            or (
                iou[i, j] >= threshold
                and together.classes[i] == together.classes[j]
                and together.row[i] == together.row[j]
                and together.step[i] == together.step[j]
            )
        }
        found.append(len(supporters))
    return found


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000), st.sampled_from([0.2, 0.5]))
def test_supporters_are_those_counted_one_by_one(seed: int, threshold: float) -> None:
    said = random_teachers(seed)
    together = BoxTargets(
        **{
            name: torch.cat([getattr(each, name) for each in said])
            for name in ("boxes", "scores", "classes", "row", "step")
        }
    )
    whose = torch.arange(3).repeat_interleave(12)
    expected = supporters_one_by_one(together, whose, threshold)
    assert count_supporters(together, whose, threshold).tolist() == expected


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.integers(1, 3), st.permutations(range(3)))
def test_the_order_of_teachers_does_not_matter(
    seed: int, min_teachers: int, order: list[int]
) -> None:
    said = random_teachers(seed)
    fused = fuse_boxes(said, min_teachers=min_teachers)
    assert_same(fused, fuse_boxes([said[k] for k in order], min_teachers=min_teachers))


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000))
def test_what_stays_was_said_and_every_box_that_goes_had_a_surer_one(seed: int) -> None:
    said = random_teachers(seed)
    fused = fuse_boxes(said)
    assert_same(fuse_boxes([fused]), fused)
    for each in said:
        shared = pairwise_iou(each.boxes, fused.boxes)
        apart = (
            (each.classes[:, None] != fused.classes)
            | (each.row[:, None] != fused.row)
            | (each.step[:, None] != fused.step)
        )
        stays = ((each.scores[:, None] == fused.scores) & (shared > 0.999) & ~apart).any(dim=1)
        surer = (shared > 0.5 - 1e-4) & (fused.scores > each.scores[:, None]) & ~apart
        assert (stays | surer.any(dim=1)).all()


def test_teachers_that_never_fire_are_no_trouble() -> None:
    nothing = teacher()
    assert len(fuse_boxes([nothing, nothing, nothing], min_teachers=2)) == 0
    assert len(fuse_boxes([nothing, teacher((CAR, 0.6)), nothing])) == 1


@pytest.mark.parametrize("min_teachers", [0, 3])
def test_more_teachers_than_there_are_cannot_agree(min_teachers: int) -> None:
    with pytest.raises(InvalidValueError, match="must be from 1 to the number of teachers, 2"):
        fuse_boxes([teacher((CAR, 0.6))] * 2, min_teachers=min_teachers)


def test_without_a_teacher_there_is_nothing_to_fuse() -> None:
    with pytest.raises(InvalidValueError, match="the number of teachers, 0"):
        fuse_boxes([])
    with pytest.raises(InvalidValueError, match="iou_threshold 2 must be from 0 to 1"):
        fuse_boxes([teacher((CAR, 0.6))], iou_threshold=2.0)
