"""A student that says where things are, from a store to its boxes."""

import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from shutil import copytree
from statistics import mean
from typing import Any

import numpy as np
import pytest
import torch

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.pipeline.evaluation.box_evaluation import evaluate_boxes
from avkd.pipeline.evaluation.box_predictions import predict_boxes
from avkd.pipeline.evaluation.box_request import BoxesRequest
from avkd.pipeline.evaluation.row_predictions import WantedRows
from avkd.pipeline.predict import describe_hearing, read_metadata
from avkd.pipeline.recipe import DataConfig, MethodConfig, Recipe, with_overrides
from avkd.pipeline.recipes.registry import get_recipe
from avkd.pipeline.run_dir import RunDir
from avkd.pipeline.train import TrainEvent, TrainReport, train_student
from avkd.pipeline.training.learning_set import (
    build_reader,
    choose_learning_set,
    describe_inputs,
    find_flat,
    find_learning_examples,
    full_shape,
)
from avkd.pipeline.training.loading import BatchOrder, Loader
from avkd.pipeline.training.metrics_log import read_metrics
from avkd.pipeline.training.notes import find_notes
from avkd.pipeline.training.students import (
    load_box_student,
    load_clip_student,
    load_student,
    read_learning_shape,
)
from avkd.pipeline.training.tensor_files import read_tensors
from avkd.stages.methods.batch import Batch, Needs
from avkd.stages.methods.grid_student import decode_student_output

NEEDS = Needs(
    inputs=("waveform", "camera_height_metres"),
    boxes_of=("rgb",),
    maps_of=(("rgb", "features_0"), ("rgb", "attention_0")),
    min_box_score=0.3,
)
CAMERA = ("camera_height_metres", "camera_pitch_degrees", "camera_distance_metres")
CHANGES = (
    "data.batch_size=5",
    "optimiser.learning_rate=3e-3",
    "schedule.num_epochs=60",
    'method.options.classes=["vehicle"]',
    "method.options.ranking_weight=0.1",
)


def read_all(street, needs: Needs, batch_size: int = 5) -> list[Batch]:
    data = DataConfig(split="train")
    learning = replace(choose_learning_set(street.store, data, (), None), needs=needs)
    examples = find_learning_examples(learning)
    loader = Loader(
        examples=examples,
        reader=build_reader(learning, examples),
        flat=find_flat(street.store),
        shape=full_shape(learning, data),
        order=BatchOrder(batch_size=batch_size, block_rows=3, buffer_rows=7, seed=0),
    )
    with closing(loader.batches(0)) as batches:
        return [batch for batch in batches if batch is not None]


def test_boxes_and_maps_of_a_batch_are_those_of_its_clips(street) -> None:
    ids = {clip.clip_id: clip.row for shard in range(3) for clip in street.store.read_clips(shard)}
    batches = read_all(street, NEEDS)
    assert sum(len(batch.clip_ids) for batch in batches) == 19, "twenty, less the one that failed"
    for batch in batches:
        boxes, places = batch.boxes["rgb"], street.places[[ids[name] for name in batch.clip_ids]]
        vehicles = boxes.keep(boxes.classes == 1)
        found = list(zip(vehicles.row.tolist(), vehicles.step.tolist(), strict=True))
        assert found == [tuple(place) for place in np.argwhere(~np.isnan(places))]
        middles = (vehicles.boxes[:, 0] + vehicles.boxes[:, 2]) / 2
        np.testing.assert_allclose(middles, places[~np.isnan(places)], atol=1e-6)
        maps = batch.maps["rgb", "features_0"]
        assert (maps.shape, maps.dtype) == ((len(places), 4, 3, 5, 7), torch.float32)
        brightest = maps[:, :, 0, 2].argmax(dim=-1)[torch.from_numpy(~np.isnan(places))]
        assert brightest.tolist() == np.floor(places[~np.isnan(places)] * 7).tolist()
        attention = batch.maps["rgb", "attention_0"]
        torch.testing.assert_close(attention[:, :, 0], maps[:, :, 0, :2, :3])
        assert batch.full_steps == batch.total_steps == 4


def test_with_boxes_alone_the_steps_are_those_of_a_full_clip(street) -> None:
    for batch in read_all(street, replace(NEEDS, maps_of=()), batch_size=1):
        assert batch.total_steps == 4
        assert batch.waveform.shape == (1, 2, 4_000)


def test_the_store_tells_how_long_a_step_of_sound_is(street) -> None:
    shapes = describe_inputs(street.store)
    assert (shapes["waveform"].step_seconds, shapes["camera_height_metres"].step_seconds) == (
        0.25,
        0.0,
    )


def tiny(*overrides: str) -> Recipe:
    return with_overrides(get_recipe("stereosoundnet", "tiny"), [*CHANGES, *overrides])


