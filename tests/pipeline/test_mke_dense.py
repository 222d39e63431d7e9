"""Dense MKE from files to scores: pictures of two streams, a teacher's word, and the truth.

A box stands in each picture. It is nearer than the wall behind it, and by day of another colour;
by night all is dark. The teacher errs in many pixels, each by itself, and by night it is blind.
"""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from avkd.errors import CorpusError, InvalidValueError, UnknownNameError
from avkd.pipeline.compare import compare_runs
from avkd.pipeline.evaluation.class_map_evaluation import evaluate_class_maps
from avkd.pipeline.evaluation.class_map_scores import summarise_maps
from avkd.pipeline.extract import extract_teacher
from avkd.pipeline.extraction.pictures import StoredClassMaps, StoredPictures
from avkd.pipeline.extraction.request import ExtractRequest
from avkd.pipeline.recipe import with_overrides
from avkd.pipeline.recipes.registry import get_recipe
from avkd.pipeline.report.gathering import gather_report
from avkd.pipeline.train import train_student
from avkd.pipeline.training.students import load_clip_student, load_dense_student
from avkd.stages.simulation.road.recording import write_gray16, write_rgb
from avkd.storage.schema import OutputSpec, ProducerSpec
from avkd.storage.store import Store
from avkd.storage.verify import verify_store

WIDTH, HEIGHT, FRAME_RATE, NUM_FRAMES = 32, 24, 4, 8
SIZE = (16, 12)
"""Of what is stored: a quarter of the pixels."""
NUM_RECORDINGS = 8
NAMES = ("wall", "box")
LIGHTS = ("day", "night")
SPLITS = ("train",) * 6 + ("test",) * 2
FRAMES = ("frames_rgb", "frames_depth")
FAST = ("schedule.num_updates=40", "optimiser.learning_rate=0.01")
BY_DAY = (
    'data.where={"light": ["day"]}',
    "schedule.num_updates=80",
    "encoder.options.drop_stream=0.5",
)
"""Streams that are taken away are what teaches a student to go without one."""


def draw_classes(recording: int) -> np.ndarray:
    """(frames, height, width): a box that wanders, on even pixels."""
    maps = np.zeros((NUM_FRAMES, HEIGHT, WIDTH), np.uint16)
    rng = np.random.default_rng(recording)
    for number in range(NUM_FRAMES):
        top, left = 2 * rng.integers(0, 6), 2 * rng.integers(0, 9)
        maps[number, top : top + 12, left : left + 14] = 1
    return maps


def draw_rgb(recording: int, classes: np.ndarray) -> np.ndarray:
    if LIGHTS[recording % 2] == "night":
        return np.full((*classes.shape, 3), 4, np.uint8)
    return np.where(classes[..., None] == 1, (200, 60, 40), (60, 90, 120)).astype(np.uint8)


def write_files(folder: Path) -> Path:
    rows = []
    for number in range(NUM_RECORDINGS):
        classes = draw_classes(number)
        files = {name: folder / f"{name}{number}.mkv" for name in ("rgb", "depth", "classes")}
        size = (WIDTH, HEIGHT)
        write_rgb(files["rgb"], draw_rgb(number, classes), size, FRAME_RATE)
        write_gray16(files["classes"], classes, size, FRAME_RATE)
        write_gray16(
            files["depth"], np.where(classes == 1, 900, 3_000).astype(np.uint16), size, FRAME_RATE
        )
        rows.append(
            {
                "recording_id": f"drive{number}",
                **{name: str(file) for name, file in files.items()},
                "split": SPLITS[number],
                "light": LIGHTS[number % 2],
                "class_names": ", ".join(NAMES),
            }
        )
    rows[5]["classes"] = ""  # nobody looked
    table = folder / "classes.csv"
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return table


