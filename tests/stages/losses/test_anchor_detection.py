import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck

from avkd.errors import InvalidValueError
from avkd.stages.detection.boxes import BoxTargets, pairwise_iou
from avkd.stages.detection.matching import IGNORED, NEGATIVE, encode_offsets, match_anchors
from avkd.stages.losses.anchor_detection import AnchorLoss, anchor_detection_loss, match_batch
from avkd.stages.losses.box_regression import box_regression
from avkd.stages.losses.focal import focal_loss

WHOLE = (0.0, 0.0, 1.0, 1.0)


def targets(boxes: Tensor, classes: Tensor | None = None) -> BoxTargets:
    zeros = torch.zeros(len(boxes), dtype=torch.int64)
    return BoxTargets(
        boxes=boxes,
        scores=torch.ones(len(boxes)),
        classes=zeros if classes is None else classes,
        row=zeros,
        step=zeros,
    )


def random_corners(total: int, generator: torch.Generator) -> Tensor:
    draws = torch.rand(total, 2, 2, generator=generator)
    return torch.cat([draws.amin(dim=1), draws.amax(dim=1) + 0.05], dim=1)


class Batch:
    """Boxes of pictures in no order; some pictures have none."""

    def __init__(self, seed: int, num_pictures: int = 5, num_anchors: int = 60, most: int = 9):
        generator = torch.Generator().manual_seed(seed)
        num_boxes = int(torch.randint(0, most, (), generator=generator))
        self.anchors = random_corners(num_anchors, generator)
        self.boxes = targets(
            random_corners(num_boxes, generator),
            torch.randint(0, 3, (num_boxes,), generator=generator),
        )
        self.picture = torch.randint(0, num_pictures, (num_boxes,), generator=generator)
        self.logits = 4 * torch.randn(num_pictures, num_anchors, 3, generator=generator)
        self.offsets = torch.randn(num_pictures, num_anchors, 4, generator=generator)

    def loss(self, **options: Any) -> AnchorLoss:
        return anchor_detection_loss(
            self.logits, self.offsets, self.anchors, self.boxes, self.picture, **options
        )


OPTIONS: tuple[dict[str, float], ...] = (
    {},
    {"alpha": 0.5, "gamma": 1.0, "knee": 0.3, "negative_below": 0.1},
)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.sampled_from(OPTIONS))
def test_it_is_the_loss_of_each_picture_alone(seed: int, options: dict[str, float]) -> None:
    batch = Batch(seed)
    found = batch.loss(**options)
    knee = options.get("knee", 1 / 9)
    focus = {name: options[name] for name in ("alpha", "gamma") if name in options}
    for n in range(len(batch.logits)):
        own = batch.boxes.keep(batch.picture == n)
        matched = match_anchors(
            batch.anchors, own.boxes, negative_below=options.get("negative_below", 0.4)
        )
        classification = focal_loss(batch.logits[n], matched, own.classes, **focus)
        torch.testing.assert_close(found.classification[n], classification)
        wanted = torch.zeros(len(batch.anchors), 4)
        positive = matched > NEGATIVE
        wanted[positive] = encode_offsets(own.boxes[matched[positive]], batch.anchors[positive])
        regression = box_regression(batch.offsets[n], wanted, matched, knee)
        torch.testing.assert_close(found.regression[n], regression)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.sampled_from([(0.4, 0.5), (0.0, 0.0), (0.3, 0.3), (0.0, 1.0)]))
def test_anchors_match_as_in_each_picture_alone(seed: int, thresholds: tuple[float, float]) -> None:
    batch = Batch(seed)
    rule: dict[str, Any] = dict(zip(("negative_below", "positive_from"), thresholds, strict=True))
    found = match_batch(batch.anchors, batch.boxes.boxes, batch.picture, 5, **rule)
    for n in range(5):
        own = (batch.picture == n).nonzero()[:, 0]
        expected = match_anchors(batch.anchors, batch.boxes.boxes[own], **rule)
        if len(own):
            expected = torch.where(expected > NEGATIVE, own[expected.clamp_min(0)], expected)
        assert torch.equal(found[n], expected)


