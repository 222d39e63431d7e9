"""A segmenter from files to its folder, and from its folder to class maps in a store."""

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
from avkd.pipeline.extract import extract_teacher
from avkd.pipeline.extraction.request import ExtractReport, ExtractRequest
from avkd.pipeline.segmenter_training.recipe import SegmenterRecipe
from avkd.pipeline.segmenter_training.training import (
    SegmenterReport,
    SegmenterRequest,
    train_segmenter,
    train_segmenters,
)
from avkd.stages.media.frames import read_frames
from avkd.stages.metrics.segmentation import resize_classes
from avkd.stages.teachers.registry import load_teacher
from avkd.stages.teachers.request import parse_teacher
from avkd.storage.store import Store
from avkd.storage.verify import verify_store

NUM_UPDATES = 60
STEP_SECONDS = 0.25
NUM_STEPS = 6


@pytest.fixture(scope="module")
def request_for(
    corpus: Any, tiny: Callable[..., SegmenterRecipe]
) -> Callable[..., SegmenterRequest]:
    def build(run: Path, num_updates: int, *, of: Any = corpus, **data: Any) -> SegmenterRequest:
        return SegmenterRequest(
            corpus=str(of.recordings),
            truth=str(of.truth),
            run=str(run),
            recipe=tiny(num_updates, **data),
            device="cpu",
        )

    return build


@pytest.fixture(scope="module")
def run(
    request_for: Callable[..., SegmenterRequest], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, SegmenterReport]:
    """A finished segmenter. Not to be written to."""
    folder = tmp_path_factory.mktemp("segmenters") / "warm"
    return folder, train_segmenter(request_for(folder, NUM_UPDATES))


def extract(run: Path | str, corpus: Any, store: Path, **options: Any) -> ExtractReport:
    request = replace(
        parse_teacher(f"sees={run}", batch_size=4, device="cpu"), maps=("confidence",)
    )
    return extract_teacher(
        ExtractRequest(
            corpus=str(corpus.recordings),
            store=str(store),
            teachers=(request,),
            clip_seconds=NUM_STEPS * STEP_SECONDS,
            step_seconds=STEP_SECONDS,
            rows_per_shard=2,
            inputs="none",
            **options,
        )
    )


def test_it_says_the_classes_that_it_learned(
    run: tuple[Path, SegmenterReport], corpus: Any, tmp_path: Path
) -> None:
    extract(run[0], corpus, tmp_path / "store")
    store = Store.open(str(tmp_path / "store"))
    output = store.producer("sees").output("class_map")
    assert (output.shape, output.dtype) == ((NUM_STEPS, 32, 32), "uint8")
    assert (output.axes, output.layout) == (("step", "height", "width"), "dense")
    assert output.class_names == ("sky", "road", "car")
    assert output.attributes["map_stride"] == 2
    maps = store.read_rows("sees", "class_map", 0, 4)
    assert maps.dtype == np.uint8
    for number in (0, 1, 3):  # r3 was not learned from
        frames = [classes_at(number, frame) for frame in range(NUM_STEPS)]
        truth = np.stack(frames)
        shown = resize_classes(maps[number], (64, 64))
        assert (shown == truth).mean() > (0.95 if number < 3 else 0.8)
    confidence = store.read_rows("sees", "confidence", 0, 4)
    assert (confidence.shape, confidence.dtype) == ((4, NUM_STEPS), np.float16)
    assert (confidence[0] > 0.6).all()
    assert (confidence <= 1).all()
    # r2 has no thermal: a row without maps.
    assert store.ok_rows("sees").tolist() == [0, 1, 3]
    assert not maps[2].any()
    assert verify_store(store.url) == ()


def classes_at(number: int, frame: int) -> np.ndarray:
    """As the corpus' fixture draws it."""
    classes = np.zeros((64, 64), np.uint8)
    classes[32:] = 1
    left, top = (8 * frame + 4 * number) % 36, 24 + 4 * number
    classes[top : top + 20, left : left + 28] = 2
    return classes


