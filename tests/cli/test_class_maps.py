"""Class maps by the command line alone: stored, learned from and scored."""

import csv
from contextlib import suppress

import numpy as np
import pytest

from avkd.cli.app import main
from avkd.stages.simulation.road.recording import write_gray16, write_rgb
from avkd.storage.store import Store

SIZE, FRAME_RATE = (16, 12), 4
COLUMNS = ("recording_id", "rgb", "depth", "classes", "split", "light", "class_names")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Two drives of a box that is bright and near, one to learn from and one to test."""
    folder = tmp_path_factory.mktemp("boxes")
    classes = np.zeros((4, SIZE[1], SIZE[0]), np.uint16)
    classes[:, 4:10, 4:12] = 1
    with (folder / "classes.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(COLUMNS)
        for name, split, light in (("one", "train", "day"), ("two", "test", "night")):
            files = [folder / f"{kind}_{name}.mkv" for kind in ("rgb", "depth", "classes")]
            colours = np.repeat(60 + 120 * classes[..., None], 3, axis=-1).astype(np.uint8)
            write_rgb(files[0], colours, SIZE, FRAME_RATE)
            write_gray16(files[1], (3_000 - 2_000 * classes).astype(np.uint16), SIZE, FRAME_RATE)
            write_gray16(files[2], classes, SIZE, FRAME_RATE)
            rows.writerow([name, *files, split, light, "wall,box"])
    return folder / "classes.csv"


@pytest.fixture(scope="module")
def quietly():
    """Run a command line for what outlives a test."""

    def run(*arguments):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.argv", ["avkd", *map(str, arguments)])
            with suppress(SystemExit):  # what it did not do, the tests will miss
                main()

    return run


def extract(avkd, table, store, *more):
    return avkd(
        "extract-teacher",
        table,
        store,
        "--inputs=none",
        "--clip-seconds=1",
        "--step-seconds=0.25",
        *more,
    )


@pytest.fixture(scope="module")
def store(quietly, table, tmp_path_factory):
    place = tmp_path_factory.mktemp("stores") / "boxes"
    extract(
        quietly,
        table,
        place,
        "--frames=8x6",
        "--frames=rgb@16x12",
        "--frames=depth:0:6000@16x12",
        "--class-map=truth=classes@16x12",
    )
    return place


@pytest.fixture(scope="module")
def run(quietly, store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "bound"
    quietly(
        "train-student",
        store,
        folder,
        "--recipe=mke_dense",
        "--variant=tiny",
        "--set=method.options.teacher=truth",
        "--set=schedule.num_updates=3",
    )
    return folder


def test_pictures_of_streams_lie_beside_those_there_ever_were(store):
    producers = Store.open(str(store)).producers()
    shapes = {name: spec.outputs[0].shape for name, spec in producers.items()}
    assert shapes == {
        "frames": (4, 6, 8, 3),
        "frames_rgb": (4, 12, 16, 3),
        "frames_depth": (4, 12, 16, 1),
        "truth": (4, 12, 16),
    }
    assert producers["truth"].outputs[0].class_names == ("wall", "box")


def test_truth_alone_is_no_teacher_that_a_student_learns_from_unasked(avkd, store, tmp_path):
    outcome = avkd("train-student", store, tmp_path / "run", "--recipe=mke_dense")
    outcome.assert_refused(2, "none stored class maps", "truth must be named")


def test_a_run_is_told_by_group_and_beside_a_teacher(avkd, run, store):
    asked = ("evaluate", run, store, "--class-maps=truth", "--by=light", "--teacher-targets=truth")
    outcome = avkd(*asked)
    assert outcome.exit_code == 0, outcome.err
    assert "split test, class maps against the truth truth" in outcome.out
    assert "light=night: 1 recordings, 1 rows" in outcome.out
    (header, *_) = [line for line in outcome.out.splitlines() if "mIoU" in line]
    assert header.split() == ["mIoU", "pixel_accuracy", "IoU_wall", "IoU_box"]
    told = [line.split() for line in outcome.out.splitlines() if line.split()[:1] == ["truth"]]
    assert told == [["truth", "1.000", "1.000", "1.000", "1.000"]] * 2
    found = avkd(*asked, "--json").json
    assert (found["kind"], found["class_names"]) == ("class_maps", ["wall", "box"])
    assert [each["group"] for each in found["scores"][0]["groups"]] == ["all", "light=night"]


def test_other_questions_are_refused_beside_class_maps(avkd, run, store, tmp_path):
    asked = ("evaluate", run, store, "--class-maps=truth")
    avkd(*asked, "--min-score=0.3").assert_refused(2, "--min-score", "leave it out")
    avkd(*asked, "--label-column=light").assert_refused(2, "--label-column", "leave it out")
    avkd("evaluate", run, store, "--class-maps=frames").assert_refused(2, "class maps", "truth")
    (tmp_path / "sounds.csv").write_text("path,label\na.wav,x\n")
    avkd("evaluate", run, tmp_path / "sounds.csv", "--class-maps=truth").assert_refused(
        2, "--class-maps goes with a store"
    )


def test_pictures_of_16_bits_need_a_range(avkd, table, tmp_path):
    outcome = extract(avkd, table, tmp_path / "store", "--frames=depth@16x12")
    assert outcome.exit_code == 0
    assert "frames_depth: none of 2 clips is ok" in outcome.out + outcome.err
    assert "say which range to show" in outcome.out + outcome.err


def test_class_names_must_be_told(avkd, table, tmp_path):
    (tmp_path / "bare.csv").write_text(table.read_text().replace("class_names", "names"))
    outcome = extract(
        avkd, tmp_path / "bare.csv", tmp_path / "store", "--class-map=truth=classes@16x12"
    )
    outcome.assert_refused(2, "class_names", "commas")