def test_values_worked_out_by_hand() -> None:
    # Three anchors inside the box, whose IoUs are their areas: the box's, neither, background.
    anchors = torch.tensor([[0.0, 0.0, 1.0, area] for area in (1.0, 0.45, 0.2)])
    logits = torch.tensor([math.log(9), 5.0, -math.log(9)])[None, :, None]  # p = 0.9, -, 0.1
    offsets = torch.tensor([[0.1, 0.5, -2.0, 0.0], [9.0] * 4, [9.0] * 4])[None]
    loss = anchor_detection_loss(
        logits, offsets, anchors, targets(torch.tensor([WHOLE])), torch.tensor([0])
    )
    expected = -0.25 * 0.1**2 * math.log(0.9) - 0.75 * 0.1**2 * math.log(0.9)
    assert loss.classification.tolist() == pytest.approx([expected])
    # The anchor is the box, so that offsets are errors: a square, two lines and nothing.
    lines = (0.5 - 0.5 / 9) + (2 - 0.5 / 9)
    assert loss.regression.tolist() == pytest.approx([(4.5 * 0.1**2 + lines) / 4])


def test_the_iou_is_that_of_what_positive_anchors_say() -> None:
    anchors = torch.tensor([[0.0, 0.0, 0.4, 0.4], [0.0, 0.0, 0.4, 0.36], [0.5, 0.5, 0.9, 0.9]])
    boxes = targets(anchors[:1])
    offsets = torch.zeros(1, 3, 4, requires_grad=True)
    loss = anchor_detection_loss(torch.zeros(1, 3, 1), offsets, anchors, boxes, torch.tensor([0]))
    # Zero offsets say the anchor itself: the box, and nine tenths of it.
    assert loss.iou.item() == pytest.approx(0.95)
    assert not loss.iou.requires_grad
    with torch.no_grad():
        # A quarter of the height down: IoU 0.3 / 0.5 and, of (0.09 .. 0.45), 0.31 / 0.45.
        offsets[0, :, 0] = 0.25
    moved = anchor_detection_loss(torch.zeros(1, 3, 1), offsets, anchors, boxes, torch.tensor([0]))
    assert moved.iou.item() == pytest.approx((0.6 + 0.31 / 0.45) / 2)


def test_pictures_without_boxes_learn_that_nothing_is_there() -> None:
    logits = torch.zeros(3, 6, 2, requires_grad=True)
    offsets = torch.randn(3, 6, 4, requires_grad=True)
    anchors = torch.tensor([WHOLE]).repeat(6, 1)
    loss = anchor_detection_loss(
        logits, offsets, anchors, targets(torch.tensor([WHOLE])), torch.tensor([1])
    )
    nothing = 12 * 0.75 * 0.25 * math.log(2)
    assert loss.classification[[0, 2]].tolist() == pytest.approx([nothing] * 2)
    # Six anchors share one box, and the sum is over six.
    one = 6 * (0.25 + 0.75) * 0.25 * math.log(2) / 6
    assert loss.classification[1].item() == pytest.approx(one)
    assert loss.regression[[0, 2]].tolist() == [0, 0]
    (loss.classification + loss.regression).sum().backward()
    assert offsets.grad is not None
    assert offsets.grad[1].all()
    assert not offsets.grad[[0, 2]].any()


def test_a_batch_without_any_box_has_gradients_and_no_iou() -> None:
    batch = Batch(0)
    batch.boxes, batch.picture = targets(torch.zeros(0, 4)), torch.zeros(0, dtype=torch.int64)
    batch.logits.requires_grad_()
    batch.offsets.requires_grad_()
    loss = batch.loss()
    assert loss.iou.item() == 0
    assert not loss.regression.any()
    (loss.classification + loss.regression).sum().backward()
    assert batch.logits.grad is not None
    assert (batch.logits.grad >= 0).all()
    assert batch.offsets.grad is not None
    assert not batch.offsets.grad.any()


