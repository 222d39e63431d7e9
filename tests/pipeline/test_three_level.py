"""From a store of voices with an audio-visual teacher's word to a voice student, in seconds."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from avkd.errors import CorpusError, InvalidValueError
from avkd.pipeline.recipe import Recipe, with_overrides
from avkd.pipeline.recipes.registry import get_recipe
from avkd.pipeline.run_dir import RunDir
from avkd.pipeline.train import train_student
from avkd.pipeline.training.metrics_log import read_metrics
from avkd.pipeline.training.students import load_clip_student
from avkd.pipeline.training.tensor_files import read_tensors
from avkd.stages.types import ClipPolicy
from avkd.storage.clips import clip_id
from avkd.storage.schema import ClipRow, OutputSpec, ProducerSpec
from avkd.storage.store import Store

SAMPLE_RATE = 16_000
POLICY = ClipPolicy(clip_seconds=0.5, step_seconds=0.5)
NUM_SAMPLES = 8_000
SPEAKERS = ("ann", "bob", "cal")
NUM_ROWS = 18
TEST_ROW = 15
"""From it on, other speakers speak."""
EMBEDDING_SIZE = 5


def speaker(row: int) -> str:
    return SPEAKERS[row % 3] if row < TEST_ROW else f"test-{row % 3}"


def clip_row(row: int, *, is_labelled: bool = True) -> ClipRow:
    return ClipRow(
        row=row,
        clip_id=clip_id(f"r{row}", 0.0, 0.5),
        recording_id=f"r{row}",
        streams={"audio": f"r{row}.wav"},
        start_seconds=0.0,
        duration_seconds=0.5,
        num_steps=1,
        metadata={
            "split": "train" if row < TEST_ROW else "test",
            "speaker": speaker(row) if is_labelled else "",
        },
    )


def voice(row: int) -> npt.NDArray[np.int16]:
    """A buzz whose pitch tells the speaker."""
    noise = np.random.default_rng(row).normal(size=NUM_SAMPLES)
    times = np.arange(NUM_SAMPLES) / SAMPLE_RATE
    buzz = np.sin(2 * np.pi * 150 * 2 ** (row % 3) * times) > 0
    samples: npt.NDArray[np.int16] = (8_000 * buzz + 200 * noise).astype(np.int16)
    return samples


def teacher_word() -> dict[str, npt.NDArray[np.float32]]:
    generator = np.random.default_rng(7)
    logits = generator.normal(size=(NUM_ROWS, len(SPEAKERS))).astype(np.float32)
    directions = generator.normal(size=(len(SPEAKERS), EMBEDDING_SIZE)).astype(np.float32)
    for row in range(NUM_ROWS):
        logits[row, row % 3] += 5
    return {"logits": logits, "embedding": directions[np.arange(NUM_ROWS) % 3]}


def teacher_spec(*, is_sparse: bool) -> ProducerSpec:
    logits = OutputSpec(
        name="logits",
        shape=(len(SPEAKERS),),
        dtype="float16",
        axes=("class",),
        layout="sparse_logits" if is_sparse else "dense",
        num_kept=2 if is_sparse else 0,
        class_names=SPEAKERS,
    )
    embedding = OutputSpec(
        name="embedding", shape=(EMBEDDING_SIZE,), dtype="float16", axes=("feature",)
    )
    return ProducerSpec(
        kind="teacher", name="av", outputs=(logits, embedding), fingerprint={"sparse": is_sparse}
    )


def waveform_spec() -> ProducerSpec:
    waveform = OutputSpec(
        name="waveform",
        shape=(1, NUM_SAMPLES),
        dtype="int16",
        axes=("channel", "sample"),
        attributes={"sample_rate": SAMPLE_RATE},
    )
    return ProducerSpec(kind="input", name="waveform", outputs=(waveform,), fingerprint={})


def build_store(folder: Path, *, is_sparse: bool, num_labelled: int = NUM_ROWS) -> Store:
    store = Store.create(str(folder), clip_policy=asdict(POLICY), rows_per_shard=NUM_ROWS)
    store.plan_clips([clip_row(row, is_labelled=row < num_labelled) for row in range(NUM_ROWS)])
    fill(
        store,
        waveform_spec(),
        {"waveform": np.stack([voice(row)[None] for row in range(NUM_ROWS)])},
    )
    fill(store, teacher_spec(is_sparse=is_sparse), teacher_word())
    return store


def fill(store: Store, spec: ProducerSpec, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    store.declare(spec)
    store.write_shard(spec.name, 0, arrays, failures={}, timings={})


@pytest.fixture(scope="module", params=[False, True], ids=["dense", "sparse"])
def voices(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Store:
    return build_store(tmp_path_factory.mktemp("store"), is_sparse=request.param)


@pytest.fixture
def tiny() -> Recipe:
    return with_overrides(
        get_recipe("three_level", "tiny"),
        ["schedule.num_epochs=12", "method.options.temperature=2"],
    )


def test_the_tiny_student_learns_of_labels_and_teacher(
    voices: Store, tiny: Recipe, run: str
) -> None:
    report = train_student(voices.url, run, tiny, device="cpu")
    assert report.teachers == ("av",)
    records = read_metrics(RunDir(path=Path(run)).metrics_file)
    assert set(records[0]["parts"]) == {"aam", "label", "embedding", "distribution", "accuracy"}
    assert records[-1]["loss"] < 0.5 * records[0]["loss"]
    assert records[-1]["parts"]["accuracy"] == 1


def test_the_deployed_student_has_no_projection_and_names_the_speakers(
    voices: Store, tiny: Recipe, run: str
) -> None:
    brief = with_overrides(tiny, ["schedule.num_epochs=1"])
    train_student(voices.url, run, brief, device="cpu")
    loaded = load_clip_student(run)
    assert loaded.class_names == SPEAKERS
    assert loaded.label_kind == "class"
    weights = read_tensors(RunDir(path=Path(run)).weights_file)
    assert weights["projection.weight"].shape == (EMBEDDING_SIZE, 16)
    deployed = loaded.student.state_dict()
    assert {f"student.{name}" for name in deployed} == set(weights) - {"projection.weight"}
    sound = {"waveform": torch.from_numpy(voice(0)[None, None] / np.float32(32_768))}
    said = loaded.student(sound, torch.tensor([1]))
    assert said.embedding.shape == (1, 16)
    assert said.logits.abs().max() <= 32 + 1e-4


def test_a_speaker_in_two_splits_is_refused(tmp_path: Path, tiny: Recipe, run: str) -> None:
    store = build_store(tmp_path / "store", is_sparse=False)
    shared = replace(
        clip_row(0),
        row=NUM_ROWS,
        recording_id="again",
        clip_id=clip_id("again", 0.0, 0.5),
        streams={"audio": "again.wav"},
        metadata={"split": "test", "speaker": "ann"},
    )
    store.plan_clips([shared])
    with pytest.raises(CorpusError, match="'ann' is in split 'train' and in 'test'"):
        train_student(store.url, run, tiny, device="cpu")


def test_a_teacher_of_the_same_speakers_in_another_order_is_refused(
    voices: Store, tiny: Recipe, run: str
) -> None:
    turned = with_overrides(tiny, ['data.classes=["cal", "bob", "ann"]'])
    with pytest.raises(InvalidValueError, match="class 0 of teacher 'av' is 'ann'"):
        train_student(voices.url, run, turned, device="cpu")
    assert not Path(run).exists()


def test_the_student_learns_from_the_teachers_word_on_rows_of_nobody(
    tmp_path: Path, tiny: Recipe, run: str
) -> None:
    store = build_store(tmp_path / "store", is_sparse=False, num_labelled=7)
    brief = with_overrides(tiny, ["schedule.num_epochs=2", "data.batch_size=3"])
    report = train_student(store.url, run, brief, device="cpu")
    num_learned = report.num_clips + report.num_validation_clips
    assert (num_learned, report.num_left_out) == (TEST_ROW, 0)
    losses = [r for r in read_metrics(RunDir(path=Path(run)).metrics_file) if "loss" in r]
    assert all(np.isfinite(record["loss"]) for record in losses)

    off = [f"method.options.{level}_weight=0" for level in ("label", "embedding", "distribution")]
    alone = train_student(store.url, f"{run}-alone", with_overrides(brief, off), device="cpu")
    assert (alone.num_clips + alone.num_validation_clips, alone.num_left_out) == (7, TEST_ROW - 7)
