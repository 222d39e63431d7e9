"""Tiny recordings with a teacher that needs no torch, and a small store to train from."""

import csv
import wave
from collections.abc import Callable, Sequence
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path

import av
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
from avkd.stages.teachers.declaration import TeacherDeclaration
from avkd.stages.teachers.registry import register_teacher
from avkd.stages.teachers.request import TeacherRequest
from avkd.stages.types import ClipPolicy, FrameFormat, TeacherOutput
from avkd.storage.clips import clip_id
from avkd.storage.schema import ClipRow, OutputSpec, ProducerSpec
from avkd.storage.store import Store

VIDEO_FRAME_RATE = 8
VIDEO_SAMPLE_RATE = 8_000


def write_video(path: Path, seconds: float, brightness: int, *, has_audio: bool = True) -> None:
    """Write grey pictures that brighten by one each second, and a tone."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=VIDEO_FRAME_RATE, options={"crf": "10"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = container.add_stream("aac", rate=VIDEO_SAMPLE_RATE) if has_audio else None
        for number in range(round(seconds * VIDEO_FRAME_RATE)):
            grey = brightness + number // VIDEO_FRAME_RATE
            picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), grey, np.uint8), "rgb24")
            picture.pts, picture.time_base = number, Fraction(1, VIDEO_FRAME_RATE)
            container.mux(video.encode(picture))
        container.mux(video.encode())
        if audio is not None:
            sound = av.AudioFrame.from_ndarray(_tone(seconds)[None], "s16", "mono")
            sound.sample_rate, sound.pts = VIDEO_SAMPLE_RATE, 0
            container.mux(audio.encode(sound))
            container.mux(audio.encode())


def _tone(seconds: float) -> npt.NDArray[np.int16]:
    times = np.arange(round(seconds * VIDEO_SAMPLE_RATE)) / VIDEO_SAMPLE_RATE
    return (8_000 * np.sin(2 * np.pi * 440 * times)).astype(np.int16)


@pytest.fixture(scope="session")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder: three whole videos, a silent one, a sound without pictures, a broken file."""
    folder = tmp_path_factory.mktemp("recordings")
    write_video(folder / "a.mp4", 5.0, 40)
    write_video(folder / "b.mp4", 2.0, 90)
    write_video(folder / "d.mp4", 3.0, 140)
    write_video(folder / "e_silent.mp4", 2.0, 190, has_audio=False)
    with wave.open(str(folder / "f_sound.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(VIDEO_SAMPLE_RATE)
        file.writeframes(_tone(2.0).tobytes())
    (folder / "c_broken.mp4").write_bytes(b"no video at all" * 100)
    return folder


@pytest.fixture
def write_corpus(recordings: Path, tmp_path: Path) -> Callable[..., str]:
    """Write a table of some of the recordings, by name."""

    def write(names: Sequence[str], name: str = "corpus.csv") -> str:
        path = tmp_path / name
        with path.open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["path", "recording_id"])
            table.writerows([recordings / each, each] for each in names)
        return str(path)

    return write


class BrightnessTeacher:
    """Gives every frame's mean brightness, over 255, in each of three logits."""

    num_loads = 0
    num_batches = 0
    factor = 1.0

    def __init__(self, declaration: TeacherDeclaration) -> None:
        self.declaration = declaration

    def predict(self, frames: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.float32]]:
        BrightnessTeacher.num_batches += 1
        means = frames.mean(axis=(1, 2, 3), dtype=np.float32)[:, None] / 255
        logits = np.repeat(means, 3, axis=1) * np.float32(BrightnessTeacher.factor)
        return {"logits": logits, "embedding": np.concatenate([means, 1 - means], axis=1)}


class BrightnessFamily:
    summary = "mean brightness"

    def declare(self, request: TeacherRequest) -> TeacherDeclaration:
        softmax = TeacherOutput(
            name="logits",
            shape=(3,),
            axes=("class",),
            class_names=("x", "y", "z"),
            activation="softmax",
        )
        return TeacherDeclaration(
            name=request.name,
            frame_format=FrameFormat(height=16, width=16, crop_fraction=1.0),
            outputs=(softmax, TeacherOutput(name="embedding", shape=(2,), axes=("feature",))),
            fingerprint={
                "weights": request.weights,
                "batch_size": request.batch_size,
                "runtime": request.runtime,
                "device": request.device,
            },
            batch_size=request.batch_size,
        )

    def load(self, request: TeacherRequest) -> BrightnessTeacher:
        BrightnessTeacher.num_loads += 1
        return BrightnessTeacher(self.declare(request))


register_teacher("brightness")(BrightnessFamily)


@pytest.fixture
def brightness(monkeypatch: pytest.MonkeyPatch) -> type[BrightnessTeacher]:
    """The arithmetic teacher's class, its counters at zero."""
    for name, value in (("num_loads", 0), ("num_batches", 0), ("factor", 1.0)):
        monkeypatch.setattr(BrightnessTeacher, name, value)
    return BrightnessTeacher


@pytest.fixture
def bright_request() -> TeacherRequest:
    """A request for the arithmetic teacher, in batches of 4."""
    return TeacherRequest(name="bright", family="brightness", batch_size=4)


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
