import pytest
import torch
from torch.autograd import gradcheck

from avkd.errors import InvalidValueError
from avkd.stages.detection.matching import IGNORED, NEGATIVE
from avkd.stages.losses.box_regression import KNEE, box_regression

ONE = torch.tensor([0])


@pytest.mark.parametrize(
    ("difference", "expected"),
    [
        (0.0, 0.0),
        (0.1, 0.5 * 9 * 0.1**2),
        (1 / 9, 0.5 / 9),
        (0.5, 0.5 - 0.5 / 9),
        (-2.0, 2 - 0.5 / 9),
    ],
)
def test_squares_up_to_the_knee_and_lines_beyond(difference: float, expected: float) -> None:
    found = box_regression(torch.full((1, 4), difference), torch.zeros(1, 4), ONE)
    assert found.item() == pytest.approx(expected)


def test_the_slope_is_one_from_the_knee_on() -> None:
    said = torch.tensor([[KNEE / 2, KNEE, 1.0, -1.0]], requires_grad=True)
    (4 * box_regression(said, torch.zeros(1, 4), ONE)).backward()
    assert said.grad is not None
    assert said.grad[0].tolist() == pytest.approx([0.5, 1.0, 1.0, -1.0])


def test_only_anchors_with_a_box_count() -> None:
    matched = torch.tensor([0, NEGATIVE, IGNORED, 1])
    said, wanted = torch.randn(2, 4, 4, generator=torch.Generator().manual_seed(0))
    said[1:3] = torch.nan
    both = torch.tensor([0, 3])
    expected = box_regression(said[both], wanted[both], torch.tensor([0, 1]))
    assert torch.equal(box_regression(said, wanted, matched), expected)


def test_without_a_box_there_is_nothing_to_learn() -> None:
    said = torch.randn(3, 4, requires_grad=True)
    loss = box_regression(said, torch.zeros(3, 4), torch.full((3,), NEGATIVE))
    loss.backward()
    assert loss.item() == 0
    assert said.grad is not None
    assert not said.grad.any()


def test_gradients_agree_with_differences() -> None:
    said, wanted = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(1)).double()
    matched = torch.tensor([0, 1, 2])
    assert gradcheck(lambda x: box_regression(x, wanted, matched), (said.requires_grad_(),))


def test_a_knee_of_zero_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="knee 0 must be above 0"):
        box_regression(torch.zeros(1, 4), torch.zeros(1, 4), ONE, knee=0.0)
