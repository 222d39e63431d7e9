import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from avkd.errors import InvalidValueError
from avkd.stages.detection.boxes import BoxTargets, paired_iou
from avkd.stages.detection.grid import decode_boxes, encode_boxes, split_head
from avkd.stages.losses import detection_grid
from avkd.stages.losses.detection_grid import (
    OBJECTNESS,
    GridLoss,
    GridLossWeights,
    Objectness,
    best_iou,
    grid_loss,
    objectness_error,
)

ANCHORS = torch.tensor([[1.0, 1.0], [2.0, 1.0]], dtype=torch.float64)
CELLS = 4
NUM_CLASSES = 3
UNWEIGHTED = GridLossWeights(coordinate=1.0, objectness=1.0, no_object=1.0, classification=1.0)


def boxes_of(
    *rows: tuple[float, ...], classes: tuple[int, ...], scores: tuple[float, ...] = ()
) -> BoxTargets:
    total = len(rows)
    return BoxTargets(
        boxes=torch.tensor(rows, dtype=torch.float64).view(-1, 4),
        scores=torch.tensor(scores or (1.0,) * total, dtype=torch.float64),
        classes=torch.tensor(classes, dtype=torch.int64),
        row=torch.zeros(total, dtype=torch.int64),
        step=torch.zeros(total, dtype=torch.int64),
    )


# In cells: centre (1.5, 2.25), size 1 x 1, and centre (3, 0.5), size 2 x 1.
BOXES = boxes_of(
    (0.25, 0.4375, 0.5, 0.6875), (0.5, 0.0, 1.0, 0.25), classes=(2, 0), scores=(0.5, 0.8)
)
PICTURE = torch.tensor([0, 1])


