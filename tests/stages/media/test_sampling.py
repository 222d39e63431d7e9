import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avkd.errors import InvalidValueError
from avkd.stages.media.sampling import cut_recording, pick_frames, step_instants
from avkd.stages.types import ClipPolicy, ClipSpan

policies = st.builds(
    lambda steps, step, frames, tail: ClipPolicy(
        clip_seconds=steps * step, step_seconds=step, frames_per_step=frames, tail=tail
    ),
    steps=st.integers(1, 12),
    step=st.sampled_from([0.1, 0.5, 0.96, 1.0, 2.5, 5.0]),
    frames=st.integers(1, 4),
    tail=st.sampled_from(["keep", "drop"]),
)
durations = st.one_of(st.just(0.0), st.floats(0.01, 100.0))
# The machine may be busy: a slow example is not a wrong one.
unhurried = settings(deadline=None, max_examples=50)


@unhurried
@given(durations, policies)
def test_clips_follow_one_another_without_gap_or_overlap(duration, policy):
    spans = cut_recording(duration, policy)
    expected_start = 0.0
    for span in spans:
        assert span.start_seconds == pytest.approx(expected_start)
        expected_start = span.start_seconds + span.duration_seconds
    assert all(span.num_steps == policy.num_steps for span in spans[:-1])


@unhurried
@given(durations, policies)
def test_clips_cover_all_but_less_than_a_step_and_never_more_than_the_recording(duration, policy):
    policy = ClipPolicy(clip_seconds=policy.clip_seconds, step_seconds=policy.step_seconds)
    spans = cut_recording(duration, policy)
    covered = sum(span.duration_seconds for span in spans)
    assert covered <= duration + 0.0021
    assert covered > duration - policy.step_seconds or duration == 0


@unhurried
@given(durations, policies)
def test_instants_ascend_inside_their_clip_and_steps(duration, policy):
    for span in cut_recording(duration, policy):
        instants = step_instants(span, policy)
        assert instants.shape == (span.num_steps * policy.frames_per_step,)
        assert (np.diff(instants) > 0).all()
        steps = (instants - span.start_seconds) / (span.duration_seconds / span.num_steps)
        assert np.floor(steps).astype(int).tolist() == [
            step for step in range(span.num_steps) for _ in range(policy.frames_per_step)
        ]


@pytest.mark.parametrize(
    ("duration", "num_steps"),
    [
        (5.0, 5),
        (5.000000001, 5),
        (4.999999, 5),
        (4.9985, 5),
        (4.98, 4),
        (149 * 1001 / 30000, 4),
        (150 * 1001 / 30000, 5),
    ],
)
def test_a_step_is_neither_gained_nor_lost_by_rounding(duration, num_steps):
    (span,) = cut_recording(duration, ClipPolicy(clip_seconds=5, step_seconds=1))
    assert (span.num_steps, span.duration_seconds) == (num_steps, float(num_steps))


def test_a_recording_that_ends_within_rounding_of_a_clip_has_no_empty_clip_after_it():
    policy = ClipPolicy(clip_seconds=5, step_seconds=1)
    assert [s.num_steps for s in cut_recording(10.0019, policy)] == [5, 5]
    assert [s.num_steps for s in cut_recording(0.1 * 3 * 100, policy)] == [5] * 6


def test_a_last_clip_keeps_its_whole_steps_or_is_dropped():
    kept = cut_recording(53.0, ClipPolicy())
    assert [(s.start_seconds, s.num_steps) for s in kept] == [(0, 4), (20, 4), (40, 2)]
    assert cut_recording(53.0, ClipPolicy(tail="drop")) == kept[:2]


def test_a_recording_shorter_than_a_step_is_one_clip_with_its_middle_frame():
    policy = ClipPolicy()
    (span,) = cut_recording(3.0, policy)
    assert span == ClipSpan(start_seconds=0.0, duration_seconds=3.0, num_steps=1)
    assert step_instants(span, policy).tolist() == [1.5]
    assert cut_recording(3.0, ClipPolicy(tail="drop")) == ()
    assert cut_recording(0.0, policy) == ()


@pytest.mark.parametrize("duration", [-1.0, float("nan"), float("inf")])
def test_a_duration_that_is_no_duration_is_refused(duration):
    with pytest.raises(InvalidValueError, match="finite"):
        cut_recording(duration, ClipPolicy())


def test_frames_are_picked_by_when_they_are_on_screen():
    variable = [0.0, 0.04, 1.0, 1.5, 7.0]
    assert pick_frames(variable, [0.0, 0.039, 0.04, 0.99, 1.2, 6.9, 7.0, 99]).tolist() == [
        *(0, 0, 1, 1, 2, 3, 4, 4)
    ]
    assert pick_frames([0.5, 1.0], [0.1]).tolist() == [0]


@unhurried
@given(
    st.lists(st.integers(1, 1000), min_size=1, max_size=50), st.lists(st.floats(0, 60), max_size=20)
)
def test_the_picked_frame_is_the_last_that_appeared(intervals_ms, instants):
    timestamps = np.cumsum(intervals_ms) / 1000
    for instant, index in zip(instants, pick_frames(timestamps, instants), strict=True):
        appeared = [i for i, t in enumerate(timestamps) if t <= instant + 1e-6]
        assert index == (appeared[-1] if appeared else 0)


def test_a_frame_that_appears_at_the_instant_is_taken_at_ntsc_rates():
    timestamps = np.arange(100_000) * 1001 / 30000
    assert (pick_frames(timestamps, timestamps.astype(np.float64)) == np.arange(100_000)).all()


def test_nothing_can_be_picked_from_no_frames():
    with pytest.raises(InvalidValueError, match="no frames"):
        pick_frames([], [1.0])