def test_ignored_anchors_do_not_matter_whatever_they_hold() -> None:
    anchors = torch.tensor([WHOLE, (0.0, 0.0, 1.0, 0.45)])
    logits, offsets = torch.zeros(1, 2, 1), torch.zeros(1, 2, 4)
    box, picture = targets(torch.tensor([WHOLE])), torch.tensor([0])
    before = anchor_detection_loss(logits, offsets, anchors, box, picture)
    logits[0, 1], offsets[0, 1] = torch.nan, torch.nan
    logits.requires_grad_()
    after = anchor_detection_loss(logits, offsets, anchors, box, picture)
    torch.testing.assert_close(after, before, atol=0, rtol=0)
    after.classification.sum().backward()
    assert logits.grad is not None
    assert logits.grad[0, 0].isfinite().all()


# A small box that no anchor reaches, and where the anchors are: IoUs 0.09, 0.36, and none.
SMALL = (0.0, 0.0, 0.3, 0.3)
FEW = torch.tensor([WHOLE, (0.0, 0.0, 0.5, 0.5), (0.6, 0.6, 0.9, 0.9)])


def test_a_box_that_no_anchor_reaches_is_lost_unless_told_otherwise() -> None:
    boxes, picture = torch.tensor([SMALL]), torch.tensor([0])
    lost = match_batch(FEW, boxes, picture, 1)
    assert lost.tolist() == [[NEGATIVE, NEGATIVE, NEGATIVE]]
    found = match_batch(FEW, boxes, picture, 1, match_best=True)
    assert found.tolist() == [[NEGATIVE, 0, NEGATIVE]]


def test_the_best_anchor_of_a_box_is_its_own_whatever_else_it_overlaps() -> None:
    # The middle anchor is 0.36 of the first box; of the second, all of it, and that box's own too.
    boxes = torch.tensor([SMALL, (0.0, 0.0, 0.5, 0.5), WHOLE])
    picture = torch.zeros(3, dtype=torch.int64)
    found = match_batch(FEW, boxes, picture, 1, match_best=True)
    assert found.tolist() == [[2, 1, NEGATIVE]]
    # Less than all of a box it still prefers to one that has a better anchor.
    boxes = torch.tensor([(0.0, 0.0, 0.6, 0.6), SMALL])
    anchors = torch.tensor([(0.0, 0.0, 0.6, 0.6), (0.0, 0.0, 0.5, 0.5)])
    assert match_batch(anchors, boxes, picture[:2], 1).tolist() == [[0, 0]]
    assert match_batch(anchors, boxes, picture[:2], 1, match_best=True).tolist() == [[0, 1]]


def test_a_box_that_overlaps_no_anchor_at_all_stays_lost() -> None:
    boxes = torch.tensor([(0.9, 0.0, 1.0, 0.05)])
    found = match_batch(FEW[1:], boxes, torch.tensor([0]), 1, match_best=True)
    assert found.tolist() == [[NEGATIVE, NEGATIVE]]


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000))
def test_with_best_anchors_no_box_is_lost_but_to_a_box_that_fits_better(seed: int) -> None:
    batch = Batch(seed)
    rule: dict[str, Any] = {"negative_below": 0.7, "positive_from": 0.8}
    plain = match_batch(batch.anchors, batch.boxes.boxes, batch.picture, 5, **rule)
    best = match_batch(batch.anchors, batch.boxes.boxes, batch.picture, 5, match_best=True, **rule)
    iou = pairwise_iou(batch.boxes.boxes, batch.anchors)
    owned = set()
    for m, n in enumerate(batch.picture.tolist()):
        highest, place = iou[m].max(dim=0)
        if highest == 0:
            continue
        winner, anchor = int(best[n, place]), int(place)
        owned.add((n, anchor))
        assert winner > NEGATIVE
        assert batch.picture[winner] == n
        assert iou[winner, anchor] >= highest
    for n, anchor in (best != plain).nonzero().tolist():
        assert (n, anchor) in owned