def random_head(seed: int = 0, pictures: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    shape = (pictures, 2 * (5 + NUM_CLASSES), CELLS, CELLS)
    return 0.5 * torch.randn(shape, generator=generator, dtype=torch.float64)


def perfect_head() -> Tensor:
    """Says the boxes, with logits so large that what is left is below rounding."""
    head = torch.zeros(2, 2, 5 + NUM_CLASSES, CELLS, CELLS, dtype=torch.float64)
    head[:, :, 4] = -40.0
    targets = encode_boxes(BOXES, PICTURE, ANCHORS, CELLS, CELLS)
    places = zip(*(each.tolist() for each in targets.place), strict=True)
    for (picture, anchor, y, x), offsets, number in zip(
        places, targets.offsets, targets.classes.tolist(), strict=True
    ):
        values = head[picture, anchor, :, y, x]
        values[:2] = offsets[:2].clamp(1e-15, 1 - 1e-15).logit()
        values[2:4] = offsets[2:]
        values[4] = 40.0
        values[5 + number] = 40.0
    return head.flatten(1, 2)


def loss_of(head: Tensor, **options: object) -> GridLoss:
    return grid_loss(head, BOXES, PICTURE, ANCHORS, **options)  # type: ignore[arg-type]


def test_a_head_that_says_the_boxes_costs_nothing() -> None:
    loss = loss_of(perfect_head())
    assert loss.iou.item() == pytest.approx(1.0)
    for term in loss[:4]:
        assert term.max() < 1e-12


def test_a_head_of_zeros_costs_what_a_hand_finds() -> None:
    boxes = boxes_of((0.25, 0.4375, 0.5, 0.6875), classes=(2,))
    head = torch.zeros(1, 2 * (5 + NUM_CLASSES), CELLS, CELLS, dtype=torch.float64)
    loss = grid_loss(head, boxes, PICTURE[:1], ANCHORS)
    # The 1 x 1 anchor in cell (1, 2) says the centre (1.5, 2.5): a quarter of a cell too low. The
    # box is a 16th of the picture, so that its coordinates count 2 - 1/16.
    assert loss.coordinate.item() == pytest.approx((2 - 1 / 16) * 0.25**2)
    iou = 0.75 / 1.25
    assert loss.iou.item() == pytest.approx(iou)
    assert loss.objectness.item() == pytest.approx((0.5 - iou) ** 2)
    assert loss.classification.item() == pytest.approx(math.log(3))
    # No other prediction shares more than 0.6 with it, so that 31 of 32 are punished.
    assert loss.no_object.item() == pytest.approx(31 * 0.25)


def test_predictions_that_share_enough_with_a_box_are_let_alone() -> None:
    boxes = boxes_of((0.25, 0.4375, 0.5, 0.6875), classes=(2,))
    head = torch.zeros(1, 2 * (5 + NUM_CLASSES), CELLS, CELLS, dtype=torch.float64)
    predicted = decode_boxes(split_head(head, 2).box, ANCHORS)
    iou = best_iou(predicted, boxes.boxes, PICTURE[:1]).flatten()
    for threshold in (0.0, 0.1, 0.3, 0.5, 0.7, 1.0):
        loss = grid_loss(head, boxes, PICTURE[:1], ANCHORS, ignore_threshold=threshold)
        free = int((iou <= threshold).sum()) - int(threshold >= 0.6)
        assert loss.no_object.item() == pytest.approx(free * 0.25)


def test_the_best_iou_is_over_the_boxes_of_the_own_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    predicted = decode_boxes(split_head(random_head(), 2).box, ANCHORS)
    found = best_iou(predicted, BOXES.boxes, PICTURE)
    for number in range(2):
        expected = paired_iou(predicted[number], BOXES.boxes[number])
        torch.testing.assert_close(found[number], expected)
    both = best_iou(predicted[:1], BOXES.boxes, torch.tensor([0, 0]))
    torch.testing.assert_close(
        both[0], torch.maximum(found[0], paired_iou(predicted[0], BOXES.boxes[1]))
    )
    monkeypatch.setattr(detection_grid, "LARGEST_COMPARISON", 1)
    assert torch.equal(best_iou(predicted, BOXES.boxes, PICTURE), found)


def test_terms_of_a_picture_are_its_own() -> None:
    head = random_head()
    together = loss_of(head)
    for number in range(2):
        alone = grid_loss(
            head[number : number + 1],
            BOXES.keep(torch.tensor([number])),
            torch.tensor([0]),
            ANCHORS,
        )
        for ours, theirs in zip(alone[:4], together[:4], strict=True):
            torch.testing.assert_close(ours[0], theirs[number])


def test_the_objectness_of_a_box_is_pulled_to_the_iou_that_it_has() -> None:
    head = random_head().requires_grad_()
    loss = loss_of(head)
    (gradient,) = torch.autograd.grad(loss.objectness.sum(), head)
    targets = encode_boxes(BOXES, PICTURE, ANCHORS, CELLS, CELLS)
    values = split_head(head.detach(), 2)
    said = values.objectness[targets.place].sigmoid()
    iou = paired_iou(decode_boxes(values.box, ANCHORS)[targets.place], targets.boxes)
    expected = torch.zeros_like(values.objectness)
    expected[targets.place] = 2 * (said - iou) * said * (1 - said)
    parts = split_head(gradient, 2)
    torch.testing.assert_close(parts.objectness, expected)
    # The IoU is a target, not something to be learned by.
    assert not parts.box.any()


@pytest.mark.parametrize("name", ["coordinate", "no_object", "classification"])
def test_gradients_agree_with_differences(name: str) -> None:
    def term(head: Tensor) -> Tensor:
        value: Tensor = getattr(loss_of(head), name)
        return value

    assert gradcheck(term, (random_head().requires_grad_(),), fast_mode=True)


@pytest.mark.parametrize("form", OBJECTNESS)
def test_gradients_of_the_whole_agree_with_differences_where_the_iou_stands_still(
    form: Objectness,
) -> None:
    base = random_head()

    def weighed(objectness: Tensor) -> Tensor:
        head = base.view(2, 2, 5 + NUM_CLASSES, CELLS, CELLS).clone()
        head[:, :, 4] = objectness
        loss = grid_loss(head.flatten(1, 2), BOXES, PICTURE, ANCHORS, objectness=form)
        return loss.weigh(GridLossWeights())

    start = base.view(2, 2, 5 + NUM_CLASSES, CELLS, CELLS)[:, :, 4].clone().requires_grad_()
    assert gradcheck(weighed, (start,), fast_mode=True)


def test_errors_of_objectness_have_their_closed_forms() -> None:
    said, target = torch.tensor([0.25, 0.8]), torch.tensor([0.75, 0.0])
    squared = objectness_error(said.logit(), target, "squared")
    torch.testing.assert_close(squared, torch.tensor([0.25, 0.64]))
    # Cross-entropies of 0.25 towards 0.75, and of 0.8 towards nothing.
    entropies = [-(0.75 * math.log(0.25) + 0.25 * math.log(0.75)), -math.log(0.2)]
    focal = objectness_error(said.logit(), target, "quality_focal")
    torch.testing.assert_close(focal, squared * torch.tensor(entropies))
    for form in OBJECTNESS:
        assert objectness_error(said.logit(), said, form).abs().max() < 1e-12


def test_a_prediction_that_is_surely_wrong_is_moved_by_the_focal_form_alone() -> None:
    logit = torch.tensor([-8.0], dtype=torch.float64, requires_grad=True)
    pulls = {}
    for form in OBJECTNESS:
        error = objectness_error(logit, torch.ones_like(logit), form).sum()
        (pulls[form],) = torch.autograd.grad(error, logit)
    assert pulls["squared"].abs() < 1e-3
    assert pulls["quality_focal"] < -0.9


def test_the_whole_is_the_weighted_sum_of_its_terms() -> None:
    loss = loss_of(random_head())
    plain = loss.weigh(UNWEIGHTED)
    torch.testing.assert_close(plain, torch.stack(loss[:4]).sum(dim=0))
    torch.testing.assert_close(loss.weigh(GridLossWeights()), plain + 4 * loss.objectness)
    torch.testing.assert_close(
        loss.weigh(GridLossWeights(objectness=0, coordinate=0, classification=0, no_object=0.5)),
        0.5 * loss.no_object,
    )


def test_scores_weigh_the_terms_of_their_box() -> None:
    plain, weighed = loss_of(random_head()), loss_of(random_head(), weigh_by_score=True)
    for name in ("coordinate", "objectness", "classification"):
        torch.testing.assert_close(getattr(weighed, name), getattr(plain, name) * BOXES.scores)
    torch.testing.assert_close(weighed.no_object, plain.no_object)


def test_small_boxes_count_more_unless_told_otherwise() -> None:
    favoured, plain = loss_of(random_head()), loss_of(random_head(), favour_small=False)
    shares = torch.tensor([1 / 16, 1 / 8], dtype=torch.float64)
    torch.testing.assert_close(favoured.coordinate, (2 - shares) * plain.coordinate)


def test_pictures_without_boxes_are_taught_that_nothing_is_there() -> None:
    head = random_head().requires_grad_()
    none = BOXES.keep(torch.zeros(2, dtype=torch.bool))
    loss = grid_loss(head, none, PICTURE[:0], ANCHORS)
    expected = split_head(head, 2).objectness.sigmoid().square().sum(dim=(1, 2, 3))
    torch.testing.assert_close(loss.weigh(GridLossWeights()), expected)
    loss.weigh(GridLossWeights()).sum().backward()
    assert head.grad is not None
    assert (split_head(head.grad, 2).objectness > 0).all()


def test_one_class_costs_nothing_to_tell() -> None:
    head = torch.randn(1, 2 * 6, CELLS, CELLS)
    boxes = boxes_of((0.25, 0.4375, 0.5, 0.6875), classes=(0,))
    assert grid_loss(head, boxes, PICTURE[:1], ANCHORS).classification.item() == 0


def test_half_precision_is_computed_in_full() -> None:
    head = random_head().bfloat16()
    loss = loss_of(head)
    assert loss.coordinate.dtype == torch.float32
    torch.testing.assert_close(loss.no_object, loss_of(head.float()).no_object)


def test_descending_finds_the_boxes() -> None:
    head = torch.zeros(2, 16, CELLS, CELLS, requires_grad=True)
    optimiser = torch.optim.Adam([head], lr=0.3)
    for _ in range(50):
        optimiser.zero_grad()
        loss = grid_loss(head, BOXES, PICTURE, ANCHORS)
        loss.weigh(GridLossWeights()).mean().backward()
        optimiser.step()
    assert loss.iou.item() > 0.95
    objectness = split_head(head.detach(), 2).objectness.sigmoid()
    assert (objectness > 0.5).sum() == 2


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (
            lambda: grid_loss(
                random_head(), boxes_of((0, 0, 1, 1), classes=(3,)), PICTURE[:1], ANCHORS
            ),
            "classes of boxes run from 3 to 3 but the head knows 3",
        ),
        (
            lambda: grid_loss(random_head(), BOXES, PICTURE, ANCHORS.repeat(3, 1)),
            "a head of 16 channels is not 6 anchors",
        ),
        (lambda: GridLossWeights(no_object=-1.0), "no_object -1 must be 0 or more"),
    ],
)
def test_what_does_not_fit_is_refused(act: Callable[[], object], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        act()
