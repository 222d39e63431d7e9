import json
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from avkd.errors import InvalidValueError, StoreNotFoundError, UnknownNameError
from avkd.pipeline.evaluate import EvaluationReport, evaluate_run
from avkd.pipeline.evaluation.datasets import EvaluationDataset, LabelledClip
from avkd.pipeline.recipe import Recipe, with_overrides
from avkd.pipeline.train import train_student
from avkd.storage.store import Store

RATE = 22_050
KINDS = ("high", "low", "noise")


def write_kind(path: Path, kind: str, seed: int) -> None:
    generator = np.random.default_rng(seed)
    times = np.arange(RATE // 2) / RATE
    if kind == "noise":
        sound = 0.2 * generator.normal(size=len(times))
    else:
        pitch = (2500 if kind == "high" else 350) * generator.uniform(0.95, 1.05)
        sound = 0.4 * np.sin(2 * np.pi * pitch * times + generator.uniform(0, 6))
        sound += 0.01 * generator.normal(size=len(times))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((sound * 32_000).clip(-32_000, 32_000).astype(np.int16).tobytes())


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> tuple[LabelledClip, ...]:
    """Two tones and noise, eight of each, in two folds."""
    folder = tmp_path_factory.mktemp("sounds")
    clips = []
    for number in range(24):
        path = folder / f"{number}.wav"
        write_kind(path, KINDS[number % 3], number)
        split = ("train", "train", "validation", "test")[number // 3 % 4]
        clip = LabelledClip(
            path=str(path),
            label=KINDS[number % 3],
            fold=str(number // 3 % 2),
            split=split,
            group=path.name,
        )
        clips.append(clip)
    return tuple(clips)


@pytest.fixture(scope="module")
def folds(clips: tuple[LabelledClip, ...]) -> EvaluationDataset:
    return EvaluationDataset("folds", clips)


@pytest.fixture(scope="module")
def splits(clips: tuple[LabelledClip, ...]) -> EvaluationDataset:
    without = (
        LabelledClip(path=c.path, label=c.label, split=c.split, group=c.group) for c in clips
    )
    return EvaluationDataset("splits", tuple(without))


def train(store: Store, recipe: Recipe, folder: Path, *overrides: str) -> str:
    run = str(folder / "run")
    changed = with_overrides(recipe, ["schedule.num_epochs=6", *overrides])
    train_student(store.url, run, changed, device="cpu")
    return run


@pytest.fixture(scope="module")
def student_run(store: Store, recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A student of tones, probed over pooled columns."""
    changes = (
        "optimiser.learning_rate=1e-2",
        "evaluation.learning_rate=1e-2",
        "evaluation.num_updates=30",
    )
    return train(store, recipe, tmp_path_factory.mktemp("student"), *changes)


@pytest.fixture(scope="module")
def report(student_run: str, folds: EvaluationDataset) -> EvaluationReport:
    return evaluate_run(
        student_run,
        folds,
        controls=("random", "scratch", "mfcc", "fine_tuned"),
        labels_per_class=(1, 0),
        seeds=(0, 1),
        device="cpu",
    )


def test_two_tones_and_noise_are_told_apart_without_a_mistake(report: EvaluationReport) -> None:
    score = report.find("distilled")
    assert score.mean == 1.0
    assert score.trial_accuracies == {"0": 1.0, "1": 1.0}
    assert score.confusion == ((8, 0, 0), (0, 8, 0), (0, 0, 8))
    assert score.class_accuracies == (1.0, 1.0, 1.0)
    assert (score.low, score.high) == (1.0, 1.0)


def test_shuffled_labels_give_chance(student_run: str, folds: EvaluationDataset) -> None:
    order = np.random.default_rng(0).permutation(len(folds.clips))
    shuffled = tuple(
        LabelledClip(path=c.path, label=folds.clips[i].label, fold=c.fold, group=c.group)
        for c, i in zip(folds.clips, order, strict=True)
    )
    dataset = EvaluationDataset("shuffled", shuffled)
    report = evaluate_run(student_run, dataset, controls=(), device="cpu")
    assert report.find("distilled").mean < 0.6


def test_every_control_is_measured_with_every_number_of_labels(report: EvaluationReport) -> None:
    measured = {(score.features, score.labels_per_class) for score in report.scores}
    names = ("distilled", "random", "scratch", "scratch_softmax", "mfcc", "fine_tuned_softmax")
    assert measured == {(name, number) for name in names for number in (1, 0)}


def test_seeds_matter_where_something_is_drawn(report: EvaluationReport) -> None:
    assert len(report.find("distilled").accuracies) == 1  # nothing is drawn
    assert len(report.find("distilled", labels_per_class=1).accuracies) == 2
    assert len(report.find("random").accuracies) == 2
    assert len(report.find("scratch").accuracies) == 2


def test_students_that_saw_labels_know_them(report: EvaluationReport) -> None:
    assert report.find("scratch").mean > 0.8
    assert report.find("fine_tuned_softmax").mean > 0.8
    assert report.find("mfcc").mean == 1.0


def test_an_evaluation_gives_the_same_numbers_again(
    student_run: str, folds: EvaluationDataset, report: EvaluationReport
) -> None:
    again = evaluate_run(
        student_run,
        folds,
        controls=("random", "scratch"),
        labels_per_class=(1,),
        seeds=(0, 1),
        device="cpu",
    )
    for score in again.scores:
        assert score == report.find(score.features, labels_per_class=1)


def test_the_report_is_in_the_runs_folder(student_run: str, report: EvaluationReport) -> None:
    written = json.loads((Path(student_run) / "evaluation-folds.json").read_text())
    assert written["dataset"] == "folds"
    assert written["class_names"] == list(KINDS)
    assert written["num_clips"] == 24
    assert written["trials"] == ["0", "1"]
    assert json.loads(report.to_json())["scores"][0]["mean"] == report.scores[0].mean


def test_splits_choose_the_strength_on_validation_and_test_once(
    student_run: str, splits: EvaluationDataset
) -> None:
    report = evaluate_run(student_run, splits, controls=("mfcc",), device="cpu")
    assert report.trials == ("test",)
    assert report.find("distilled").mean == 1.0
    assert sum(map(sum, report.find("distilled").confusion)) == 6


def test_layers_are_probed_one_by_one(student_run: str, folds: EvaluationDataset) -> None:
    layers = ("stage1", "stage2", "head")
    report = evaluate_run(
        student_run, folds, layers=layers, controls=("random",), seeds=(0,), device="cpu"
    )
    assert [(s.features, s.layer) for s in report.scores] == [
        (name, layer) for name in ("distilled", "random") for layer in layers
    ]
    assert report.find("distilled", layer="stage2").layer == "stage2"


def test_soundnets_window_probe_is_used_where_the_recipe_says_so(
    store: Store, recipe: Recipe, tmp_path: Path, folds: EvaluationDataset
) -> None:
    changes = ("evaluation.window_seconds=0.2", "evaluation.clip_seconds=1", "evaluation.cost=1")
    run = train(store, recipe, tmp_path, *changes)
    report = evaluate_run(run, folds, controls=(), device="cpu")
    assert report.find("distilled").mean > 0.9


def test_the_teachers_own_targets_are_probed_where_the_store_holds_the_dataset(
    build_store: Callable[..., Store], recipe: Recipe, tmp_path: Path
) -> None:
    store = build_store(has_recordings=True)
    run = train(store, recipe, tmp_path, "schedule.num_epochs=1")
    # A recording holds two tones, and which two follows from its number modulo 3.
    paths = sorted({clip.streams["audio"] for s in store.shards() for clip in store.read_clips(s)})
    numbers = [int(Path(path).stem.removeprefix("recording")) for path in paths]
    clips = [
        LabelledClip(path=path, label=str(n % 3), fold=str(n % 2), group=path)
        for path, n in zip(paths, numbers, strict=True)
    ]
    dataset = EvaluationDataset("recordings", tuple(clips))
    report = evaluate_run(run, dataset, controls=("teacher",), device="cpu")
    assert report.find("teacher").mean == 1.0


def test_sparse_targets_are_no_features(
    store: Store, recipe: Recipe, tmp_path: Path, folds: EvaluationDataset
) -> None:
    run = str(tmp_path / "run")
    short = with_overrides(recipe, ["schedule.num_epochs=1"])
    train_student(store.url, run, short, teachers=("few",), device="cpu")
    with pytest.raises(InvalidValueError, match="stored dense logits"):
        evaluate_run(run, folds, controls=("teacher",), device="cpu")


def test_progress_is_told_for_each_measure(student_run: str, folds: EvaluationDataset) -> None:
    events = []
    evaluate_run(student_run, folds, controls=("mfcc",), device="cpu", on_progress=events.append)
    assert [(e.num_done, e.num_total, e.what) for e in events] == [
        (1, 2, "distilled"),
        (2, 2, "mfcc"),
    ]


def test_the_caller_s_random_numbers_are_left_alone(
    student_run: str, folds: EvaluationDataset
) -> None:
    import torch

    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    evaluate_run(student_run, folds, controls=("random", "scratch"), seeds=(0,), device="cpu")
    assert torch.equal(torch.rand(2), expected)


def test_an_unknown_layer_or_control_gets_close_matches(
    student_run: str, folds: EvaluationDataset
) -> None:
    with pytest.raises(UnknownNameError, match="did you mean stage2 or stage1"):
        evaluate_run(student_run, folds, layers=("stage",), device="cpu")
    with pytest.raises(UnknownNameError, match="did you mean scratch"):
        evaluate_run(student_run, folds, controls=("scrach",), device="cpu")  # type: ignore[arg-type]


def test_a_score_that_was_not_measured_is_an_error(report: EvaluationReport) -> None:
    with pytest.raises(ValueError, match="was not measured"):
        report.find("distilled", labels_per_class=7)


def test_no_run_is_said_so(tmp_path: Path, folds: EvaluationDataset) -> None:
    with pytest.raises(StoreNotFoundError):
        evaluate_run(str(tmp_path / "none"), folds)