def test_best_anchors_reach_the_loss() -> None:
    logits, offsets = torch.zeros(1, 3, 1), torch.zeros(1, 3, 4)
    box, picture = targets(torch.tensor([SMALL])), torch.tensor([0])
    assert anchor_detection_loss(logits, offsets, FEW, box, picture).regression.item() == 0
    best = anchor_detection_loss(logits, offsets, FEW, box, picture, match_best=True)
    # The centre is 0.1 off, a fifth of the anchor; the sides are three fifths.
    errors = 2 * (0.2 - 0.5 / 9) + 2 * (math.log(5 / 3) - 0.5 / 9)
    assert best.regression.item() == pytest.approx(errors / 4, rel=1e-5)
    assert best.iou.item() == pytest.approx(0.36)


def test_gradients_agree_with_differences() -> None:
    batch = Batch(3, num_anchors=8)
    assert len(batch.boxes)

    def total(logits: Tensor, offsets: Tensor) -> Tensor:
        loss = anchor_detection_loss(
            logits, offsets, batch.anchors.double(), batch.boxes, batch.picture, match_best=True
        )
        return torch.cat([loss.classification, loss.regression])

    inputs = (batch.logits.double().requires_grad_(), batch.offsets.double().requires_grad_())
    assert total(*inputs).dtype == torch.float64
    assert gradcheck(total, inputs)


def test_half_precision_is_computed_in_full() -> None:
    batch = Batch(5)
    batch.logits, batch.offsets = batch.logits.half(), batch.offsets.half()
    half = batch.loss()
    batch.logits, batch.offsets = batch.logits.float(), batch.offsets.float()
    assert half.classification.dtype == torch.float32
    torch.testing.assert_close(half, batch.loss(), atol=0, rtol=0)


def test_descending_finds_the_boxes() -> None:
    batch = Batch(4, num_anchors=40)
    logits = torch.zeros_like(batch.logits, requires_grad=True)
    offsets = torch.zeros_like(batch.offsets, requires_grad=True)
    optimiser = torch.optim.Adam([logits, offsets], lr=0.1)
    for _ in range(60):
        optimiser.zero_grad()
        loss = anchor_detection_loss(
            logits, offsets, batch.anchors, batch.boxes, batch.picture, match_best=True
        )
        (loss.classification + loss.regression).mean().backward()
        optimiser.step()
    assert loss.iou.item() > 0.95
    matched = match_batch(batch.anchors, batch.boxes.boxes, batch.picture, 5, match_best=True)
    counts = matched != IGNORED
    said = logits.detach().sigmoid().amax(dim=2) > 0.5
    assert torch.equal(said[counts], matched[counts] > NEGATIVE)


ANCHORS = torch.tensor([WHOLE, SMALL])
ONE = targets(torch.tensor([WHOLE]))
FIRST = torch.tensor([0])


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (
            lambda: anchor_detection_loss(
                torch.zeros(1, 3, 1), torch.zeros(1, 2, 4), ANCHORS, ONE, FIRST
            ),
            r"give \(N, A, K\), \(N, A, 4\) and \(A, 4\)",
        ),
        (
            lambda: anchor_detection_loss(
                torch.zeros(1, 2, 1),
                torch.zeros(1, 2, 4),
                ANCHORS,
                targets(torch.tensor([WHOLE]), torch.tensor([1])),
                FIRST,
            ),
            "classes of boxes run from 1 to 1 but the head knows 1",
        ),
        (
            lambda: anchor_detection_loss(
                torch.zeros(1, 2, 1), torch.zeros(1, 2, 4), ANCHORS, ONE, FIRST, knee=0.0
            ),
            "knee 0 must be above 0",
        ),
        (
            lambda: match_batch(ANCHORS, ONE.boxes, FIRST, 1, negative_below=0.6),
            "must be at most positive_from",
        ),
        (
            lambda: match_batch(ANCHORS, ONE.boxes, FIRST + 1, 1),
            "boxes are of pictures 1 to 1 but the batch has 1",
        ),
    ],
)
def test_what_does_not_fit_is_refused(act: Callable[[], object], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        act()
