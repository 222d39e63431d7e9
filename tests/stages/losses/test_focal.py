import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck
from torch.nn.functional import binary_cross_entropy_with_logits

from avkd.errors import InvalidValueError
from avkd.stages.detection.matching import IGNORED, NEGATIVE
from avkd.stages.losses.focal import class_targets, focal_loss

MATCHED = torch.tensor([1, NEGATIVE, IGNORED, 0])
CLASSES = torch.tensor([2, 0])


def closed_form(logits: Tensor, alpha: float, gamma: float, least: float) -> float:
    total = 0.0
    for anchor, box in enumerate(MATCHED.tolist()):
        if box == IGNORED:
            continue
        for number in range(logits.shape[1]):
            p = min(max(torch.sigmoid(logits[anchor, number]).item(), least), 1 - least)
            if box >= 0 and CLASSES[box] == number:
                total -= alpha * (1 - p) ** gamma * math.log(p)
            else:
                total -= (1 - alpha) * p**gamma * math.log(1 - p)
    return total / 2


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.sampled_from([0.25, 0.5]), st.sampled_from([0.0, 2.0, 3.0]))
def test_it_is_its_closed_form(seed: int, alpha: float, gamma: float) -> None:
    logits = 8 * torch.randn(4, 3, generator=torch.Generator().manual_seed(seed)).double()
    found = focal_loss(logits, MATCHED, CLASSES, alpha=alpha, gamma=gamma)
    assert found.item() == pytest.approx(closed_form(logits, alpha, gamma, 1e-4), rel=1e-9)


def test_value_worked_out_by_hand() -> None:
    logits = torch.tensor([[math.log(9)]])  # p = 0.9
    own = focal_loss(logits, torch.tensor([0]), torch.tensor([0]))
    assert own.item() == pytest.approx(-0.25 * 0.1**2 * math.log(0.9))
    nothing = focal_loss(logits, torch.tensor([NEGATIVE]), torch.tensor([0]))
    assert nothing.item() == pytest.approx(-0.75 * 0.9**2 * math.log(0.1), rel=1e-5)


def test_without_focus_it_is_half_the_cross_entropy() -> None:
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    found = focal_loss(logits, MATCHED, CLASSES, alpha=0.5, gamma=0.0, least_probability=0.0)
    kept = MATCHED != IGNORED
    targets = class_targets(MATCHED, CLASSES, 3)
    expected = binary_cross_entropy_with_logits(logits[kept], targets[kept], reduction="sum")
    torch.testing.assert_close(found, 0.5 * expected / 2)


def test_targets_are_the_classes_of_the_boxes() -> None:
    expected = [[1, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 1]]
    assert class_targets(MATCHED, CLASSES, 3).tolist() == expected


def test_ignored_anchors_do_not_matter_whatever_they_hold() -> None:
    logits = torch.randn(4, 3)
    before = focal_loss(logits, MATCHED, CLASSES)
    logits[2] = torch.nan
    logits.requires_grad_()
    after = focal_loss(logits, MATCHED, CLASSES)
    assert torch.equal(before, after)
    after.backward()
    assert logits.grad is not None
    assert logits.grad[[0, 1, 3]].isfinite().all()


def test_without_positive_anchors_the_sum_is_over_one() -> None:
    logits = torch.zeros(6, 2)
    found = focal_loss(logits, torch.full((6,), NEGATIVE), torch.zeros(0, dtype=torch.int64))
    assert found.item() == pytest.approx(12 * 0.75 * 0.25 * math.log(2))


def test_beyond_the_least_probability_nothing_pulls() -> None:
    logits = torch.tensor([[-12.0], [-8.0]], requires_grad=True)
    focal_loss(logits, torch.tensor([0, 0]), torch.tensor([0])).backward()
    assert logits.grad is not None
    assert logits.grad[0].item() == 0
    assert logits.grad[1].item() < 0


def test_gradients_agree_with_differences() -> None:
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)).double()
    assert gradcheck(lambda x: focal_loss(x, MATCHED, CLASSES), (logits.requires_grad_(),))


def test_an_impossible_least_probability_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="must be from 0 to below one half"):
        focal_loss(torch.zeros(4, 3), MATCHED, CLASSES, least_probability=0.5)
