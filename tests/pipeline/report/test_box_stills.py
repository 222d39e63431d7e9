import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avkd.pipeline.report.box_stills import choose_steps, describe_choice
from avkd.pipeline.report.shown import ShownRecording, ShownRun, ShownStep
from avkd.stages.metrics.boxes import FrameBoxes


def frame(seconds, num_boxes):
    return FrameBoxes(
        time_seconds=seconds,
        boxes=np.tile(np.array([[0.1, 0.1, 0.2, 0.2]], np.float32), (num_boxes, 1)),
        scores=np.ones(num_boxes, np.float32),
        classes=np.zeros(num_boxes, np.int32),
    )


def recording(name, group, vehicles):
    """A step a character: a digit is so many vehicles, ``?`` is not known."""
    steps = [
        ShownStep(
            time_seconds=float(number),
            said=frame(float(number), 0),
            truth=None if each == "?" else frame(float(number), int(each)),
            teachers=(),
        )
        for number, each in enumerate(vehicles)
    ]
    return ShownRecording(recording_id=name, group=group, pictures="", sound="", steps=tuple(steps))


def shown(*recordings, truth="boxes.csv", column="light"):
    return ShownRun(
        run="run",
        split="test",
        column=column,
        teacher_min_score=0.5,
        teachers=(),
        truth=truth,
        step_seconds=1.0,
        recordings=recordings,
        notes=(),
    )


def places(chosen):
    return [(one.recording.recording_id, int(one.step.time_seconds)) for one in chosen]


def test_pictures_are_spread_over_recordings_before_they_are_over_a_recording():
    day = [recording(f"d{number}", "day", "0111") for number in range(4)]
    assert places(choose_steps(shown(*day), 3)) == [("d1", 2), ("d3", 2), ("d2", 0)]
    assert places(choose_steps(shown(day[0]), 3)) == [("d0", 1), ("d0", 3), ("d0", 0)]


def test_every_light_has_its_share_night_included():
    names = ("day", "night", "rain")
    lights = [recording(f"{light}{n}", light, "01") for light in names for n in "ab"]
    chosen = choose_steps(shown(*lights), 7)
    assert [one.recording.group for one in chosen[:-1]] == [n for n in names for _ in range(2)]
    few = choose_steps(shown(*lights), 3)
    assert [one.recording.group for one in few[:-1]] == ["day", "night"]


def test_pictures_that_nobody_looked_at_are_not_taken_for_empty():
    assert places(choose_steps(shown(recording("d", "day", "??1?")), 4)) == [("d", 2)]


def test_a_choice_of_none_is_none():
    assert choose_steps(shown(recording("d", "day", "0101")), 0) == ()
    assert choose_steps(shown(), 5) == ()


def test_the_choice_is_put_into_words_that_fit():
    one, two = recording("d", "day", "1"), recording("n", "night", "1")
    assert "of each light as many" in describe_choice(shown(one, two))
    assert "of each" not in describe_choice(shown(one))
    assert "true" not in describe_choice(shown(one, truth=""))


@given(
    vehicles=st.lists(st.text("0123?", max_size=6), max_size=6),
    number=st.integers(0, 12),
    has_truth=st.booleans(),
)
def test_as_many_are_chosen_as_there_are_and_none_twice(vehicles, number, has_truth):
    recordings = [
        recording(f"r{place}", "day" if place % 2 else "night", each)
        for place, each in enumerate(vehicles)
    ]
    chosen = places(choose_steps(shown(*recordings, truth="t" if has_truth else ""), number))
    assert len(set(chosen)) == len(chosen) <= number
    if not has_truth:
        return
    by_place = {
        (f"r{place}", step): each
        for place, text in enumerate(vehicles)
        for step, each in enumerate(text)
    }
    kinds = [by_place[place] for place in chosen]
    assert "?" not in kinds
    assert kinds.count("0") == min(int(number > 1), sum(each == "0" for each in by_place.values()))


@pytest.mark.parametrize("number", [1, 2, 5])
def test_no_frame_stands_for_the_best_one(number):
    """What was said is not looked at: other boxes give the same choice."""
    before = recording("d", "day", "01110111")
    said = [
        ShownStep(time_seconds=step.time_seconds, said=step.truth, truth=step.truth, teachers=())
        for step in before.steps
    ]
    after = ShownRecording(recording_id="d", group="day", pictures="", sound="", steps=tuple(said))
    first, second = (places(choose_steps(shown(each), number)) for each in (before, after))
    assert first == second