def request(table: Path, store: Path, **options) -> ExtractRequest:
    return ExtractRequest(
        corpus=str(table),
        store=str(store),
        inputs="none",
        pictures=(
            StoredPictures(stream="rgb", size=SIZE),
            StoredPictures(stream="depth", size=SIZE, value_range=(0, 6_000)),
        ),
        class_maps=(StoredClassMaps(name="truth", stream="classes", size=SIZE),),
        clip_seconds=1.0,
        step_seconds=0.25,
        rows_per_shard=8,
        **options,
    )


def add_teacher(store: Store) -> None:
    """Every fourth pixel is said wrongly by day; by night all is wall."""
    spec = ProducerSpec(
        kind="teacher",
        name="eye",
        outputs=(
            OutputSpec(
                name="class_map",
                shape=(4, SIZE[1], SIZE[0]),
                dtype="uint8",
                axes=("step", "height", "width"),
                class_names=NAMES,
            ),
        ),
        fingerprint={"weights": "eye"},
    )
    store.declare(spec)
    for shard in store.shards():
        maps = np.zeros((store.rows_per_shard, *spec.outputs[0].shape), np.uint8)
        for clip in store.read_clips(shard):
            number = int(clip.recording_id.removeprefix("drive"))
            if LIGHTS[number % 2] == "day":
                first = round(clip.start_seconds * FRAME_RATE)
                true = draw_classes(number)[first : first + 4, 1::2, 1::2]
                errs = np.random.default_rng(clip.row).random(true.shape) < 0.25
                maps[clip.row % store.rows_per_shard] = np.where(errs, 1 - true, true)
        store.write_shard("eye", shard, {"class_map": maps}, failures={}, timings={})


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Path:
    return write_files(tmp_path_factory.mktemp("drives"))


@pytest.fixture(scope="module")
def store(table, tmp_path_factory) -> str:
    place = tmp_path_factory.mktemp("stores") / "store"
    extract_teacher(request(table, place))
    add_teacher(Store.open(str(place)))
    return str(place)


def train(store: str, folder: Path, *changes: str, variant: str = "tiny", seed: int = 0) -> str:
    recipe = with_overrides(get_recipe("mke_dense", variant), [*FAST, *changes, f"seed={seed}"])
    train_student(store, str(folder), recipe, device="cpu")
    return str(folder)


@pytest.fixture(scope="module")
def runs(store, tmp_path_factory) -> Path:
    """By seed, of the student that sees both by day alone: by night its teacher is blind."""
    folder = tmp_path_factory.mktemp("runs") / "both"
    for seed in (0, 1):
        train(store, folder / f"seed-{seed}", *BY_DAY, seed=seed)
    return folder


@pytest.fixture(scope="module")
def report(store, runs):
    return evaluate_class_maps(
        str(runs / "seed-0"),
        store,
        class_maps="truth",
        by=("light",),
        teacher_targets=["eye"],
        device="cpu",
    )


def rows_of(store: Store, name: str, output: str) -> dict[tuple[str, float], np.ndarray]:
    found = {}
    for shard in store.shards():
        for clip in store.read_clips(shard):
            read = store.read_rows(name, output, clip.row, clip.row + 1)
            found[clip.recording_id, clip.start_seconds] = read[0]
    return found


def test_pictures_and_truth_are_stored_pixel_by_pixel(store):
    opened = Store.open(store)
    true = rows_of(opened, "truth", "class_map")
    depth = rows_of(opened, "frames_depth", "frames_depth")
    rgb = rows_of(opened, "frames_rgb", "frames_rgb")
    assert len(true) == 2 * NUM_RECORDINGS
    for (name, start), maps in true.items():
        number, first = int(name.removeprefix("drive")), round(4 * start)
        expected = draw_classes(number)[first : first + 4, 1::2, 1::2]
        assert (maps == (expected if number != 5 else 0)).all()
        levels = depth[name, start][..., 0].astype(int)
        # Bicubic: an edge overshoots by a little.
        assert (np.abs(levels - np.where(expected == 1, 38, 128)) < 25).all()
        assert rgb[name, start].shape == (4, SIZE[1], SIZE[0], 3)
    bright = rgb["drive0", 0.0].astype(int)[..., 0]
    expected = draw_classes(0)[:4, 1::2, 1::2]
    assert bright[expected == 1].mean() > 3 * bright[expected == 0].mean() / 2
    assert not verify_store(store)


