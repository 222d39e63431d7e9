import pytest
import torch
from torch import Tensor

from avkd.errors import InvalidValueError
from avkd.stages.detection.decoding import decode_steps

ANCHORS = torch.tensor([[2.0, 2.0], [4.0, 2.0]])


def empty_head(clips: int = 2, steps: int = 3) -> Tensor:
    """(clips, steps, 2 anchors of 2 classes, 8, 8) that says nothing."""
    head = torch.zeros(clips, steps, 2, 7, 8, 8)
    head[:, :, :, 4] = -30.0
    return head.flatten(2, 3)


def put(head: Tensor, where: tuple[int, int, int, int, int], score: float, number: int) -> None:
    """Say a box there, of the anchor's size, in the middle of the cell."""
    clip, step, anchor, y, x = where
    values = head.view(*head.shape[:2], 2, 7, 8, 8)[clip, step, anchor, :, y, x]
    values[4] = torch.tensor(score).logit()
    values[5 + number] = 30.0


def test_boxes_are_those_of_each_step_with_scores_and_classes() -> None:
    head = empty_head()
    put(head, (0, 1, 1, 3, 4), 0.9, 1)
    put(head, (1, 0, 0, 6, 1), 0.7, 0)
    found = decode_steps(head, torch.tensor([3, 3]), ANCHORS)
    assert found.row.tolist() == [0, 1]
    assert found.step.tolist() == [1, 0]
    assert found.classes.tolist() == [1, 0]
    assert found.scores.tolist() == pytest.approx([0.9, 0.7])
    expected = torch.tensor(
        [[2.5 / 8, 2.5 / 8, 6.5 / 8, 4.5 / 8], [0.5 / 8, 5.5 / 8, 2.5 / 8, 7.5 / 8]]
    )
    torch.testing.assert_close(found.boxes, expected)


def test_steps_that_are_not_real_say_nothing() -> None:
    head = empty_head()
    put(head, (0, 2, 0, 3, 3), 0.9, 0)
    assert len(decode_steps(head, torch.tensor([3, 3]), ANCHORS)) == 1
    assert len(decode_steps(head, torch.tensor([2, 3]), ANCHORS)) == 0


def test_a_second_box_on_one_thing_is_suppressed_unless_it_is_of_another_class() -> None:
    head = empty_head()
    put(head, (0, 0, 0, 3, 3), 0.9, 0)
    put(head, (0, 0, 0, 3, 4), 0.8, 0)
    real = torch.tensor([3, 3])
    assert len(decode_steps(head, real, ANCHORS, iou_threshold=0.3)) == 1
    assert len(decode_steps(head, real, ANCHORS, iou_threshold=0.5)) == 2
    put(other := empty_head(), (0, 0, 0, 3, 3), 0.9, 0)
    put(other, (0, 0, 0, 3, 4), 0.8, 1)
    assert len(decode_steps(other, real, ANCHORS, iou_threshold=0.3)) == 2


def test_boxes_end_at_the_border_of_the_picture() -> None:
    head = empty_head()
    put(head, (0, 0, 1, 0, 0), 0.9, 0)
    (box,) = decode_steps(head, torch.tensor([1, 1]), ANCHORS).boxes.tolist()
    assert box == pytest.approx([0.0, 0.0, 2.5 / 8, 1.5 / 8])


def test_thresholds_and_counts_bound_what_is_said() -> None:
    head = empty_head()
    for place, score in enumerate((0.9, 0.5, 0.2)):
        put(head, (0, 0, 0, 1, 3 * place), score, 0)
    real = torch.tensor([1, 1])
    assert len(decode_steps(head, real, ANCHORS, score_threshold=0.4)) == 2
    surest = decode_steps(head, real, ANCHORS, max_boxes=1)
    assert surest.scores.tolist() == pytest.approx([0.9])
    with pytest.raises(InvalidValueError, match="score_threshold 2 must be from 0 to 1"):
        decode_steps(head, real, ANCHORS, score_threshold=2.0)
