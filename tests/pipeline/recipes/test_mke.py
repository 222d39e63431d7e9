"""MKE's audio-visual recipes on a made-up store: sight and sound tell one of three classes."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from avkd.pipeline.recipe import Recipe, with_overrides
from avkd.pipeline.recipes.registry import get_recipe
from avkd.pipeline.train import TrainReport, train_student
from avkd.pipeline.training.metrics_log import read_metrics
from avkd.pipeline.training.students import load_clip_student
from avkd.storage.schema import ClipRow, OutputSpec, ProducerSpec
from avkd.storage.store import Store

NUM_ROWS = 32
NUM_LABELLED = 12
SAMPLE_RATE = 22_050
CLASSES = ("bell", "drum", "harp")
SIGHT = "efficientnet_lite0"


def clip(row: int) -> ClipRow:
    has_label = row < NUM_LABELLED
    return ClipRow(
        row=row,
        clip_id=f"clip{row:02d}",
        recording_id=f"recording{row:02d}",
        streams={"rgb": f"recording{row:02d}.mp4", "audio": f"recording{row:02d}.mp4"},
        start_seconds=0.0,
        duration_seconds=0.5,
        num_steps=2,
        metadata={
            "split": "labelled" if has_label else "unlabelled",
            **({"label": CLASSES[row % 3]} if has_label else {}),
        },
    )


def declare(store: Store, kind: str, name: str, *outputs: tuple[str, np.ndarray, str]) -> None:
    """Store arrays of all rows."""
    specs = tuple(
        OutputSpec(
            name=output,
            shape=values.shape[1:],
            dtype=str(values.dtype),
            axes=tuple(axes.split()),
            class_names=CLASSES if output == "logits" else (),
            attributes={"sample_rate": SAMPLE_RATE} if output == "waveform" else {},
        )
        for output, values, axes in outputs
    )
    store.declare(ProducerSpec(kind=kind, name=name, outputs=specs, fingerprint={}))
    arrays = {output: values for output, values, _ in outputs}
    store.write_shard(name, 0, arrays, failures={}, timings={})


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    policy = {"clip_seconds": 0.5, "step_seconds": 0.25, "frames_per_step": 1, "tail": "keep"}
    folder = str(tmp_path_factory.mktemp("store"))
    store = Store.create(folder, clip_policy=policy, rows_per_shard=NUM_ROWS)
    store.plan_clips([clip(row) for row in range(NUM_ROWS)])
    generator = np.random.default_rng(0)
    classes = np.arange(NUM_ROWS) % 3
    embedding = generator.normal(size=(NUM_ROWS, 2, 16)) + 3 * np.eye(16)[classes][:, None]
    times = np.arange(SAMPLE_RATE // 2) / SAMPLE_RATE
    tones = 9_000 * np.sin(2 * np.pi * 400 * (1 + classes[:, None]) * times)
    frames = np.zeros((NUM_ROWS, 2, 32, 32, 3), np.uint8)
    frames[np.arange(NUM_ROWS), ..., classes] = 200
    declare(store, "teacher", SIGHT, ("embedding", embedding.astype(np.float16), "step feature"))
    declare(
        store, "input", "waveform", ("waveform", tones[:, None].astype(np.int16), "channel sample")
    )
    declare(store, "input", "frames", ("frames", frames, "step row column channel"))
    return store


@pytest.fixture(scope="module")
def taught(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The store with the word of a tiny teacher."""
    run = str(tmp_path_factory.mktemp("runs") / "teacher")
    train_student(store.url, run, get_recipe("mke_teacher", "tiny"), device="cpu")
    loaded = load_clip_student(run)
    assert loaded.class_names == CLASSES
    seen = torch.from_numpy(
        np.asarray(store.read_rows(SIGHT, "embedding", 0, NUM_ROWS), np.float32)
    )
    with torch.no_grad():
        said = loaded.student({SIGHT: seen}, torch.full((NUM_ROWS,), 2))
    declare(store, "teacher", "sight_teacher", ("logits", said.logits.numpy(), "class"))
    return store


def learn(
    store: Store, run: Path, recipe: Recipe, *teachers: str
) -> tuple[TrainReport, list[float]]:
    report = train_student(store.url, str(run), recipe, teachers=teachers, device="cpu")
    records = read_metrics(run / "metrics.jsonl")
    return report, [record["loss"] for record in records if "loss" in record]


def test_a_tiny_student_learns_from_unlabelled_pairs_what_its_teacher_says(
    taught: Store, tmp_path: Path
) -> None:
    report, losses = learn(taught, tmp_path / "run", get_recipe("mke", "tiny"), "sight_teacher")
    assert report.num_clips == NUM_ROWS - NUM_LABELLED
    assert report.teachers == ("sight_teacher",)
    assert np.mean(losses[-3:]) < np.mean(losses[:3])
    loaded = load_clip_student(tmp_path / "run")
    assert loaded.class_names == CLASSES
    assert loaded.student.streams == (SIGHT, "waveform")


def test_without_a_name_the_only_teacher_with_logits_is_taken(
    taught: Store, tmp_path: Path
) -> None:
    recipe = with_overrides(get_recipe("mke", "tiny"), ["schedule.num_epochs=1"])
    report, _ = learn(taught, tmp_path / "run", recipe)
    assert report.teachers == ("sight_teacher",)


def test_the_student_of_ravdess_is_the_mean_of_two_votes(taught: Store, tmp_path: Path) -> None:
    changes = ["data.batch_size=8", "schedule.num_epochs=none", "schedule.num_updates=1"]
    short = with_overrides(get_recipe("mke", "ravdess"), changes)
    learn(taught, tmp_path / "run", short, "sight_teacher")
    student = load_clip_student(tmp_path / "run").student
    inputs = {
        "waveform": torch.zeros(2, 1, SAMPLE_RATE // 2),
        "frames": torch.zeros(2, 2, 32, 32, 3, dtype=torch.uint8),
    }
    with torch.no_grad():
        said = student(inputs, torch.tensor([2, 2]))
    votes = list(said.stream_logits.values())
    assert set(said.stream_logits) == {"frames", "waveform"}
    assert torch.allclose(said.logits, (votes[0] + votes[1]) / 2)


@pytest.mark.parametrize(
    ("recipe", "variants"),
    [
        ("mke", ("two_moon", "two_moon_uni", "two_moon_supervised", "ravdess", "things", "tiny")),
        ("mke_teacher", ("two_moon", "ravdess", "things", "tiny")),
    ],
)
def test_the_variants_are_those_of_the_documentation(recipe: str, variants: Sequence[str]) -> None:
    assert [get_recipe(recipe, variant).variant for variant in variants] == list(variants)


def test_the_published_students_differ_in_one_thing_each() -> None:
    both, uni = get_recipe("mke", "two_moon"), get_recipe("mke", "two_moon_uni")
    assert replace(uni, variant=both.variant, encoder=both.encoder) == both
    bound = get_recipe("mke", "two_moon_supervised")
    changed = {"variant": both.variant, "method": both.method, "data": both.data}
    assert replace(bound, **changed) == both
    assert bound.data == replace(both.data, label_column="truth")
    assert both.data.batch_size >= 270
