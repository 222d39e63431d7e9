import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avkd.errors import InvalidValueError
from avkd.pipeline.extraction.plan import count_bytes, count_shards, plan_clips, planned_failure
from avkd.stages.types import ClipPolicy
from avkd.storage.schema import OutputSpec, ProducerSpec, Recording

policies = st.builds(
    lambda step, num_steps, frames, tail: ClipPolicy(
        clip_seconds=step * num_steps, step_seconds=step, frames_per_step=frames, tail=tail
    ),
    st.sampled_from([0.5, 1.0, 2.5, 5.0]),
    st.integers(1, 6),
    st.integers(1, 3),
    st.sampled_from(["keep", "drop"]),
)
durations = st.lists(st.one_of(st.none(), st.floats(0, 300)), min_size=1, max_size=12)


def build_recordings(seconds: list[float | None]) -> list[Recording]:
    return [
        Recording(
            recording_id=f"r{number}",
            streams={"rgb": f"/r{number}.mp4"},
            duration_seconds=each,
            metadata={"label": number},
        )
        for number, each in enumerate(seconds)
    ]


@given(
    seconds=durations, policy=policies, first_shard=st.integers(0, 5), per_shard=st.integers(1, 9)
)
def test_rows_are_consecutive_and_every_recording_has_one(
    seconds: list[float | None], policy: ClipPolicy, first_shard: int, per_shard: int
) -> None:
    first_row = first_shard * per_shard
    clips = plan_clips(
        build_recordings(seconds), policy, first_row=first_row, rows_per_shard=per_shard
    )
    assert [clip.row for clip in clips] == list(range(first_row, first_row + len(clips)))
    in_order = list(dict.fromkeys(clip.recording_id for clip in clips))
    assert in_order == [f"r{number}" for number in range(len(seconds))]
    assert len({clip.clip_id for clip in clips}) == len(clips)


@given(seconds=durations, policy=policies)
def test_a_clip_has_whole_steps_inside_its_recording(
    seconds: list[float | None], policy: ClipPolicy
) -> None:
    recordings = {each.recording_id: each for each in build_recordings(seconds)}
    for clip in plan_clips(recordings.values(), policy, first_row=0, rows_per_shard=4):
        assert 1 <= clip.num_steps <= policy.num_steps
        if planned_failure(clip) is None:
            whole = recordings[clip.recording_id].duration_seconds
            assert whole is not None
            assert clip.start_seconds + clip.duration_seconds <= whole + 0.01
            assert clip.duration_seconds > 0


@given(seconds=durations, policy=policies, split=st.integers(0, 12))
def test_an_append_plans_the_clips_that_one_plan_would_have(
    seconds: list[float | None], policy: ClipPolicy, split: int
) -> None:
    recordings = build_recordings(seconds)
    at_once = plan_clips(recordings, policy, first_row=0, rows_per_shard=1)
    first = plan_clips(recordings[:split], policy, first_row=0, rows_per_shard=1)
    rest = plan_clips(recordings[split:], policy, first_row=len(first), rows_per_shard=1)
    assert (*first, *rest) == at_once


def test_a_recording_without_a_duration_is_a_failed_row_with_its_reason() -> None:
    (clip,) = plan_clips(
        build_recordings([None]),
        ClipPolicy(),
        first_row=0,
        rows_per_shard=4,
        unreadable={"r0": ("decode_error", "not a video")},
    )
    assert planned_failure(clip) == ("decode_error", "not a video")
    assert (clip.duration_seconds, clip.num_steps) == (0.0, 1)
    assert clip.metadata["label"] == 0


def test_a_recording_too_short_for_a_clip_is_a_failed_row() -> None:
    (clip,) = plan_clips(
        build_recordings([3.0]), ClipPolicy(tail="drop"), first_row=0, rows_per_shard=4
    )
    failure = planned_failure(clip)
    assert failure is not None
    assert failure[0] == "too_short"
    assert "3 s" in failure[1]


def test_a_planned_clip_has_no_failure() -> None:
    (clip,) = plan_clips(build_recordings([20.0]), ClipPolicy(), first_row=0, rows_per_shard=4)
    assert planned_failure(clip) is None
    assert dict(clip.metadata) == {"label": 0}


def test_rows_that_begin_inside_a_shard_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="first row 3 is not the start of a shard of 4"):
        plan_clips(build_recordings([9.0]), ClipPolicy(), first_row=3, rows_per_shard=4)


@given(num_clips=st.integers(0, 1000), per_shard=st.integers(1, 50))
def test_shards_hold_all_clips_and_none_is_empty(num_clips: int, per_shard: int) -> None:
    num_shards = count_shards(num_clips, per_shard)
    assert num_shards * per_shard >= num_clips > (num_shards - 1) * per_shard or num_clips == 0
    assert num_shards == math.ceil(num_clips / per_shard)


def test_bytes_are_counted_by_layout() -> None:
    dense = OutputSpec(name="e", shape=(4, 10), dtype="float16", axes=("step", "feature"))
    sparse = OutputSpec(
        name="l",
        shape=(4, 1000),
        dtype="float16",
        axes=("step", "class"),
        layout="sparse_logits",
        num_kept=8,
    )
    boxes = OutputSpec(name="b", shape=(4,), dtype="float32", axes=("step",), layout="boxes")
    spec = ProducerSpec(kind="teacher", name="t", outputs=(dense, sparse, boxes), fingerprint={})
    # Dense: 40 values of 2 bytes. Sparse: 4 vectors of 8 values and ids and 4 log-sum-exps.
    assert count_bytes(spec, 3) == 3 * (40 * 2 + 4 * (8 * (2 + 2) + 4 * 4))


def test_recordings_without_files_are_one_row_each() -> None:
    points = [Recording(recording_id=f"p{n}", streams={}, metadata={"alpha": n}) for n in range(3)]
    clips = plan_clips(points, None, first_row=4, rows_per_shard=2)
    assert [clip.row for clip in clips] == [4, 5, 6]
    assert {(c.start_seconds, c.duration_seconds, c.num_steps) for c in clips} == {(0.0, 0.0, 1)}
    assert [clip.metadata for clip in clips] == [{"alpha": n} for n in range(3)]
    assert all(planned_failure(clip) is None for clip in clips)