def test_processes_give_the_store_that_serial_gives(
    run: tuple[Path, SegmenterReport], corpus: Any, tmp_path: Path
) -> None:
    serial, processes = (
        extract(run[0], corpus, tmp_path / name, executor=name, num_workers=2)
        for name in ("serial", "processes")
    )
    assert serial.status["sees"] == {"ok": 3, "no_video": 1}
    assert serial.content_digest == processes.content_digest


def test_what_is_stored_is_what_its_network_says(
    run: tuple[Path, SegmenterReport], corpus: Any, tmp_path: Path
) -> None:
    extract(run[0], corpus, tmp_path / "store")
    store = Store.open(str(tmp_path / "store"))
    teacher = load_teacher(parse_teacher(f"sees={run[0]}", batch_size=6, device="cpu"))
    wanted = teacher.declaration.frame_format
    instants = [(step + 0.5) * STEP_SECONDS for step in range(NUM_STEPS)]
    movie = corpus.recordings.parent / "r0.mkv"
    said = teacher.predict(read_frames(str(movie), instants, [wanted])[wanted])
    np.testing.assert_array_equal(store.read_rows("sees", "class_map", 0, 1)[0], said["class_map"])


def test_what_was_learned_from_is_counted(run: tuple[Path, SegmenterReport]) -> None:
    facts = run[1].facts
    assert (facts.num_recordings, facts.num_without_stream, facts.num_without_truth) == (2, 1, 0)
    assert (facts.num_pictures, facts.num_failed_pictures, facts.scores) == (12, 0, {})
    assert facts.kinds == {"sky": ("sky",), "road": ("road",), "car": ("car",)}
    assert sum(facts.shares.values()) == pytest.approx(1)
    assert facts.shares["car"] == pytest.approx(20 * 28 / 64**2, rel=0.1)
    described = json.loads((run[0] / "segmenter.json").read_text())
    assert (described["stream"], described["value_range"]) == ("thermal", [27_500, 29_500])
    assert (described["picture_size"], described["map_stride"]) == ([64, 64], 2)
    lines = (run[0] / "metrics.jsonl").read_text().splitlines()
    losses = [json.loads(line)["loss"] for line in lines]
    assert len(losses) == NUM_UPDATES
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) / 3
    assert not (run[0] / "checkpoints").exists()


def test_a_finished_run_is_left_alone_whatever_became_of_its_corpus(
    run: tuple[Path, SegmenterReport], request_for: Callable[..., SegmenterRequest]
) -> None:
    report = train_segmenter(replace(request_for(run[0], NUM_UPDATES), corpus="/nowhere.csv"))
    assert report.was_finished
    assert asdict(report.facts) == asdict(run[1].facts)


def test_another_run_under_its_name_is_refused(
    run: tuple[Path, SegmenterReport],
    corpus: Any,
    request_for: Callable[..., SegmenterRequest],
    tmp_path: Path,
) -> None:
    extract(run[0], corpus, tmp_path / "store")
    copytree(run[0], tmp_path / "moved")
    assert extract(tmp_path / "moved", corpus, tmp_path / "store").num_shards_done == 0
    train_segmenter(request_for(tmp_path / "other", 2))
    with pytest.raises(FingerprintMismatchError, match="'sees'"):
        extract(tmp_path / "other", corpus, tmp_path / "store")


def test_a_run_stopped_by_a_signal_ends_as_one_that_was_not(
    request_for: Callable[..., SegmenterRequest], tmp_path: Path
) -> None:
    whole, stopped = request_for(tmp_path / "whole", 7), request_for(tmp_path / "stopped", 7)
    train_segmenter(whole)

    def stop_at(update: int) -> Callable[..., None]:
        def tell(what: str, done: int, total: int, remark: str) -> None:
            if what == "train" and done == update:
                os.kill(os.getpid(), signal.SIGTERM)

        return tell

    with pytest.raises(InterruptedRunError, match="after update 4; the same command"):
        train_segmenter(stopped, on_progress=stop_at(4))
    with pytest.raises(StoreNotFoundError, match="is not finished"):
        load_teacher(parse_teacher(f"sees={stopped.run}"))
    assert train_segmenter(stopped).first_update == 4
    weights = [Path(each.run, "weights.safetensors").read_bytes() for each in (whole, stopped)]
    assert weights[0] == weights[1]


