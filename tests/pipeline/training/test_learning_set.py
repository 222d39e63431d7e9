"""What is read of a store: rows without labels, and pictures of which a step has several."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from avkd.errors import InvalidValueError
from avkd.pipeline.evaluation.row_predictions import WantedRows, predict_rows
from avkd.pipeline.extract import extract_teacher
from avkd.pipeline.extraction.producers import describe_frames, frames_of_size
from avkd.pipeline.extraction.request import ExtractRequest
from avkd.pipeline.recipe import (
    DataConfig,
    EncoderConfig,
    MethodConfig,
    OptimiserConfig,
    Recipe,
    ScheduleConfig,
    with_overrides,
)
from avkd.pipeline.recipes.registry import get_recipe
from avkd.pipeline.run_dir import RunDir
from avkd.pipeline.train import TrainReport, train_student
from avkd.pipeline.training.learning_set import (
    choose_learning_set,
    count_left_out,
    describe_inputs,
    find_learning_examples,
)
from avkd.pipeline.training.metrics_log import read_metrics
from avkd.pipeline.training.students import load_clip_student, read_learning_shape
from avkd.stages.methods.batch import Needs
from avkd.stages.types import ClipPolicy
from avkd.storage.clips import clip_id
from avkd.storage.schema import ClipRow
from avkd.storage.store import Store

CPU = torch.device("cpu")
NUM_ROWS = 24


def store_of(folder: Path, labels: Sequence[str]) -> str:
    """Two vectors a row; the labels are given."""
    folder.mkdir()
    rows = "".join(f"p{i},train,{name},{i % 3 - i / 20},{i % 3}\n" for i, name in enumerate(labels))
    corpus, url = folder / "points.csv", str(folder / "store")
    corpus.write_text(f"recording_id,split,labels,alpha,beta\n{rows}")
    extract_teacher(ExtractRequest(corpus=str(corpus), store=url, vectors=("alpha", "beta")))
    return url


LABELS = tuple("up" if i % 3 else "down;far" for i in range(NUM_ROWS))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> str:
    """All rows have a label."""
    return store_of(tmp_path_factory.mktemp("points") / "whole", LABELS)


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The first half of the rows has one."""
    labels = (*LABELS[: NUM_ROWS // 2], *[""] * (NUM_ROWS // 2))
    return store_of(tmp_path_factory.mktemp("points") / "half", labels)


def learn(
    store: str, run: Path, variant: str, *overrides: str
) -> tuple[TrainReport, dict[str, torch.Tensor]]:
    options = '{"streams": ["alpha"], "hidden_size": 4, "input_noise": 0.5}'
    changes = ["encoder.name=vectors", f"encoder.options={options}", "data.batch_size=1"]
    changes += ["schedule.num_epochs=2", "schedule.warmup_updates=0", *overrides]
    recipe = with_overrides(get_recipe("mutual", variant), changes)
    report = train_student(store, str(run), recipe, device="cpu")
    return report, load_clip_student(run).student.state_dict()


def test_a_student_with_a_transfer_learns_from_rows_without_a_label(
    half: str, tmp_path: Path
) -> None:
    report, _ = learn(half, tmp_path / "run", "default", "method.options.visual=beta")
    assert (report.num_clips, report.num_left_out) == (NUM_ROWS, 0)
    records = read_metrics(RunDir(path=tmp_path / "run").metrics_file)
    assert all(np.isfinite(record["loss"]) for record in records)
    # Batches of one: half of them have no label at all.
    of_labels = [record["parts"]["binary_cross_entropy/student"] for record in records]
    assert of_labels.count(0.0) == len(of_labels) // 2
    assert all(record["parts"]["kl/cross_to_student"] > 0 for record in records)


def test_without_a_transfer_rows_without_a_label_are_left_out_as_by_the_supervised_method(
    half: str, tmp_path: Path
) -> None:
    off = ("method.options.single_modal=off", "method.options.cross_modal=off")
    alone, expected = learn(half, tmp_path / "alone", "audio_only")
    pair, found = learn(half, tmp_path / "off", "default", "method.options.visual=beta", *off)
    for report in (alone, pair):
        assert (report.num_clips, report.num_left_out) == (NUM_ROWS // 2, NUM_ROWS // 2)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("takes_unlabelled", [False, True])
def test_where_all_rows_have_labels_the_examples_are_the_same(
    whole: str, half: str, takes_unlabelled: bool
) -> None:
    data = DataConfig(split="train", label_column="labels")
    needs = Needs(inputs=("alpha",), labels="classes", takes_unlabelled=takes_unlabelled)
    learning = choose_learning_set(Store.open(whole), data, (), None)
    examples = find_learning_examples(replace(learning, needs=needs))
    assert examples.labels == LABELS
    assert count_left_out(learning, examples) == 0

    learning = choose_learning_set(Store.open(half), data, (), None)
    assert learning.shape.class_names == ("down", "far", "up")
    examples = find_learning_examples(replace(learning, needs=needs))
    assert examples.labels.count("") == (NUM_ROWS // 2 if takes_unlabelled else 0)
    assert count_left_out(learning, examples) == NUM_ROWS - len(examples)


def test_rows_without_a_label_alone_are_not_enough(half: str) -> None:
    labelled = Store.open(half)
    learning = choose_learning_set(
        labelled, DataConfig(label_column="labels", split="train"), (), None
    )
    learning = replace(learning, data=replace(learning.data, label_column="none such"))
    for takes_unlabelled in (False, True):
        needs = Needs(inputs=("alpha",), labels="class", takes_unlabelled=takes_unlabelled)
        with pytest.raises(InvalidValueError, match="no clip of split 'train' with a label"):
            find_learning_examples(replace(learning, needs=needs))


def pictures_store(folder: Path, frames_per_step: int) -> str:
    """Clips of two steps, every third of one; the last picture of a step tells the class."""
    policy = ClipPolicy(clip_seconds=1.0, step_seconds=0.5, frames_per_step=frames_per_step)
    store = Store.create(str(folder), clip_policy=asdict(policy), rows_per_shard=NUM_ROWS)
    num_steps = [1 if row % 3 == 2 else 2 for row in range(NUM_ROWS)]
    store.plan_clips(
        [
            ClipRow(
                row=row,
                clip_id=clip_id(f"r{row}", 0.0, 1.0),
                recording_id=f"r{row}",
                streams={"rgb": f"r{row}.mp4"},
                start_seconds=0.0,
                duration_seconds=num_steps[row] / 2,
                num_steps=num_steps[row],
                metadata={"split": "train", "label": ("dark", "light")[row % 2]},
            )
            for row in range(NUM_ROWS)
        ]
    )
    spec = describe_frames(frames_of_size(8, 8), policy)
    frames = np.zeros((NUM_ROWS, *spec.outputs[0].shape), np.uint8)
    for row in range(NUM_ROWS):
        told = frames[row, frames_per_step - 1 : num_steps[row] * frames_per_step : frames_per_step]
        told[:] = 200 * (row % 2)
    store.declare(spec)
    store.write_shard("frames", 0, {"frames": frames}, failures={}, timings={})
    return str(folder)


@pytest.fixture(scope="module")
def two_a_step(tmp_path_factory: pytest.TempPathFactory) -> str:
    return pictures_store(tmp_path_factory.mktemp("pictures") / "two", 2)


@pytest.fixture(scope="module")
def seer(two_a_step: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run that learned from the pictures."""
    recipe = Recipe(
        name="pictures",
        variant="tiny",
        method=MethodConfig(name="supervised"),
        encoder=EncoderConfig(name="pictures", options={"widths": (4,)}),
        data=DataConfig(label_column="label", batch_size=8, validation_fraction=0.0),
        optimiser=OptimiserConfig(learning_rate=0.05),
        schedule=ScheduleConfig(num_updates=30),
    )
    run = str(tmp_path_factory.mktemp("runs") / "seer")
    train_student(two_a_step, run, recipe, device="cpu")
    return run


def test_a_store_tells_how_many_pictures_a_step_has_and_the_run_remembers(
    two_a_step: str, seer: str
) -> None:
    told = describe_inputs(Store.open(two_a_step))
    assert (told["frames"].shape, told["frames"].frames_per_step) == ((4, 8, 8, 3), 2)
    assert read_learning_shape(RunDir(path=Path(seer))).inputs == told


def test_all_pictures_of_a_clip_are_learned_from_and_judged(two_a_step: str, seer: str) -> None:
    loaded, store = load_clip_student(seer), Store.open(two_a_step)
    said = predict_rows(loaded, store, WantedRows(split="train", label_column="label"), device=CPU)
    hits = [said.class_names[place] for place in said.logits.argmax(axis=1)]
    assert tuple(hits) == said.labels
    # The second picture of the only step of row 5 is all that tells its class.
    row = np.asarray(store.read_rows("frames", "frames", 5, 6))
    blind = row.copy()
    blind[:, 1] = 0
    with torch.no_grad():
        seen, missed = (
            loaded.student({"frames": torch.from_numpy(each)}, torch.tensor([1])).logits.argmax()
            for each in (row, blind)
        )
    assert (loaded.class_names[seen], loaded.class_names[missed]) == ("light", "dark")


def test_a_store_with_another_number_of_pictures_a_step_is_refused(
    seer: str, tmp_path: Path
) -> None:
    other = Store.open(pictures_store(tmp_path / "one", 1))
    with pytest.raises(InvalidValueError, match="learned from 2 of 'frames' a step but the store"):
        predict_rows(load_clip_student(seer), other, WantedRows(split="train"), device=CPU)
