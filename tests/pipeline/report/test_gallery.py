from dataclasses import replace

import numpy as np
import pytest

from avkd.pipeline.report.gallery import gather_gallery
from avkd.storage.schema import OutputSpec, ProducerSpec
from avkd.storage.store import Store


def test_each_recording_is_shown_once_and_a_failed_or_vanished_one_never(store):
    items = gather_gallery(store, num_items=12)
    assert [item.recording_id for item in items] == ["m0.mp4", "m1.mp4", "m2.mp4"]


def test_a_frame_is_the_one_in_the_middle_of_the_step(store):
    red, green, blue = gather_gallery(store, num_items=12)
    # Step 1 of the first clip is from 1 to 2 s: its middle is 1.5 s, before the movie brightens.
    assert red.at_seconds == pytest.approx(1.5)
    for colour, item in enumerate((red, green, blue)):
        mean = np.asarray(item.picture).reshape(-1, 3).mean(axis=0)
        assert mean.argmax() == colour
        assert mean[colour] == pytest.approx(100, abs=12)


def test_the_classes_are_those_of_the_stored_step_best_first(store):
    item = gather_gallery(store, num_items=12, num_classes=2)[1]
    dense = next(each for each in item.judgements if each.teacher == "seer")
    (name, probability), (_, second) = dense.classes
    assert name == "bell"
    assert probability == pytest.approx(np.exp(6) / (np.exp(6) + 4), abs=1e-3)
    assert second < 0.01


def test_sparse_targets_give_the_same_probabilities_without_names(store):
    item = gather_gallery(store, num_items=12, num_classes=1)[1]
    judged = {each.teacher: each.classes[0] for each in item.judgements}
    assert judged["sparse"][0] == "class 2"
    assert judged["sparse"][1] == pytest.approx(judged["seer"][1], abs=2e-3)


def test_no_more_items_than_asked_for(store):
    assert len(gather_gallery(store, num_items=2)) == 2
    assert gather_gallery(store, num_items=0) == ()


def test_recordings_that_moved_away_are_passed_over(store, movies, monkeypatch):
    path = movies / "m1.mp4"
    away = path.rename(movies / "away.mp4")
    try:
        shown = [item.recording_id for item in gather_gallery(store)]
    finally:
        away.rename(path)
    assert shown == ["m0.mp4", "m2.mp4"]


def test_a_teacher_that_judges_whole_clips_is_shown_with_its_joint_logits(store):
    logits, votes = (
        OutputSpec(
            name=name,
            shape=(5,),
            dtype="float16",
            axes=("class",),
            attributes={"activation": "softmax"},
        )
        for name in ("logits", "logits_frames")
    )
    spec = ProducerSpec(kind="teacher", name="clips", outputs=(logits, votes), fingerprint={})
    store.declare(spec)
    for shard in range(2):
        said = 6.0 * np.eye(5, dtype=np.float32)[[4, 4, 4, 4]]
        arrays = {"logits": said, "logits_frames": np.zeros((4, 5), np.float32)}
        store.write_shard("clips", shard, arrays, failures={}, timings={})
    for item in gather_gallery(store, num_classes=1):
        judged = {each.teacher: each.classes[0] for each in item.judgements}
        assert judged["clips"] == ("class 4", pytest.approx(np.exp(6) / (np.exp(6) + 4), abs=1e-3))


def test_recordings_without_pictures_are_passed_over(store, movies, tmp_path):
    heard = Store.create(str(tmp_path / "heard"), clip_policy=store.clip_policy, rows_per_shard=4)
    clips = store.read_clips(0)
    heard.plan_clips([replace(clip, streams={"audio": clip.streams["rgb"]}) for clip in clips])
    _judge_all(heard)
    assert gather_gallery(heard) == ()


def test_recordings_without_files_have_no_gallery(store, tmp_path):
    points = Store.create(str(tmp_path / "points"), clip_policy={}, rows_per_shard=4)
    points.plan_clips([replace(clip, streams={}) for clip in store.read_clips(0)])
    _judge_all(points)
    assert gather_gallery(points) == ()


def _judge_all(store):
    output = OutputSpec(
        name="logits",
        shape=(2,),
        dtype="float16",
        axes=("class",),
        attributes={"activation": "softmax"},
    )
    store.declare(ProducerSpec(kind="teacher", name="t", outputs=(output,), fingerprint={}))
    zeros = np.zeros((store.rows_per_shard, 2), np.float32)
    store.write_shard("t", 0, {"logits": zeros}, failures={}, timings={})
