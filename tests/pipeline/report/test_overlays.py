from itertools import pairwise

import numpy as np
import pytest

from avkd.pipeline.report.overlays import (
    NO_TRACK,
    TEACHERS,
    TRUTH,
    draw_boxes,
    shrink,
    track_colour,
)
from avkd.stages.metrics.boxes import FrameBoxes

PICTURE = np.full((80, 120, 3), 40, np.uint8)
BOX = (0.25, 0.5, 0.5, 0.75)
"""Pixels 30 to 59 across, 40 to 59 down."""


def frame(*boxes, ids=None, scores=None) -> FrameBoxes:
    return FrameBoxes(
        time_seconds=0.0,
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        scores=np.array(scores or [0.9] * len(boxes), np.float32),
        classes=np.zeros(len(boxes), np.int32),
        track_ids=None if ids is None else np.array(ids, np.int64),
    )


def test_truth_is_a_thin_white_line_on_the_sides_of_the_box():
    drawn = draw_boxes(PICTURE, truth=frame(BOX))
    is_white = (drawn == TRUTH).all(axis=2)
    expected = np.zeros((80, 120), bool)
    expected[40:60, 30:60] = True
    expected[41:59, 31:59] = False
    assert (is_white == expected).all()
    assert (drawn[~expected] == 40).all()


def test_what_was_said_is_a_thick_line_in_the_colour_of_its_track():
    drawn = draw_boxes(PICTURE, frame(BOX, ids=[3]))
    assert drawn[50, 30].tolist() == list(track_colour(3))
    assert drawn[50, 31].tolist() == list(track_colour(3))
    assert drawn[50, 45].tolist() == [40, 40, 40]
    # The label stands above the box.
    assert (drawn[:40] != 40).any()
    assert (drawn[61:] == 40).all()


def test_what_a_teacher_saw_is_a_thin_dashed_line():
    drawn = draw_boxes(PICTURE, teachers=[frame(BOX)])
    is_drawn = (drawn == TEACHERS["blue"]).all(axis=2)
    sides = np.zeros((80, 120), bool)
    sides[40:60, 30:60] = True
    sides[41:59, 31:59] = False
    assert not is_drawn[~sides].any()
    assert 0.5 < is_drawn[sides].mean() < 0.9
    assert (drawn[~is_drawn] == 40).all()


def test_every_teacher_has_a_colour_of_its_own_and_the_fourth_that_of_the_first():
    boxes = [(x, 0.2, x + 0.2, 0.8) for x in (0.0, 0.25, 0.5, 0.75)]
    drawn = draw_boxes(PICTURE, teachers=[frame(box) for box in boxes])
    found = [
        {name for name, colour in TEACHERS.items() if (part == colour).all(axis=2).any()}
        for part in np.split(drawn, 4, axis=1)
    ]
    assert found == [{"blue"}, {"orange"}, {"pink"}, {"blue"}]


def test_wide_pictures_are_made_smaller_and_others_stay():
    assert shrink(PICTURE, 60).shape == (40, 60, 3)
    assert shrink(PICTURE, 120) is PICTURE


def test_the_picture_that_is_given_stays_as_it_is():
    given = PICTURE.copy()
    draw_boxes(given, frame(BOX), frame(BOX))
    assert (given == PICTURE).all()


def test_boxes_at_the_edges_stay_in_the_picture():
    drawn = draw_boxes(PICTURE, frame((0, 0, 1, 1), ids=[0]), frame((1.0, 1.0, 1.0, 1.0)))
    assert drawn[79, 119].tolist() == list(TRUTH)
    assert drawn[40, 0].tolist() == list(track_colour(0))
    assert drawn.shape == PICTURE.shape


def test_a_picture_can_be_enlarged():
    drawn = draw_boxes(PICTURE, truth=frame(BOX), scale=3)
    assert drawn.shape == (240, 360, 3)
    assert drawn[150, 90].tolist() == list(TRUTH)


def test_tracks_that_follow_each_other_are_told_apart():
    colours = [np.array(track_colour(number), int) for number in range(12)]
    apart = [np.abs(a - b).sum() for a, b in pairwise(colours)]
    assert min(apart) > 200
    assert track_colour(-1) == NO_TRACK


@pytest.mark.parametrize("ids", [None, [-1]])
def test_boxes_without_a_track_are_grey(ids):
    assert draw_boxes(PICTURE, frame(BOX, ids=ids))[50, 30].tolist() == list(NO_TRACK)
