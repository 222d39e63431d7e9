"""A store that was never extracted: tones, and what teachers might have said of them."""

import wave
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from avkd.pipeline.recipe import (
    DataConfig,
    EncoderConfig,
    EvaluationConfig,
    MethodConfig,
    Recipe,
    ScheduleConfig,
)
from avkd.stages.types import ClipPolicy
from avkd.storage.clips import clip_id
from avkd.storage.schema import ClipRow, OutputSpec, ProducerSpec
from avkd.storage.store import Store

SAMPLE_RATE = 22_050
POLICY = ClipPolicy(clip_seconds=0.5, step_seconds=0.25)
NUM_SAMPLES = round(POLICY.clip_seconds * SAMPLE_RATE)
NUM_CLASSES = 6
ROWS_PER_SHARD = 16


def clip_row(row: int, folder: Path) -> ClipRow:
    """Two clips a recording; every fifth clip has one step only."""
    start = POLICY.clip_seconds * (row % 2)
    recording_id = f"recording{row // 2}"
    num_steps = 1 if row % 5 == 4 else 2
    duration = num_steps * POLICY.step_seconds
    return ClipRow(
        row=row,
        clip_id=clip_id(recording_id, start, duration),
        recording_id=recording_id,
        streams={"audio": str(folder / f"{recording_id}.wav")},
        start_seconds=start,
        duration_seconds=duration,
        num_steps=num_steps,
        metadata={"split": "labelled" if row // 2 % 4 == 0 else "unlabelled"},
    )


def tone(number: int, num_samples: int = NUM_SAMPLES) -> npt.NDArray[np.int16]:
    """A tone whose pitch tells the class, with noise of its own."""
    generator = np.random.default_rng(number)
    pitch = 300 * 1.5 ** (number % NUM_CLASSES)
    times = np.arange(num_samples) / SAMPLE_RATE
    sound = 0.3 * np.sin(2 * np.pi * pitch * times) + 0.01 * generator.normal(size=num_samples)
    samples: npt.NDArray[np.int16] = (sound * 32_767).astype(np.int16)
    return samples


def write_recording(folder: Path, number: int) -> None:
    """A file with the sounds of two clips one after the other."""
    with wave.open(str(folder / f"recording{number}.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(np.concatenate([tone(2 * number), tone(2 * number + 1)]).tobytes())


def logits_of(number: int, seed: int) -> npt.NDArray[np.float32]:
    """(steps, classes): the tone's class is likely."""
    generator = np.random.default_rng([number, seed])
    logits = generator.normal(size=(POLICY.num_steps, NUM_CLASSES)).astype(np.float32)
    logits[:, number % NUM_CLASSES] += 4
    return logits


def teacher_spec(name: str, *, sparse: bool) -> ProducerSpec:
    logits = OutputSpec(
        name="logits",
        shape=(POLICY.num_steps, NUM_CLASSES),
        dtype="float16",
        axes=("step", "class"),
        layout="sparse_logits" if sparse else "dense",
        num_kept=3 if sparse else 0,
        class_names=tuple(f"class{i}" for i in range(NUM_CLASSES)),
    )
    embedding = OutputSpec(
        name="embedding", shape=(POLICY.num_steps, 4), dtype="float16", axes=("step", "feature")
    )
    outputs = (logits,) if sparse else (logits, embedding)
    return ProducerSpec(kind="teacher", name=name, outputs=outputs, fingerprint={"weights": name})


def waveform_spec(sample_rate: int = SAMPLE_RATE) -> ProducerSpec:
    waveform = OutputSpec(
        name="waveform",
        shape=(1, NUM_SAMPLES),
        dtype="int16",
        axes=("channel", "sample"),
        attributes={"sample_rate": sample_rate},
    )
    return ProducerSpec(
        kind="input", name="waveform", outputs=(waveform,), fingerprint={"rate": sample_rate}
    )


def fill_teacher(store: Store, spec: ProducerSpec, failed: dict[int, tuple[str, str]]) -> None:
    """Commit a teacher's word on every shard; rows in ``failed`` have none."""
    store.declare(spec)
    for shard in store.missing_shards(spec.name):
        arrays: dict[str, npt.NDArray[np.float32]] = {
            output.name: np.zeros((ROWS_PER_SHARD, *output.shape), np.float32)
            for output in spec.outputs
        }
        clips = store.read_clips(shard)
        for clip in clips:
            number = number_of(clip)
            place = clip.row % ROWS_PER_SHARD
            real = slice(0, clip.num_steps)
            arrays["logits"][place, real] = logits_of(number, len(spec.outputs))[real]
            if "embedding" in arrays:
                arrays["embedding"][place, real] = number
        rows = {clip.row for clip in clips}
        failures = {row: reason for row, reason in failed.items() if row in rows}
        store.write_shard(spec.name, shard, arrays, failures=failures, timings={})


def fill_waveform(store: Store, spec: ProducerSpec) -> None:
    """Commit the sound of every shard."""
    store.declare(spec)
    for shard in store.missing_shards("waveform"):
        sound = np.zeros((ROWS_PER_SHARD, 1, NUM_SAMPLES), np.int16)
        for clip in store.read_clips(shard):
            real = round(clip.duration_seconds * SAMPLE_RATE)
            sound[clip.row % ROWS_PER_SHARD, 0, :real] = tone(number_of(clip))[:real]
        store.write_shard("waveform", shard, {"waveform": sound}, failures={}, timings={})


def number_of(clip: ClipRow) -> int:
    """The number that a clip's sound and targets follow from."""
    return int(clip.recording_id.removeprefix("recording")) * 2 + int(clip.start_seconds > 0)


BuildStore = Callable[..., Store]


@pytest.fixture(scope="session")
def build_store(tmp_path_factory: pytest.TempPathFactory) -> BuildStore:
    """Builds stores with the teachers ``dense`` and ``few`` (sparse) and a waveform."""

    def build(
        num_clips: int = 40,
        *,
        failed: dict[int, tuple[str, str]] | None = None,
        has_waveform: bool = True,
        has_recordings: bool = False,
        sample_rate: int = SAMPLE_RATE,
    ) -> Store:
        folder = tmp_path_factory.mktemp("store")
        store = Store.create(str(folder), clip_policy=asdict(POLICY), rows_per_shard=ROWS_PER_SHARD)
        store.plan_clips([clip_row(row, folder) for row in range(num_clips)])
        if has_recordings:
            for number in range(num_clips // 2):
                write_recording(folder, number)
        fill_teacher(store, teacher_spec("dense", sparse=False), failed or {})
        fill_teacher(store, teacher_spec("few", sparse=True), {})
        if has_waveform:
            fill_waveform(store, waveform_spec(sample_rate))
        return store

    return build


@pytest.fixture(scope="session")
def store(build_store: BuildStore) -> Store:
    """Forty clips of twenty recordings; two rows have no target of ``dense``."""
    return build_store(failed={3: ("decode_error", "broken"), 20: ("timeout", "slow")})


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    """A student that learns from that store in a second."""
    return Recipe(
        name="test",
        variant="tiny",
        method=MethodConfig(name="soundnet"),
        encoder=EncoderConfig(name="logmel_resnet", options={"widths": (4, 8), "num_mels": 24}),
        data=DataConfig(batch_size=8, block_rows=4, buffer_rows=12, validation_fraction=0.2),
        schedule=ScheduleConfig(num_epochs=4, checkpoint_updates=3),
        evaluation=EvaluationConfig(window_seconds=None, num_updates=12),
    )


@pytest.fixture
def run(tmp_path: Path) -> str:
    """A place for a run."""
    return str(tmp_path / "run")
