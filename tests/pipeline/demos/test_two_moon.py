"""MKE's TwoMoon through store, method and loop; other CPUs may differ by a point or two of 200."""

import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from avkd.errors import InterruptedRunError
from avkd.pipeline.demos.two_moon import TEACHER, draw_seeds, run_two_moon
from avkd.pipeline.evaluation.rows import evaluate_rows
from avkd.pipeline.extract import extract_teacher
from avkd.pipeline.extraction.request import ExtractRequest
from avkd.pipeline.recipe import Recipe, with_overrides
from avkd.pipeline.recipes.registry import get_recipe
from avkd.pipeline.train import TrainEvent, train_seeds, train_student
from avkd.pipeline.training.metrics_log import read_metrics
from avkd.pipeline.training.tensor_files import read_tensors
from avkd.stages.simulation.worlds.two_moon import NUM_POINTS, make_points, write_two_moon
from avkd.stages.teachers.request import TeacherRequest
from avkd.storage.store import Store

TOLERANCE = 1.0


@dataclass(frozen=True)
class Moons:
    """A store with both coordinates and the teacher's word, and the teacher's run."""

    store: str
    teacher: str


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def moons(tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> Moons:
    folder = tmp_path_factory.mktemp("moons")
    made = Moons(store=str(folder / "store"), teacher=str(folder / "teacher"))
    vectors = ExtractRequest(
        corpus=str(write_two_moon(folder / "points.parquet")),
        store=made.store,
        vectors=("alpha", "beta"),
        inputs="none",
        rows_per_shard=NUM_POINTS,
    )
    extract_teacher(vectors)
    train_student(made.store, made.teacher, get_recipe("mke_teacher", "two_moon"), device="cpu")
    teacher = TeacherRequest(name=TEACHER, family=made.teacher, batch_size=NUM_POINTS)
    extract_teacher(replace(vectors, vectors=(), teachers=(teacher,)))
    return made


def student(variant: str = "two_moon", *changes: str) -> Recipe:
    return with_overrides(get_recipe("mke", variant), changes)


def percent_right(run: str, store: str) -> float:
    report = evaluate_rows(run, store, split="test", label_column="truth", device="cpu")
    return 100 * report.student.metrics["accuracy"]


def test_the_teacher_is_the_published_one(moons: Moons) -> None:
    assert percent_right(moons.teacher, moons.store) == pytest.approx(69.5, abs=TOLERANCE)


def test_the_stored_teacher_is_right_on_two_thirds_of_what_it_teaches(moons: Moons) -> None:
    unlabelled = next(points for points in make_points() if points.split == "unlabelled")
    logits = np.asarray(Store.open(moons.store).read_rows(TEACHER, "logits", 30, 300))
    assert logits.dtype == np.float32
    right = 100 * (logits.argmax(axis=1) == unlabelled.moons).mean()
    assert right == pytest.approx(64.4, abs=TOLERANCE)


def test_students_with_both_coordinates_beat_their_teacher_as_published(
    moons: Moons, tmp_path: Path
) -> None:
    seeds = draw_seeds()[:2]
    reports = train_seeds(moons.store, str(tmp_path), student(), seeds, device="cpu")
    assert [report.num_clips for report in reports] == [270, 270]
    accuracies = [percent_right(report.run, moons.store) for report in reports]
    assert np.mean(accuracies) == pytest.approx(np.mean([77.0, 76.5]), abs=TOLERANCE)


@pytest.mark.parametrize(
    "changes",
    [
        ("encoder.options.dropout=0.5",),
        ("method.options.mixup=0.4", "method.options.gamma=0.1"),
        ("method.options.threshold=flexmatch", "method.options.threshold_value=0.6"),
    ],
    ids=lambda changes: changes[0].split(".")[-1],
)
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(
    moons: Moons, tmp_path: Path, changes: tuple[str, ...]
) -> None:
    recipe = student("two_moon", "schedule.num_epochs=40", *changes)
    assert recipe.seeding == "once"
    whole, halves = str(tmp_path / "whole"), str(tmp_path / "halves")
    train_student(moons.store, whole, recipe, device="cpu")

    def stop_in_the_middle(event: TrainEvent) -> None:
        if event.update == 17:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(InterruptedRunError):
        train_student(moons.store, halves, recipe, device="cpu", on_progress=stop_in_the_middle)
    torch.manual_seed(12345)  # as a new process would have it
    report = train_student(moons.store, halves, recipe, device="cpu")
    assert 17 <= report.first_update < 40
    assert losses_of(halves) == losses_of(whole)
    first, second = (read_tensors(Path(run) / "student.safetensors") for run in (whole, halves))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def losses_of(run: str) -> list[float]:
    return [record["loss"] for record in read_metrics(Path(run) / "metrics.jsonl")]


def test_a_students_labels_are_not_read(moons: Moons, tmp_path: Path) -> None:
    short = "schedule.num_epochs=2"
    report = train_student(moons.store, str(tmp_path / "s"), student("two_moon", short))
    assert report.teachers == (TEACHER,)
    bound = student("two_moon_supervised", short)
    report = train_student(moons.store, str(tmp_path / "b"), bound)
    assert report.teachers == ()
    assert report.num_clips == 270


def test_the_ten_seeds_are_the_notebooks() -> None:
    assert draw_seeds() == (81, 14, 3, 94, 35, 31, 28, 17, 94, 13)


@pytest.mark.slow
def test_the_whole_demo_gives_the_papers_table(tmp_path: Path) -> None:
    report = run_two_moon(str(tmp_path), seeds=(81, 14, 81))
    assert report.teacher.mean == pytest.approx(69.5, abs=TOLERANCE)
    assert report.um_student.mean == pytest.approx(72.5, abs=TOLERANCE)
    assert report.mm_student.mean == pytest.approx(76.83, abs=TOLERANCE)
    assert report.mm_supervised.mean == pytest.approx(87.67, abs=TOLERANCE)
    assert report.mm_student.runs[0] == report.mm_student.runs[2]
    assert list(report.rows) == ["teacher", "um_student", "mm_student", "mm_supervised"]
