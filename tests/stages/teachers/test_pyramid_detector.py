import numpy as np
import pytest
import torch

from avkd.errors import InvalidValueError
from avkd.stages.teachers.detector_declaration import MAX_BOXES, SCORE_THRESHOLD
from avkd.stages.teachers.pyramid_detector import PyramidDetector, PyramidOutput, choose_boxes
from avkd.stages.teachers.pyramid_options import (
    PyramidOptions,
    check_picture_size,
    level_shapes,
)

NARROW = PyramidOptions(widths=(4, 6, 8, 8, 8), pyramid_width=8, head_depth=1)


def build(
    options: PyramidOptions = NARROW, *, num_channels: int = 3, num_classes: int = 2
) -> PyramidDetector:
    torch.manual_seed(0)
    return PyramidDetector(
        options, num_channels=num_channels, num_classes=num_classes, picture_size=(96, 64)
    ).eval()


def test_the_default_network_is_small() -> None:
    num = sum(each.numel() for each in build(PyramidOptions()).parameters())
    assert 400_000 < num < 1_000_000


def test_levels_have_the_shapes_that_are_declared_without_the_network() -> None:
    pictures = torch.rand(2, 3, 64, 96)
    _, levels = build()(pictures)
    assert [tuple(each.shape[1:]) for each in levels] == list(level_shapes(NARROW, (96, 64)))
    assert [tuple(each.shape[2:]) for each in levels] == [(8, 12), (4, 6), (2, 3)]


def test_every_point_says_classes_four_distances_above_zero_and_a_quality() -> None:
    said = build().look(torch.rand(2, 3, 64, 96))
    num = 96 + 24 + 6
    assert said.class_logits.shape == (2, num, 2)
    assert said.distances.shape == (2, num, 4)
    assert said.quality_logits.shape == (2, num)
    assert said.distances.min() > 0
    # At first nothing is anywhere.
    assert said.class_logits.sigmoid().max() < 0.03


def test_gray_is_looked_at_once() -> None:
    network = build(num_channels=1)
    pictures = torch.rand(1, 1, 64, 96).expand(-1, 3, -1, -1)
    assert network.stem[0][0].weight.shape[1] == 1
    assert network.look(pictures).class_logits.shape == (1, 126, 2)


def test_a_picture_is_seen_alike_whatever_lies_beside_it() -> None:
    network = build()
    pictures = torch.rand(4, 3, 64, 96)
    with torch.inference_mode():
        together, alone = network.look(pictures), network.look(pictures[2:3])
    torch.testing.assert_close(together.distances[2:3], alone.distances)
    torch.testing.assert_close(together.class_logits[2:3], alone.class_logits)


def test_boxes_and_scores_are_those_of_the_points(monkeypatch: pytest.MonkeyPatch) -> None:
    network = build()
    logits = torch.full((1, 126, 2), -20.0)
    logits[0, 96 + 7, 1] = 20.0  # the level of stride 16, second row, second column: (24, 24)
    distances = torch.ones(1, 126, 4)
    distances[0, 96 + 7] = torch.tensor([12.0, 8.0, 100.0, 24.0])
    quality = torch.zeros(1, 126)  # a quality of one half
    said = PyramidOutput(
        class_logits=logits, distances=distances, quality_logits=quality, levels=()
    )
    monkeypatch.setattr(network, "look", lambda _: said)
    (found,), _ = network(torch.zeros(1, 3, 64, 96))
    # Clipped to the picture of 96 by 64, as fractions.
    np.testing.assert_allclose(found.boxes, [[12 / 96, 16 / 64, 1.0, 48 / 64]])
    assert found.classes.tolist() == [1]
    assert float(found.scores) == pytest.approx(0.5**0.5)


def test_of_boxes_of_one_class_that_overlap_the_surest_stays() -> None:
    boxes = torch.tensor([[0.0, 0.0, 0.5, 0.5], [0.0, 0.0, 0.5, 0.48], [0.5, 0.5, 1.0, 1.0]])
    scores = torch.tensor([[0.6, 0.0], [0.8, 0.7], [0.0, SCORE_THRESHOLD / 2]])
    found = choose_boxes(boxes, scores)
    assert found.scores.tolist() == pytest.approx([0.8, 0.7])
    assert found.classes.tolist() == [0, 1]


def test_no_more_boxes_are_given_than_are_declared() -> None:
    left = torch.arange(200).float() / 200
    boxes = torch.stack([left, 0 * left, left + 0.004, 0 * left + 1], dim=1)
    found = choose_boxes(boxes, torch.linspace(0.1, 0.9, 200)[:, None])
    assert len(found.boxes) == MAX_BOXES
    assert found.scores[0] == pytest.approx(0.9)


@pytest.mark.parametrize("size", [(320, 200), (32, 64), (0, 0)])
def test_pictures_that_do_not_fall_into_cells_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(InvalidValueError, match=r"multiples of 32, 64 or more"):
        check_picture_size(size)


def test_a_network_of_nothing_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="pyramid_width 0"):
        PyramidOptions(pyramid_width=0)
