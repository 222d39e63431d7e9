"""Which clips are tried again, and for whom; on a store without files."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from avkd.pipeline.extraction.buffers import ShardContent
from avkd.pipeline.extraction.plan import FAILURE_REASON, FAILURE_STATUS
from avkd.pipeline.extraction.retrying import (
    FAILED_STATUSES,
    HELD_BY,
    find_failed,
    held_places,
    plan_again,
    recordings_to_probe,
    show_held,
    skip_held,
    stored_recordings,
)
from avkd.pipeline.extraction.vectors import describe_vector
from avkd.stages.types import ClipPolicy, DecodedClip
from avkd.storage.clips import clip_id
from avkd.storage.schema import ClipRow, OutputSpec, ProducerSpec, Recording
from avkd.storage.store import Store

POLICY = ClipPolicy(clip_seconds=2.0, step_seconds=1.0)
Failures = Mapping[int, tuple[str, str]]


def row_of(number: int, seconds: float = 2.0, **metadata: object) -> ClipRow:
    name = f"r{number}"
    return ClipRow(
        row=number,
        clip_id=clip_id(name, 0.0, seconds),
        recording_id=name,
        streams={"rgb": f"/{name}.mp4"},
        start_seconds=0.0,
        duration_seconds=seconds,
        num_steps=2,
        metadata={"place": "quay", **metadata},
    )


def fill(
    store: Store,
    name: str,
    failures: Failures,
    inputs: tuple[str, ...] = (),
    spec: ProducerSpec | None = None,
) -> None:
    fingerprint = {"name": name, **({"inputs": dict.fromkeys(inputs, "ab")} if inputs else {})}
    output = OutputSpec(name="embedding", shape=(2,), dtype="float32", axes=("feature",))
    spec = spec or ProducerSpec(
        kind="teacher", name=name, outputs=(output,), fingerprint=fingerprint
    )
    store.declare(spec)
    for shard in store.missing_shards(name):
        rows = {clip.row for clip in store.read_clips(shard)}
        store.write_shard(
            name,
            shard,
            {spec.outputs[0].name: np.ones((4, 2), np.float32)},
            failures={row: why for row, why in failures.items() if row in rows},
            timings={},
        )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store.create(str(tmp_path / "store"), clip_policy={}, rows_per_shard=4)
    made.plan_clips([row_of(number) for number in range(4)])
    return made


def test_a_clip_is_tried_again_for_those_that_lack_it(store: Store) -> None:
    fill(store, "eye", {1: ("timeout", "slow"), 2: ("partial", "short")})
    fill(store, "ear", {3: ("no_audio", "silent")})
    found = {each.clip.row: each.held_by for each in find_failed(store, FAILED_STATUSES)}
    assert found == {1: ("ear",), 3: ("eye",)}
    assert [each.clip.row for each in find_failed(store, ["timeout"])] == [1]
    partial = find_failed(store, ["partial"])
    assert [(each.clip.row, each.held_by) for each in partial] == [(2, ("ear",))]


def test_what_a_trained_teacher_looks_at_is_computed_with_it(store: Store) -> None:
    fill(store, "eye", {1: ("timeout", "slow")})
    fill(store, "ear", {})
    fill(store, "nose", {})
    fill(store, "both", {1: ("timeout", "eye: slow")}, inputs=("eye", "ear"))
    fill(store, "top", {1: ("timeout", "both: slow")}, inputs=("both",))
    (failed,) = find_failed(store, FAILED_STATUSES)
    assert failed.held_by == ("nose",)


def test_a_vector_that_the_corpus_does_not_give_is_not_tried_again(store: Store) -> None:
    nothing = ("skipped", "the corpus gave no 'pose' when the row was planned")
    endless = ("not_finite", "'pose' of the corpus has values that are not finite")
    fill(store, "pose", {1: nothing, 2: endless}, spec=describe_vector("pose", 2))
    fill(store, "ear", {})
    # A teacher that looks at it has the same to say each time, and so has who looks at that one.
    of_pose = {1: ("skipped", "pose: nothing"), 2: ("not_finite", "pose: endless")}
    fill(store, "both", of_pose, inputs=("pose", "ear"))
    fill(store, "top", {**of_pose, 0: ("crashed", "by itself")}, inputs=("both",))
    assert [each.clip.row for each in find_failed(store, FAILED_STATUSES)] == [0]
    assert find_failed(store, ["skipped", "not_finite"]) == ()
    # Who does not look at it is tried again.
    fill(store, "eye", {1: ("skipped", "partial, and dropped: cut")})
    found = {each.clip.row: each.held_by for each in find_failed(store, FAILED_STATUSES)}
    assert found[1] == ()
    assert list(found) == [0, 1]


def test_a_clip_that_waits_is_not_failed_and_one_that_went_well_later_neither(
    store: Store,
) -> None:
    fill(store, "eye", {1: ("timeout", "slow"), 2: ("timeout", "slow")})
    failed = find_failed(store, FAILED_STATUSES)
    store.plan_clips(plan_again(failed, (), {}, None, first_row=4, rows_per_shard=4))
    assert find_failed(store, FAILED_STATUSES) == ()
    fill(store, "eye", {5: ("crashed", "again")})
    (again,) = find_failed(store, FAILED_STATUSES)
    assert (again.clip.row, again.clip.attempt, again.clip.recording_id) == (5, 1, "r2")
    assert store.summary().status == {"ok": 3, "crashed": 1}
    assert store.ok_rows("eye").tolist() == [0, 3, 4]


def test_new_rows_are_of_the_same_clips_with_the_next_attempt(store: Store) -> None:
    fill(store, "eye", {1: ("timeout", "slow")})
    fill(store, "ear", {})
    (row,) = plan_again(
        find_failed(store, FAILED_STATUSES), (), {}, POLICY, first_row=4, rows_per_shard=4
    )
    before = store.read_clips(0)[1]
    assert (row.row, row.attempt, row.clip_id) == (4, 1, before.clip_id)
    assert row.metadata == {"place": "quay", HELD_BY: ["ear"]}
    assert held_places("ear", [before, row], 4) == {0}
    assert held_places("eye", [before, row], 4) == frozenset()


def test_a_recording_that_could_not_be_cut_is_cut_when_it_can_be(tmp_path: Path) -> None:
    store = Store.create(str(tmp_path / "s"), clip_policy={"clip_seconds": 2.0}, rows_per_shard=4)
    why = {FAILURE_STATUS: "decode_error", FAILURE_REASON: "broken"}
    store.plan_clips([row_of(0, 0.0, **why), row_of(1), row_of(2, 0.0, **why)])
    broken = dict.fromkeys((0, 2, 6), ("decode_error", "broken"))
    fill(store, "eye", broken)
    failed = find_failed(store, FAILED_STATUSES)
    asked = recordings_to_probe(failed)
    assert [(each.recording_id, each.metadata) for each in asked] == [
        ("r0", {"place": "quay"}),
        ("r2", {"place": "quay"}),
    ]
    probed = [
        Recording(recording_id="r0", streams={"rgb": "/r0.mp4"}, duration_seconds=4.0),
        Recording(recording_id="r2", streams={"rgb": "/r2.mp4"}),
    ]
    rows = plan_again(
        failed, probed, {"r2": ("timeout", "slow")}, POLICY, first_row=4, rows_per_shard=4
    )
    assert [(r.row, r.recording_id, r.duration_seconds, r.attempt) for r in rows] == [
        (4, "r0", 2.0, 1),
        (5, "r0", 2.0, 1),
        (6, "r2", 0.0, 1),
    ]
    assert rows[2].metadata[FAILURE_STATUS] == "timeout"
    store.plan_clips(rows)
    fill(store, "eye", broken)
    assert store.summary().status == {"ok": 3, "decode_error": 1}
    assert store.attempts().replanned == {0}
    assert store.content_digest().endswith("-4")
    assert [each.recording_id for each in stored_recordings(store)] == ["r0", "r1", "r2"]


def test_who_holds_a_clip_is_shown_nothing_of_it(store: Store) -> None:
    clip = row_of(0, **{HELD_BY: ["ear"]})
    decoded = DecodedClip(clip_id=clip.clip_id, frames_status="ok", waveform_status="ok")
    assert show_held("eye", clip, decoded) is decoded
    shown = show_held("ear", clip, decoded)
    assert (shown.frames_status, shown.waveform_status) == ("skipped", "skipped")
    assert "an earlier attempt" in shown.frames_reason


def test_what_was_computed_of_a_held_row_is_left_out() -> None:
    content = ShardContent(arrays={}, failures={2: ("timeout", "slow")})
    assert skip_held(content, ()) is content
    skipped = skip_held(content, [0])
    assert list(skipped.failures) == [0, 2]
    assert skipped.failures[0][0] == "skipped"