def learn(
    street, run: Path, *overrides: str, on_progress: Callable[[TrainEvent], None] | None = None
) -> TrainReport:
    told = on_progress or (lambda event: None)
    return train_student(
        street.store.url, str(run), tiny(*overrides), device="cpu", on_progress=told
    )


def left_in(run: Path) -> tuple[list[dict[str, Any]], dict[str, torch.Tensor]]:
    folder = RunDir(path=run)
    records = read_metrics(folder.metrics_file)
    for record in records:
        record.pop("seconds", None)
    return records, read_tensors(folder.weights_file)


@pytest.fixture(scope="module")
def trained(street, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run: Path = tmp_path_factory.mktemp("runs") / "trained"
    report = learn(street, run)
    assert (report.teachers, report.num_clips, report.num_left_out) == (("rgb",), 19, 1)
    return run


def test_the_loss_falls_and_boxes_are_met(trained: Path) -> None:
    records, _ = left_in(trained)
    assert set(records[0]["parts"]) == {
        "coordinate",
        "objectness",
        "no_object",
        "class",
        "iou",
        "ranking",
    }
    # Of an epoch each, because batches differ.
    first, last = records[:4], records[-4:]
    assert mean(r["loss"] for r in last) < 0.6 * mean(r["loss"] for r in first)
    for part in ("coordinate", "objectness", "ranking"):
        assert mean(r["parts"][part] for r in last) < mean(r["parts"][part] for r in first)
    assert mean(r["parts"]["iou"] for r in last) > 0.6


def test_a_loaded_student_says_where_it_hears_the_vehicle(street, trained: Path) -> None:
    loaded = load_box_student(trained)
    student = loaded.student
    assert not student.training
    assert (student.teacher, student.class_names, student.grid) == ("rgb", ("vehicle",), (5, 7))
    assert loaded.recipe == tiny()
    (batch,) = read_all(street, Needs(inputs=student.streams), batch_size=50)
    with torch.no_grad():
        output = student(batch.inputs, batch.num_steps)
    said = decode_student_output(output, batch.num_steps, score_threshold=0.1, max_boxes=1)
    ids = {clip.clip_id: clip.row for shard in range(3) for clip in street.store.read_clips(shard)}
    rows = [ids[name] for name in batch.clip_ids]
    found = (said.boxes[:, 0] + said.boxes[:, 2]) / 2
    true = street.places[rows][said.row, said.step]
    heard = ~np.isnan(street.places[rows])
    meets = ~np.isnan(true)
    assert meets.sum() > 0.8 * heard.sum()
    assert np.median(np.abs(found.numpy() - true)[meets]) < 0.12
    assert np.corrcoef(found.numpy()[meets], true[meets])[0, 1] > 0.6


def test_the_run_says_what_its_student_is(street, trained: Path) -> None:
    described = json.loads(RunDir(path=trained).student_file.read_text())
    student = load_box_student(trained).student
    assert described["box_classes"] == ["vehicle"]
    assert described["grid"] == [5, 7]
    assert described["anchors"] == student.anchors.tolist()
    assert described["targets"]["rgb"]["box_classes"] == ["sign", "vehicle"]
    learning = choose_learning_set(street.store, DataConfig(split="train"), (), None)
    assert read_learning_shape(RunDir(path=trained)) == learning.shape


def test_runs_that_were_written_before_there_were_several_teachers_are_read(
    trained: Path, tmp_path: Path
) -> None:
    copytree(trained, tmp_path / "old")
    file = RunDir(path=tmp_path / "old").student_file
    described = json.loads(file.read_text())
    assert described.pop("teachers") == [described["teacher"]] == ["rgb"]
    file.write_text(json.dumps(described))
    loaded = load_box_student(tmp_path / "old")
    assert loaded.student.teachers == ("rgb",)
    assert loaded.description == described


@pytest.fixture(scope="module")
def taught_by_two(street_of, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """A student of two detectors, with anchors over a pyramid, after one update."""
    both = street_of({"rgb": (), "thermal": ()})
    pyramid = {"picture_size": (32, 64), "strides": (8, 16), "pyramid_width": 8}
    small = {"num_pyramid_cells": 1, "head_repeats": 1, "bottleneck": 8, "deconv_widths": (4, 4)}
    options = {**pyramid, **small, "classes": ("vehicle",), "distillation": "none"}
    recipe = replace(
        with_overrides(tiny(), ["schedule.num_epochs=none", "schedule.num_updates=1"]),
        name="two",
        method=MethodConfig(name="mm_distillnet", options=options),
    )
    run: Path = tmp_path_factory.mktemp("runs") / "two"
    report = train_student(both.store.url, str(run), recipe, device="cpu")
    assert report.teachers == ("rgb", "thermal")
    return both, run


def test_a_student_of_two_teachers_says_boxes_and_who_they_were(
    taught_by_two: tuple[Any, Path],
) -> None:
    street, run = taught_by_two
    loaded = load_box_student(run)
    assert loaded.student.teachers == ("rgb", "thermal")
    assert loaded.description["teachers"] == ["rgb", "thermal"]
    assert loaded.description["box_classes"] == ["vehicle"]
    wanted = WantedRows(split="test")
    said = predict_boxes(loaded, street.store, wanted, device=torch.device("cpu"))
    assert (len(said), said.class_names) == (4, ("vehicle",))
    hearing = describe_hearing(loaded)
    assert (hearing.num_channels, hearing.step_seconds) == (2, 0.25)
    assert read_metadata(loaded, dict.fromkeys(CAMERA, "1")).keys() == set(CAMERA)
    with pytest.raises(InvalidValueError, match="says where boxes are and has no layers"):
        load_student(run)


def test_a_student_of_two_teachers_is_scored_beside_both(
    taught_by_two: tuple[Any, Path],
) -> None:
    street, run = taught_by_two
    request = BoxesRequest(run=str(run), store=street.store.url, against="thermal")
    report = evaluate_boxes(request, teacher_targets=("rgb", "thermal"), device="cpu")
    student, rgb, thermal = report.scores
    assert (student.name, rgb.name, thermal.name) == ("student", "rgb", "thermal")
    for name in ("", "-rgb", "-thermal"):
        assert (run / f"boxes-test-against_thermal{name}.parquet").exists()


def test_one_microphone_is_told_of_to_a_student_of_several_teachers(
    taught_by_two: tuple[Any, Path], mono_street
) -> None:
    student = load_box_student(taught_by_two[1]).student
    learning = choose_learning_set(mono_street.store, DataConfig(split="train"), (), None)
    student.encoder.num_channels = 1
    notes = find_notes(learning, student, find_learning_examples(learning))
    assert "one microphone is heard" in notes[-1]


def test_a_student_that_counts_says_so_to_who_asks_for_more(street, tmp_path: Path) -> None:
    method = MethodConfig(name="counting", options={"classes": ("vehicle",)})
    short = with_overrides(tiny(), ["schedule.num_epochs=none", "schedule.num_updates=1"])
    recipe = replace(short, name="counting", method=method)
    train_student(street.store.url, str(tmp_path), recipe, device="cpu")
    described = json.loads(RunDir(path=tmp_path).student_file.read_text())
    assert (described["teachers"], described["counted_classes"]) == (["rgb"], ["vehicle"])
    for load in (load_box_student, load_clip_student, load_student):
        with pytest.raises(InvalidValueError, match=r"counts boxes and says neither.*--init-from"):
            load(tmp_path)


def test_a_run_that_was_interrupted_ends_as_one_that_was_not(street, tmp_path: Path) -> None:
    def fail(event: TrainEvent) -> None:
        if event.update == 6:
            raise ZeroDivisionError

    short = ("schedule.num_epochs=3", "schedule.checkpoint_updates=5")
    run, undisturbed = tmp_path / "interrupted", tmp_path / "undisturbed"
    learn(street, undisturbed, *short)
    with pytest.raises(ZeroDivisionError):
        learn(street, run, *short, on_progress=fail)
    assert learn(street, run, *short).first_update == 5
    (records, weights), (expected, whole) = left_in(run), left_in(undisturbed)
    assert records == expected
    assert weights.keys() == whole.keys()
    assert all(torch.equal(value, whole[name]) for name, value in weights.items())
    assert bool((whole["anchors"] > 0).all())


def test_other_loaders_say_what_the_student_is(trained: Path) -> None:
    with pytest.raises(InvalidValueError, match="says where boxes are and has no layers"):
        load_student(trained)
    with pytest.raises(InvalidValueError, match="says where boxes are and gives no logits"):
        load_clip_student(trained)


def test_a_student_of_words_says_no_boxes(store, recipe: Recipe, tmp_path: Path) -> None:
    short = with_overrides(recipe, ["schedule.num_epochs=none", "schedule.num_updates=1"])
    train_student(store.url, str(tmp_path), short, device="cpu")
    with pytest.raises(InvalidValueError, match="says what is heard, not where"):
        load_box_student(tmp_path)


@pytest.mark.parametrize(
    ("overrides", "error", "words"),
    [
        (["method.options.num_anchors=50"], InvalidValueError, "50 anchors need as many different"),
        (["method.options.min_score=0.95"], InvalidValueError, "'rgb' found no vehicle with"),
        (["method.options.teacher=thermal"], UnknownNameError, "teacher with boxes 'thermal'"),
        (["data.split=none such"], InvalidValueError, "no clip of split 'none such'"),
    ],
)
def test_a_run_that_cannot_begin_leaves_nothing_behind(
    street, tmp_path: Path, overrides: list[str], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        learn(street, tmp_path / "run", *overrides)
    assert not (tmp_path / "run").exists()
