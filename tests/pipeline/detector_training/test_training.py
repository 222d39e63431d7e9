"""A detector from files to its folder, and from its folder to boxes in a store."""

import csv
import json
import os
import signal
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pytest

from avkd.errors import (
    CorpusError,
    FingerprintMismatchError,
    InterruptedRunError,
    InvalidValueError,
    StoreNotFoundError,
    TooManyFailuresError,
)
from avkd.pipeline.detector_training.recipe import DetectorRecipe
from avkd.pipeline.detector_training.training import (
    DetectorReport,
    DetectorRequest,
    train_detector,
    train_detectors,
)
from avkd.pipeline.extract import extract_teacher
from avkd.pipeline.extraction.request import ExtractRequest
from avkd.stages.media.frames import read_frames
from avkd.stages.metrics.boxes import box_iou
from avkd.stages.teachers.registry import load_teacher
from avkd.stages.teachers.request import TeacherRequest, parse_teacher
from avkd.storage.store import Store

NUM_UPDATES = 150
STEP_SECONDS = 0.25
NUM_STEPS = 6


@pytest.fixture(scope="module")
def request_for(corpus: Any, tiny: Callable[..., DetectorRecipe]) -> Callable[..., DetectorRequest]:
    def build(run: Path, num_updates: int, *, of: Any = corpus, **data: Any) -> DetectorRequest:
        return DetectorRequest(
            corpus=str(of.recordings),
            truth=str(of.truth),
            run=str(run),
            recipe=tiny(num_updates, **data),
            device="cpu",
        )

    return build


@pytest.fixture(scope="module")
def run(
    request_for: Callable[..., DetectorRequest], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, DetectorReport]:
    """A finished detector of warm rectangles. Not to be written to."""
    folder = tmp_path_factory.mktemp("detectors") / "warm"
    return folder, train_detector(request_for(folder, NUM_UPDATES))


def extract(run: Path | str, corpus: Any, store: Path, **options: Any) -> Store:
    request = replace(parse_teacher(f"warm={run}", batch_size=4, device="cpu"), **options)
    extract_teacher(
        ExtractRequest(
            corpus=str(corpus.recordings),
            store=str(store),
            teachers=(request,),
            clip_seconds=NUM_STEPS * STEP_SECONDS,
            step_seconds=STEP_SECONDS,
            inputs="none",
        )
    )
    return Store.open(str(store))


def read_boxes(store: Store) -> list[dict[str, Any]]:
    boxes: list[dict[str, Any]] = store.read_rows("warm", "boxes", 0, store.next_row()).to_pylist()
    return boxes


def test_it_finds_what_it_learned_and_nothing_in_empty_pictures(
    run: tuple[Path, DetectorReport], corpus: Any, tmp_path: Path
) -> None:
    store = extract(run[0], corpus, tmp_path / "store")
    names = {clip.row: clip.recording_id for clip in store.read_clips(0)}
    found = {
        (names[box["row"]], box["step"]): box for box in read_boxes(store) if box["score"] > 0.5
    }
    with corpus.truth.open() as file:
        truth = [row for row in csv.DictReader(file) if row["recording_id"] in ("r0", "r1")]
    places = {
        (row["recording_id"], int(float(row["frame_time_seconds"]) / STEP_SECONDS)): row
        for row in truth
    }
    assert {place for place in found if place[0] in ("r0", "r1")} == set(places)
    for place, row in places.items():
        wanted = np.array([[float(row[side]) for side in ("x_min", "y_min", "x_max", "y_max")]])
        assert box_iou(np.array([found[place]["box"]]), wanted) > 0.5


