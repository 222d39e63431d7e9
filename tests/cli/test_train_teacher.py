import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avkd.stages.simulation.road.recording import write_gray16, write_rgb
from avkd.storage.store import Store

SIDE = 64
DETECTION = ("--task=detection", f"--picture-size={SIDE}x{SIDE}")
QUICK = ("--set=schedule.num_updates=2", "--set=network.widths=[4,4,8,8,8]")


@pytest.fixture(scope="session")
def drives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two recordings of half a second with a white car, and their truth."""
    folder = tmp_path_factory.mktemp("drives")
    picture = np.zeros((SIDE, SIDE, 3), np.uint8)
    picture[16:48, 8:48] = 255
    for name in ("a", "b"):
        write_rgb(folder / f"{name}.mp4", [picture] * 2, (SIDE, SIDE), 4)
    _write(folder / "corpus.csv", ("recording_id", "rgb"), [(n, f"{n}.mp4") for n in "ab"])
    columns = ("recording_id", "frame_time_seconds", "kind", "x_min", "y_min", "x_max", "y_max")
    box = ("car", 8 / SIDE, 16 / SIDE, 48 / SIDE, 48 / SIDE)
    _write(folder / "boxes.csv", columns, [(n, t, *box) for n in "ab" for t in (0.125, 0.375)])
    return folder


def test_a_detector_is_trained_and_tells_what_it_learned_from(avkd, drives, tmp_path):
    run = tmp_path / "run"
    words = ("train-teacher", drives / "corpus.csv", run, *DETECTION, *QUICK)
    outcome = avkd(*words, f"--truth={drives / 'boxes.csv'}")
    assert outcome.exit_code == 0, outcome.err
    for told in ("vehicle (car)", "2 learned from, 0 held out", "4 to find", "updates"):
        assert told in outcome.out
    again = avkd(*words, f"--truth={drives / 'boxes.csv'}", "--json").json
    assert again["was_finished"]
    assert again["facts"]["num_pictures"] == 4
    described = json.loads((run / "detector.json").read_text())
    assert described["picture_size"] == [SIDE, SIDE]
    store = tmp_path / "store"
    options = ("--clip-seconds=0.5", "--step-seconds=0.25", "--inputs=none")
    extracted = avkd("extract-teacher", drives, store, f"--teacher=eye={run}", *options)
    assert extracted.exit_code == 0, extracted.err
    assert "2 ok" in extracted.out


def test_options_are_fields_of_the_recipe(drives, tmp_path):
    from avkd.cli.detector_training import build_recipe

    options = {
        "stream": "thermal:27000:31000.5",
        "picture_size": "128x64",
        "classes": ["car", "big=bus,truck"],
        "split": "teacher",
        "min_visible": 0.5,
    }
    recipe = build_recipe(options, ["data.min_visible=0.4", "schedule.num_updates=9"])
    assert (recipe.data.stream, recipe.data.value_range) == ("thermal", (27_000.0, 31_000.5))
    assert recipe.data.picture_size == (128, 64)
    assert recipe.data.classes == ("car", "big=bus,truck")
    assert (recipe.data.min_visible, recipe.schedule.num_updates) == (0.4, 9)
    plain = build_recipe(dict.fromkeys(options), [])
    assert (plain.data.stream, plain.data.value_range, plain.data.split) == ("rgb", None, None)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--task=detection",), ("--truth",)),
        (("--task=detection", "--recipe=mke_teacher"), ("--recipe", "not for --task detection")),
        (("--task=detection", "--label-column=x"), ("--label-column",)),
        (("--task=segmentation",), ("--truth", "class maps")),
        (("--task=segmentation", "--recipe=mke_teacher"), ("not for --task segmentation",)),
        (("--task=segmentation", "--min-visible=0.5"), ("--min-visible", "--task detection")),
        (("--task=segmentation", "--truth=t.csv", "--classes=car"), ("data.classes", "two or")),
        (("--task=segmentation", "--truth=nowhere.csv"), ("nowhere.csv",)),
        (("--truth=boxes.csv", "--recipe=mke_teacher"), ("--truth", "--task detection")),
        (("--stream=depth",), ("--stream", "--task detection")),
        ((), ("--recipe", "--task detection")),
        ((*DETECTION, "--truth=t.csv", "--stream=depth:9"), ("'9'", "LOW:HIGH")),
        ((*DETECTION, "--truth=t.csv", "--stream=sonar"), ("'sonar'", "thermal")),
        (("--task=detection", "--truth=t.csv", "--picture-size=100x80"), ("100x80", "32")),
        ((*DETECTION, "--truth=nowhere.csv"), ("nowhere.csv",)),
        ((*DETECTION, "--truth=t.csv", "--set=data.flop=1"), ("data.flop", "data.flip")),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    avkd: Any, drives: Path, tmp_path: Path, options: tuple[str, ...], words: tuple[str, ...]
) -> None:
    outcome = avkd("train-teacher", drives / "corpus.csv", tmp_path / "run", *options)
    outcome.assert_refused(2, *words)
    assert not (tmp_path / "run").exists()


def test_a_segmenter_is_trained_and_stores_class_maps(avkd, drives, tmp_path):
    run = tmp_path / "run"
    maps = np.zeros((SIDE, SIDE), np.uint16)
    maps[16:48, 8:48] = 1
    for name in ("a", "b"):
        write_gray16(tmp_path / f"{name}.mkv", [maps] * 2, (SIDE, SIDE), 4)
    columns = ("recording_id", "classes", "class_names")
    _write(tmp_path / "classes.csv", columns, [(n, f"{n}.mkv", "ground,car") for n in "ab"])
    words = ("--task=segmentation", f"--picture-size={SIDE}x{SIDE}", "--set=data.map_stride=4")
    quick = ("--set=schedule.num_updates=2", "--set=network.widths=[4,4,8,8,8]")
    asked = ("train-teacher", drives / "corpus.csv", run, *words, *quick)
    outcome = avkd(*asked, f"--truth={tmp_path / 'classes.csv'}")
    assert outcome.exit_code == 0, outcome.err
    for told in ("ground 68.8 %, car 31.2 %", "2 learned from, 0 held out", "4 learned from"):
        assert told in outcome.out
    again = avkd(*asked, f"--truth={tmp_path / 'classes.csv'}", "--json").json
    assert again["was_finished"]
    assert again["facts"]["num_pictures"] == 4
    store = tmp_path / "store"
    options = (
        "--clip-seconds=0.5",
        "--step-seconds=0.25",
        "--inputs=none",
        "--maps=eye=confidence",
    )
    extracted = avkd("extract-teacher", drives, store, f"--teacher=eye={run}", *options)
    assert extracted.exit_code == 0, extracted.err
    assert "2 ok" in extracted.out
    producer = Store.open(str(store)).producer("eye")
    assert producer.output("class_map").shape == (2, 16, 16)
    assert producer.output("confidence").shape == (2,)


def test_a_recipe_that_reads_no_labels_trains_no_teacher(avkd, store, tmp_path):
    outcome = avkd("train-teacher", store, tmp_path / "run", "--recipe=soundnet_logmel")
    outcome.assert_refused(2, "'soundnet_logmel'", "--label-column", "train-student")
    assert not (tmp_path / "run").exists()


def test_a_group_column_refuses_whoever_is_on_both_sides(avkd, row_store, tmp_path):
    outcome = avkd(
        "train-teacher",
        row_store,
        tmp_path / "run",
        "--recipe=mke_teacher",
        "--split=train",
        "--group-column=label",
    )
    outcome.assert_refused(2, "label 'bell'", "'train'", "'test'")
    assert not (tmp_path / "run").exists()


def _write(path, columns, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