def test_a_recording_without_truth_is_a_row_with_a_reason(store):
    (commit, *others) = Store.open(store).commits("truth")
    failures = {row: why for each in (commit, *others) for row, why in each.failures.items()}
    assert {status for status, _ in failures.values()} == {"no_video"}
    assert len(failures) == 2
    assert "no 'classes' stream" in next(iter(failures.values()))[1]


def test_the_same_again_does_nothing_and_another_size_is_refused(table, store):
    assert extract_teacher(request(table, Path(store))).num_shards_done == 0
    other = ExtractRequest(
        corpus=str(table), store=store, pictures=(StoredPictures(stream="rgb", size=(8, 6)),)
    )
    with pytest.raises(InvalidValueError, match=r"frames_rgb rgb@8x6 differs from rgb@16x12"):
        extract_teacher(other)
    plain = ExtractRequest(corpus=str(table), store=store)
    assert extract_teacher(plain).num_shards_done == 0


def test_streams_and_columns_that_no_recording_has_are_refused(table, tmp_path):
    heat = StoredPictures(stream="thermal", size=SIZE, value_range=(0, 10))
    asked = ExtractRequest(corpus=str(table), store=str(tmp_path / "s"), pictures=(heat,))
    with pytest.raises(InvalidValueError, match="stream 'thermal', which no recording"):
        extract_teacher(asked)
    maps = StoredClassMaps(name="truth", stream="ground", size=SIZE)
    asked = ExtractRequest(corpus=str(table), store=str(tmp_path / "s"), class_maps=(maps,))
    with pytest.raises(InvalidValueError, match="name the files in a column 'ground'"):
        extract_teacher(asked)


def test_the_student_beats_its_teacher_where_that_errs_and_where_it_is_blind(report):
    student, teacher = report.scores
    for group in ("light=day", "light=night"):
        assert student.find(group).metrics["mIoU"] > teacher.find(group).metrics["mIoU"] + 0.2
    day = teacher.find("light=day")
    assert day.metrics["pixel_accuracy"] == pytest.approx(0.75, abs=0.05)
    assert teacher.find("light=night").metrics["IoU_box"] == 0.0
    assert student.find("light=day").metrics["mIoU"] > 0.85


def test_numbers_are_of_all_pixels_of_a_group(report):
    for scores in report.scores:
        everything, day, night = scores.groups
        assert (everything.group, everything.num_rows, everything.num_recordings) == ("all", 4, 2)
        assert everything.num_pixels == 4 * 4 * SIZE[0] * SIZE[1]
        summed = np.array(day.confusion) + np.array(night.confusion)
        assert (np.array(everything.confusion) == summed).all()
        right = np.diag(summed)
        ious = right / (summed.sum(axis=0) + summed.sum(axis=1) - right)
        assert everything.metrics["mIoU"] == pytest.approx(ious.mean())
        assert everything.metrics["IoU_box"] == pytest.approx(ious[1])
        assert everything.metrics["pixel_accuracy"] == pytest.approx(right.sum() / summed.sum())


def test_the_truth_agrees_with_itself(runs, store):
    same = evaluate_class_maps(
        str(runs / "seed-0"), store, class_maps="truth", teacher_targets=["truth"], device="cpu"
    )
    assert same.scores[1].metrics["mIoU"] == 1.0


def test_rows_without_truth_are_counted(runs, store):
    everywhere = evaluate_class_maps(
        str(runs / "seed-0"), store, class_maps="truth", split="", device="cpu"
    )
    student = everywhere.student
    assert (student.num_rows, student.num_left_out, student.num_without_truth) == (14, 2, 2)
    assert "student: 2 of 16 rows are left out: 2 without truth" in everywhere.notes
    assert "the student learned from split 'train'" in everywhere.notes