def test_what_is_stored_is_what_its_network_says(
    run: tuple[Path, DetectorReport], corpus: Any, tmp_path: Path
) -> None:
    store = extract(run[0], corpus, tmp_path / "store", maps=("attention_0",))
    teacher = load_teacher(
        TeacherRequest(
            name="warm", family=str(run[0]), batch_size=6, device="cpu", maps=("attention_0",)
        )
    )
    wanted = teacher.declaration.frame_format
    instants = [(step + 0.5) * STEP_SECONDS for step in range(NUM_STEPS)]
    movie = corpus.recordings.parent / "r0.mkv"
    said = teacher.predict(read_frames(str(movie), instants, [wanted])[wanted])
    stored = [box for box in read_boxes(store) if box["row"] == 0]
    flat = [box for step in said["boxes"] for box in step if box[4] > 0]
    assert len(stored) == len(flat) > 0
    np.testing.assert_allclose([each["box"] for each in stored], [b[:4] for b in flat], atol=1e-6)
    np.testing.assert_allclose([each["score"] for each in stored], [b[4] for b in flat], atol=1e-6)
    np.testing.assert_allclose(
        store.read_rows("warm", "attention_0", 0, 1)[0], said["attention_0"], atol=1e-3
    )


def test_a_recording_without_its_stream_is_a_row_without_boxes(
    run: tuple[Path, DetectorReport], corpus: Any, tmp_path: Path
) -> None:
    store = extract(run[0], corpus, tmp_path / "store")
    assert len(store.ok_rows("warm")) == 3
    assert {box["row"] for box in read_boxes(store)} == {0, 1, 3}


def test_the_folder_says_what_the_detector_looks_at(run: tuple[Path, DetectorReport]) -> None:
    described = json.loads((run[0] / "detector.json").read_text())
    assert described["stream"] == "thermal"
    assert described["value_range"] == [27_500, 29_500]
    assert described["picture_size"] == [64, 64]
    assert described["class_names"] == ["vehicle"]
    assert described["facts"]["kinds"] == {"vehicle": ["car"]}
    lines = (run[0] / "metrics.jsonl").read_text().splitlines()
    losses = [json.loads(line)["loss"] for line in lines]
    assert len(losses) == NUM_UPDATES
    assert np.mean(losses[-10:]) < np.mean(losses[:10]) / 3
    assert not (run[0] / "checkpoints").exists()


def test_recordings_and_pictures_are_counted(run: tuple[Path, DetectorReport]) -> None:
    facts = run[1].facts
    assert (facts.num_recordings, facts.num_without_stream, facts.num_without_truth) == (2, 1, 0)
    # The last of the six pictures has no row and shows nothing.
    assert (facts.num_pictures, facts.num_pictures_without_row, facts.num_boxes) == (12, 2, 10)
    assert facts.scores == {}


def test_a_finished_run_is_left_alone_whatever_became_of_its_corpus(
    run: tuple[Path, DetectorReport], request_for: Callable[..., DetectorRequest]
) -> None:
    request = replace(request_for(run[0], NUM_UPDATES), corpus="/nowhere.csv")
    report = train_detector(request)
    assert report.was_finished
    assert asdict(report.facts) == asdict(run[1].facts)


def test_a_moved_run_is_the_same_teacher_and_another_one_is_not(
    run: tuple[Path, DetectorReport],
    corpus: Any,
    request_for: Callable[..., DetectorRequest],
    tmp_path: Path,
) -> None:
    extract(run[0], corpus, tmp_path / "store")
    moved = tmp_path / "moved"
    copytree(run[0], moved)
    extract(moved, corpus, tmp_path / "store")
    other = tmp_path / "other"
    train_detector(request_for(other, 2))
    with pytest.raises(FingerprintMismatchError, match="'warm'"):
        extract(other, corpus, tmp_path / "store")


def test_a_run_stopped_by_a_signal_ends_as_one_that_was_not(
    request_for: Callable[..., DetectorRequest], tmp_path: Path
) -> None:
    whole, stopped = request_for(tmp_path / "whole", 9), request_for(tmp_path / "stopped", 9)
    train_detector(whole)

    def stop_at(update: int) -> Callable[..., None]:
        def tell(what: str, done: int, total: int, remark: str) -> None:
            if what == "train" and done == update:
                os.kill(os.getpid(), signal.SIGTERM)

        return tell

    for update in (2, 5):
        with pytest.raises(InterruptedRunError, match=f"after update {update}; the same command"):
            train_detector(stopped, on_progress=stop_at(update))
        with pytest.raises(StoreNotFoundError, match="is not finished"):
            load_teacher(parse_teacher(f"warm={stopped.run}"))
    report = train_detector(stopped)
    assert report.first_update == 5
    weights = [Path(each.run, "weights.safetensors").read_bytes() for each in (whole, stopped)]
    assert weights[0] == weights[1]
    records = [
        [
            {name: value for name, value in json.loads(line).items() if name != "seconds"}
            for line in Path(each.run, "metrics.jsonl").read_text().splitlines()
        ]
        for each in (whole, stopped)
    ]
    assert records[0] == records[1]


