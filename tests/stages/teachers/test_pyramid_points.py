import pytest
import torch

from avkd.stages.detection.matching import IGNORED, NEGATIVE
from avkd.stages.teachers.pyramid_points import Points, match_points, place_points

SEEN = torch.tensor([False])


def middle_of(points: Points, stride: int) -> torch.Tensor:
    return points.centres[points.strides == stride]


def test_points_are_the_middles_of_cells_the_finest_level_first_by_rows() -> None:
    points = place_points(64, 96)
    assert points.strides.tolist() == [8.0] * 96 + [16.0] * 24 + [32.0] * 6
    assert points.centres[:2].tolist() == [[4, 4], [12, 4]]
    assert points.centres[12].tolist() == [4, 12]
    assert points.centres[-1].tolist() == [80, 48]


def test_a_box_decodes_from_its_distances_to_every_point() -> None:
    points = place_points(64, 64)
    box = torch.tensor([10.0, 20.0, 50.0, 44.0])
    distances = torch.cat([points.centres - box[:2], box[2:] - points.centres], dim=1)
    torch.testing.assert_close(points.decode(distances), box.expand(len(distances), 4))


@pytest.mark.parametrize(("side", "stride"), [(10, 8), (40, 8), (100, 16), (180, 32), (250, 32)])
def test_the_size_of_a_box_decides_which_level_finds_it_at_its_middle(
    side: int, stride: int
) -> None:
    points = place_points(256, 256)
    low, high = 132 - side / 2, 132 + side / 2
    matched = match_points(points, torch.tensor([[low, low, high, high]]), SEEN)
    away = (points.centres - 132).abs().amax(dim=1)
    nearest = torch.where(matched == 0, away, torch.inf).argmin()
    assert points.strides[nearest] == stride


def test_only_points_near_the_middle_and_inside_are_for_a_box() -> None:
    points = place_points(64, 64)
    matched = match_points(points, torch.tensor([[8.0, 24.0, 48.0, 40.0]]), SEEN)
    found = middle_of(points, 8)[matched[: 8 * 8] == 0]
    # Within 12 of the middle (28, 32) each way, and between 24 and 40 of y.
    assert sorted(found.tolist()) == [[20, 28], [20, 36], [28, 28], [28, 36], [36, 28], [36, 36]]
    assert set(matched.tolist()) == {0, NEGATIVE}


def test_of_two_boxes_the_smaller_has_the_points_that_both_want() -> None:
    points = place_points(64, 64)
    boxes = torch.tensor([[8.0, 8.0, 56.0, 56.0], [20.0, 20.0, 44.0, 44.0]])
    matched = match_points(points, boxes, torch.tensor([False, False]))
    at_middle = (points.centres == 28).all(dim=1) & (points.strides == 8)
    assert matched[at_middle].tolist() == [1]


def test_points_in_an_ignored_box_count_for_neither_but_leave_others_their_own() -> None:
    points = place_points(64, 64)
    boxes = torch.tensor([[0.0, 0.0, 32.0, 32.0], [16.0, 16.0, 40.0, 40.0]])
    matched = match_points(points, boxes, torch.tensor([True, False]))
    inside = (points.centres < 32).all(dim=1)
    assert (matched[inside & (matched != 1)] == IGNORED).all()
    assert (matched == 1).any()
    assert (matched[inside] == 1).any()
    assert not (matched == 0).any()
    assert (matched[(points.centres > 40).any(dim=1)] == NEGATIVE).all()


def test_a_picture_without_boxes_is_background_everywhere() -> None:
    matched = match_points(place_points(64, 64), torch.zeros(0, 4), torch.zeros(0).bool())
    assert (matched == NEGATIVE).all()
