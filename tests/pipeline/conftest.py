"""Tiny recordings, and a teacher that is arithmetic: nothing here imports torch."""

import csv
import wave
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from avkd.stages.teachers.declaration import TeacherDeclaration
from avkd.stages.teachers.registry import register_teacher
from avkd.stages.teachers.request import TeacherRequest
from avkd.stages.types import FrameFormat, TeacherOutput

FRAME_RATE = 8
SAMPLE_RATE = 8_000


def write_video(path: Path, seconds: float, brightness: int, *, has_audio: bool = True) -> None:
    """Write grey pictures that brighten by one each second, and a tone."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=FRAME_RATE, options={"crf": "10"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = container.add_stream("aac", rate=SAMPLE_RATE) if has_audio else None
        for number in range(round(seconds * FRAME_RATE)):
            grey = brightness + number // FRAME_RATE
            picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), grey, np.uint8), "rgb24")
            picture.pts, picture.time_base = number, Fraction(1, FRAME_RATE)
            container.mux(video.encode(picture))
        container.mux(video.encode())
        if audio is not None:
            sound = av.AudioFrame.from_ndarray(_tone(seconds)[None], "s16", "mono")
            sound.sample_rate, sound.pts = SAMPLE_RATE, 0
            container.mux(audio.encode(sound))
            container.mux(audio.encode())


def _tone(seconds: float) -> npt.NDArray[np.int16]:
    times = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
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
        file.setframerate(SAMPLE_RATE)
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
