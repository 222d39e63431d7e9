import pytest
import torch

from avkd.stages.detection.matching import IGNORED, NEGATIVE
from avkd.stages.teachers.pyramid_detector import PyramidOutput
from avkd.stages.teachers.pyramid_loss import LabelledBoxes, pyramid_loss
from avkd.stages.teachers.pyramid_points import match_points, place_points

POINTS = place_points(64, 64)
NUM = len(POINTS.strides)


def labelled(*boxes: tuple[float, ...], ignored: tuple[bool, ...] = ()) -> LabelledBoxes:
    return LabelledBoxes(
        boxes=torch.tensor(boxes).reshape(-1, 4),
        classes=torch.zeros(len(boxes), dtype=torch.long),
        is_ignored=torch.tensor(ignored or (False,) * len(boxes)).bool(),
    )


def say(boxes: torch.Tensor, logits: torch.Tensor, quality: torch.Tensor) -> PyramidOutput:
    """What a network says that knows the box (B, 4) of each picture from every point."""
    distances = torch.cat(
        [POINTS.centres - boxes[:, None, :2], boxes[:, None, 2:] - POINTS.centres], dim=2
    )
    return PyramidOutput(
        class_logits=logits[..., None], distances=distances, quality_logits=quality, levels=()
    )


def test_whoever_knows_everything_has_no_loss() -> None:
    truth = [labelled((8.0, 12.0, 40.0, 36.0)), labelled((20.0, 20.0, 60.0, 50.0))]
    matched = torch.stack([match_points(POINTS, t.boxes, t.is_ignored) for t in truth])
    logits = torch.where(matched > NEGATIVE, 20.0, -20.0)
    said = say(torch.cat([t.boxes for t in truth]), logits, torch.full((2, NUM), 20.0))
    parts = pyramid_loss(said, POINTS, truth)
    assert sum(float(value) for value in parts.values()) < 1e-4


def test_a_box_elsewhere_costs_twice_one_minus_its_generalised_iou() -> None:
    truth = [labelled((0.0, 16.0, 32.0, 48.0))]
    # Half of it: IoU one half, and the hull is the box.
    said = say(torch.tensor([[0.0, 16.0, 16.0, 48.0]]), torch.zeros(1, NUM), torch.zeros(1, NUM))
    parts = pyramid_loss(said, POINTS, truth)
    assert float(parts["boxes"]) == pytest.approx(2 * 0.5, rel=1e-5)
    # The quality says one half, which is right; its entropy is left.
    assert float(parts["quality"]) == pytest.approx(0.693147, rel=1e-5)


def test_points_in_ignored_boxes_have_no_gradient() -> None:
    truth = [labelled((0.0, 0.0, 40.0, 40.0), (44.0, 44.0, 60.0, 60.0), ignored=(True, False))]
    matched = match_points(POINTS, truth[0].boxes, truth[0].is_ignored)
    logits = torch.zeros(1, NUM, requires_grad=True)
    said = say(torch.tensor([[44.0, 44.0, 60.0, 60.0]]), logits, torch.zeros(1, NUM))
    pyramid_loss(said, POINTS, truth)["classes"].backward()
    assert logits.grad is not None
    assert (matched == IGNORED).any()
    assert not logits.grad[0, matched == IGNORED].any()
    assert logits.grad[0, matched != IGNORED].all()


def test_boxes_of_a_batch_are_not_mixed_up_between_pictures() -> None:
    truth = [labelled(), labelled((8.0, 8.0, 40.0, 40.0)), labelled((20.0, 24.0, 60.0, 50.0))]
    boxes = torch.tensor([[0.0, 0.0, 1.0, 1.0], [8.0, 8.0, 40.0, 40.0], [20.0, 24.0, 60.0, 50.0]])
    parts = pyramid_loss(say(boxes, torch.zeros(3, NUM), torch.zeros(3, NUM)), POINTS, truth)
    assert float(parts["boxes"]) == pytest.approx(0, abs=1e-5)


def test_a_batch_that_shows_nothing_has_a_loss_and_no_nan() -> None:
    said = say(torch.zeros(1, 4), torch.zeros(1, NUM), torch.zeros(1, NUM))
    parts = pyramid_loss(said, POINTS, [labelled()])
    # Focal: 3/4 of a quarter of log 2 at every point.
    assert float(parts["classes"]) == pytest.approx(NUM * 0.75 * 0.25 * 0.693147, rel=1e-4)
    assert float(parts["boxes"]) == float(parts["quality"]) == 0