def test_each_seed_is_a_run_and_other_weights(
    request_for: Callable[..., SegmenterRequest], tmp_path: Path
) -> None:
    train_segmenters(request_for(tmp_path, 1), [3, 4])
    weights = [(tmp_path / f"seed-{seed}" / "weights.safetensors").read_bytes() for seed in (3, 4)]
    assert weights[0] != weights[1]


def test_held_out_recordings_are_scored_and_not_learned_from(
    request_for: Callable[..., SegmenterRequest], tmp_path: Path
) -> None:
    # Of r0, r1, r2 and r3 the hash puts r1 alone below this fraction (0.51, then 0.86).
    facts = train_segmenter(
        request_for(
            tmp_path / "run",
            1,
            stream="rgb",
            value_range=None,
            split=None,
            validation_fraction=0.6,
            frames_per_recording=2,
        )
    ).facts
    assert (facts.num_recordings, facts.num_held_out_recordings) == (3, 1)
    assert (facts.num_pictures, facts.num_held_out_pictures) == (6, 2)
    assert {*facts.scores} == {"all", "light=day"}
    assert facts.scores["all"]["num_pictures"] == 2
    assert {"mIoU", "pixel_accuracy", "IoU_sky", "IoU_road", "IoU_car"} < {*facts.scores["all"]}


def test_classes_may_be_merged(
    request_for: Callable[..., SegmenterRequest], tmp_path: Path
) -> None:
    request = request_for(tmp_path / "run", 1, classes=("car", "still=road,sky"))
    report = train_segmenter(request)
    assert report.class_names == ("car", "still")
    assert report.facts.kinds == {"car": ("car",), "still": ("road", "sky")}
    assert report.facts.shares["still"] > 0.8


def test_another_recipe_truth_or_kind_in_a_folder_is_refused(
    run: tuple[Path, SegmenterReport],
    corpus: Any,
    request_for: Callable[..., SegmenterRequest],
    tmp_path: Path,
) -> None:
    with pytest.raises(InvalidValueError, match=r"another recipe \(data.flip 0.5 there, 0.1 here"):
        train_segmenter(request_for(run[0], NUM_UPDATES, flip=0.1))
    copytree(run[0], tmp_path / "copy")
    (tmp_path / "copy" / "segmenter.json").unlink()
    swapped = corpus.truth.read_text().replace("r0,c0", "r0,c1")
    other = corpus.truth.with_name("swapped.csv")
    other.write_text(swapped)
    with pytest.raises(InvalidValueError, match="learns from other pictures or class maps"):
        train_segmenter(
            request_for(tmp_path / "copy", NUM_UPDATES, of=replace(corpus, truth=other))
        )
    (tmp_path / "detector_training.json").write_text("{}")
    with pytest.raises(InvalidValueError, match="is a detector; give another folder"):
        train_segmenter(request_for(tmp_path, 1))


@pytest.mark.parametrize(
    ("rows", "error", "words"),
    [
        (["r9,c0.mkv,x"], CorpusError, "the first 'r9'"),
        (["r3,c3.mkv,x"], InvalidValueError, "of 3 recordings 0 have class maps"),
        (["r2,c2.mkv,x"], InvalidValueError, "none of these has the stream 'thermal'"),
        (["r0,lost.mkv,x"], InvalidValueError, "none of 1 files of class maps can be read"),
        (["r0,r0.mp4,x"], TooManyFailuresError, "not one of 6 pictures .* 16-bit gray"),
        (["r0,r0.mkv,x"], CorpusError, "a pixel is of class 28000, but there are 3"),
    ],
)
def test_truth_that_does_not_fit_is_refused_and_leaves_no_folder(
    rows: list[str],
    error: type[Exception],
    words: str,
    corpus: Any,
    request_for: Callable[..., SegmenterRequest],
    tmp_path: Path,
) -> None:
    table = corpus.truth.with_name("wrong.csv")
    named = [row.removesuffix("x") + '"sky,road,car"' for row in rows]
    table.write_text("\n".join(["recording_id,classes,class_names", *named]) + "\n")
    with pytest.raises(error, match=words) as caught:
        train_segmenter(request_for(tmp_path / "run", 1, of=replace(corpus, truth=table)))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()
