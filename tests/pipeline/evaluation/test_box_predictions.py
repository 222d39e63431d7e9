from dataclasses import replace
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest
import torch

from avkd.errors import CorpusError, InvalidValueError, UnknownNameError
from avkd.pipeline.evaluation.box_predictions import (
    predict_boxes,
    read_teacher_boxes,
    split_clips,
)
from avkd.pipeline.evaluation.row_predictions import WantedRows
from avkd.pipeline.training.students import load_box_student
from avkd.stages.detection.boxes import BoxTargets
from avkd.storage.store import Store

CPU = torch.device("cpu")
TEST = WantedRows(split="test")


@pytest.fixture(scope="module")
def loaded(make_box_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "hearing"
    make_box_run(folder, steady=False)
    return load_box_student(folder)


def flat(said) -> np.ndarray:
    """All numbers, frame by frame."""
    frames = [frame for frames in said.by_recording().values() for frame in frames]
    return np.concatenate([np.column_stack([each.boxes, each.scores]) for each in frames])


def test_every_step_of_every_clip_is_a_frame_on_the_recordings_clock(loaded, box_store):
    told = []
    said = predict_boxes(
        loaded, Store.open(box_store), TEST, device=CPU, on_rows=lambda *each: told.append(each)
    )
    assert (len(said), said.num_left_out, said.class_names) == (8, 0, ("car",))
    assert told[-1] == (8, 8)
    recordings = said.by_recording()
    assert list(recordings) == ["day/0", "day/1", "night/2", "night/3"]
    for frames in recordings.values():
        times = [frame.time_seconds for frame in frames]
        assert times == pytest.approx([0.125 + 0.25 * step for step in range(8)])
    assert len(flat(said)) > 8


def test_sound_from_the_recordings_gives_the_boxes_of_stored_sound(loaded, box_store):
    store = Store.open(box_store)
    data = replace(loaded.recipe.data, input_name="recordings")
    decoding = replace(loaded, recipe=replace(loaded.recipe, data=data))
    stored, decoded = (
        flat(predict_boxes(each, store, TEST, device=CPU)) for each in (loaded, decoding)
    )
    np.testing.assert_allclose(stored, decoded, atol=1e-4)


def test_a_teachers_boxes_are_numbered_as_the_student_numbers_them(box_store):
    store = Store.open(box_store)
    said = read_teacher_boxes(store, "rgb", TEST, ("bus", "person", "car"))
    assert (len(said), said.num_left_out) == (7, 1)
    first = said.by_recording()["day/0"][0]
    assert sorted(zip(first.classes.tolist(), first.scores.tolist(), strict=True)) == [
        (1, pytest.approx(0.8)),
        (2, pytest.approx(0.9)),
    ]
    surer = read_teacher_boxes(store, "rgb", TEST, ("person", "car"), min_score=0.85)
    assert {c for f in surer.by_recording()["day/0"] for c in f.classes.tolist()} == {1}


def test_boxes_of_a_batch_are_split_by_clip():
    found = BoxTargets(
        boxes=torch.rand(3, 4),
        scores=torch.tensor([0.9, 0.8, 0.7]),
        classes=torch.tensor([0, 1, 0]),
        row=torch.tensor([0, 2, 2]),
        step=torch.tensor([3, 0, 1]),
    )
    clips = split_clips(found, 4)
    assert [len(each) for each in clips] == [1, 0, 2, 0]
    assert clips[2].steps.tolist() == [0, 1]
    assert clips[2].classes.dtype == np.int32


def test_what_a_store_does_not_have_is_refused(loaded, box_store, row_store):
    store = Store.open(box_store)
    with pytest.raises(UnknownNameError, match="rgb"):
        read_teacher_boxes(store, "rbg", TEST, ("car",))
    with pytest.raises(InvalidValueError, match="finds car, person but the student bus"):
        read_teacher_boxes(store, "rgb", TEST, ("bus",))
    with pytest.raises(InvalidValueError, match="stored no boxes"):
        read_teacher_boxes(Store.open(row_store), "sage", TEST, ("car",))
    with pytest.raises(CorpusError, match="no rows of split 'dev'"):
        predict_boxes(loaded, store, WantedRows(split="dev"), device=CPU)
    with pytest.raises(InvalidValueError, match="not cut into steps"):
        predict_boxes(loaded, Store.open(row_store), TEST, device=CPU)


def test_other_sound_and_other_steps_are_refused(loaded, box_store, tmp_path):
    def described(**changes: object):
        sound = {**loaded.description["inputs"]["waveform"], **changes}
        inputs = {**loaded.description["inputs"], "waveform": sound}
        return replace(loaded, description={**loaded.description, "inputs": inputs})

    with pytest.raises(InvalidValueError, match="2 channels at 4000 Hz but the student hears 2"):
        predict_boxes(described(sample_rate=8_000), Store.open(box_store), TEST, device=CPU)
    folder = Path(copytree(box_store, tmp_path / "store"))
    store = Store.open(str(folder))
    longer = {**store.clip_policy, "step_seconds": 0.5}
    with pytest.raises(InvalidValueError, match=r"steps of 0\.25 s but .* are 0\.5 s"):
        predict_boxes(loaded, Store(str(folder), longer, 4), TEST, device=CPU)