def test_each_seed_is_a_run_and_other_weights(
    request_for: Callable[..., DetectorRequest], tmp_path: Path
) -> None:
    train_detectors(request_for(tmp_path, 1), [3, 4])
    weights = [(tmp_path / f"seed-{seed}" / "weights.safetensors").read_bytes() for seed in (3, 4)]
    assert weights[0] != weights[1]


def test_held_out_recordings_are_scored_and_not_learned_from(
    request_for: Callable[..., DetectorRequest], tmp_path: Path
) -> None:
    # Of r0, r1, r2 and r3 the hash puts r1 alone below this fraction (0.51, then 0.86).
    request = request_for(
        tmp_path / "run", 1, stream="rgb", value_range=None, split=None, validation_fraction=0.6
    )
    facts = train_detector(request).facts
    assert facts.num_held_out_recordings + facts.num_recordings == 4
    assert facts.num_held_out_recordings == 1
    assert facts.scores["all"]["num_boxes"] == 5
    assert facts.scores["all"]["num_pictures"] == 6


def test_another_recipe_or_truth_in_a_folder_is_refused(
    run: tuple[Path, DetectorReport],
    corpus: Any,
    request_for: Callable[..., DetectorRequest],
    tmp_path: Path,
) -> None:
    with pytest.raises(InvalidValueError, match=r"another recipe \(data.flip 0.5 there, 0.1 here"):
        train_detector(request_for(run[0], NUM_UPDATES, flip=0.1))
    copytree(run[0], tmp_path / "copy")
    (tmp_path / "copy" / "detector.json").unlink()
    row = ("r0", 0.125, "car", 0.1, 0.1, 0.5, 0.5)
    other = corpus.with_truth(tmp_path / "other.csv", [row])
    with pytest.raises(InvalidValueError, match="learns from other pictures or boxes"):
        train_detector(request_for(tmp_path / "copy", NUM_UPDATES, of=other))


def test_a_students_folder_is_refused(
    request_for: Callable[..., DetectorRequest], tmp_path: Path
) -> None:
    (tmp_path / "recipe.json").write_text("{}")
    with pytest.raises(InvalidValueError, match="is a run of avkd train-student"):
        train_detector(request_for(tmp_path, 1))


@pytest.mark.parametrize(
    ("rows", "error", "words"),
    [
        ([("r9", 0.1, "car", 0, 0, 1, 1)], CorpusError, "the first 'r9'"),
        ([("r3", 0.1, "car", 0, 0, 1, 1)], InvalidValueError, "none of the 3 recordings has truth"),
        ([("r0", 0.1, "car", 0, 0, 64, 20)], CorpusError, "give fractions of the picture"),
        ([("r2", 0.1, "car", 0, 0, 1, 1)], InvalidValueError, "has the stream 'thermal'"),
        ([("r0", 0.1, "", "", "", "", "")], InvalidValueError, "show nothing to find"),
        ([("r0", 99.0, "car", 0, 0, 1, 1)], TooManyFailuresError, "not one of 1 pictures"),
    ],
)
def test_truth_that_does_not_fit_is_refused_and_leaves_no_folder(
    rows: list[tuple[object, ...]],
    error: type[Exception],
    words: str,
    corpus: Any,
    request_for: Callable[..., DetectorRequest],
    tmp_path: Path,
) -> None:
    other = corpus.with_truth(tmp_path / "boxes.csv", rows)
    with pytest.raises(error, match=words) as caught:
        train_detector(request_for(tmp_path / "run", 1, of=other))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()
