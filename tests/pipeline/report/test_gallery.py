import numpy as np
import pytest

from avkd.pipeline.report.gallery import gather_gallery


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