def test_numbers_against_another_are_called_agreement(runs, store):
    found = evaluate_class_maps(
        str(runs / "seed-1"), store, class_maps="eye", split="test", device="cpu"
    )
    assert not found.is_truth
    assert "agreement with eye" in found.notes[0]
    assert (runs / "seed-1" / "evaluation-class_maps-test-against_eye.json").exists()


def test_the_bound_learns_from_the_truth_and_says_so(store, tmp_path):
    sizes = ("encoder.options.widths=[8, 16]", "encoder.options.fine_width=8")
    changes = (*sizes, "data.batch_size=4", "schedule.num_updates=100")
    bound = train(store, tmp_path / "bound", *changes, variant="bound")
    found = evaluate_class_maps(bound, store, class_maps="truth", device="cpu")
    assert found.taught_by == "truth"
    assert any("an upper bound" in note for note in found.notes)
    assert found.student.metrics["mIoU"] > 0.9


def test_a_student_alone_with_colours_is_blind_by_night(store, tmp_path):
    alone = train(store, tmp_path / "alone", 'encoder.options.streams=["frames_rgb"]')
    found = evaluate_class_maps(alone, store, class_maps="truth", by=("light",), device="cpu")
    assert found.student.find("light=night").metrics["IoU_box"] < 0.2


def test_a_run_is_the_same_twice(store, runs, tmp_path):
    again = train(store, tmp_path / "again", *BY_DAY)
    weights = [Path(run) / "student.safetensors" for run in (again, runs / "seed-0")]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_a_finished_student_is_loaded_as_what_it_is(runs):
    loaded = load_dense_student(runs / "seed-0")
    assert loaded.student.class_names == NAMES
    assert loaded.student.map_size == (SIZE[1], SIZE[0])
    assert loaded.description["map_classes"] == list(NAMES)
    assert loaded.student.streams == FRAMES
    with pytest.raises(InvalidValueError, match="score it with --class-maps"):
        load_clip_student(runs / "seed-0")


def test_the_report_is_kept_and_summed_over_seeds_and_compared(runs, store, report):
    kept = json.loads((runs / "seed-0" / "evaluation-class_maps-test.json").read_text())
    assert kept["class_names"] == list(NAMES)
    reports = [
        evaluate_class_maps(
            str(runs / f"seed-{seed}"),
            store,
            class_maps="truth",
            by=("light",),
            teacher_targets=["eye"],
            device="cpu",
        )
        for seed in (0, 1)
    ]
    assert reports[0].scores == report.scores
    summary = summarise_maps(reports)["light=night"]["mIoU"]
    found = [each.student.find("light=night").metrics["mIoU"] for each in reports]
    assert (summary.mean, summary.num_seeds) == (pytest.approx(np.mean(found)), 2)
    compared = compare_runs([str(runs)], split="test", metric="mIoU")
    assert compared.groups[0].summarise("mIoU").num_seeds == 2
    content = gather_report(store, [str(runs / "seed-0")], num_frames=0)
    (shown,) = [
        each for each in content.tables if "class maps of test, held to the tr" in each.title
    ]
    assert [row[:2] for row in shown.rows[:2]] == [("student", "all"), ("student", "light=day")]


def test_what_cannot_be_scored_is_told_before_anything_is_said(runs, store, tmp_path):
    run = str(runs / "seed-0")
    with pytest.raises(UnknownNameError, match="producer of class maps"):
        evaluate_class_maps(run, store, class_maps="frames_rgb")
    with pytest.raises(UnknownNameError, match="column of the corpus"):
        evaluate_class_maps(run, store, class_maps="truth", by=("wether",))
    with pytest.raises(CorpusError, match="no rows of split 'nowhere'"):
        evaluate_class_maps(run, store, class_maps="truth", split="nowhere")
