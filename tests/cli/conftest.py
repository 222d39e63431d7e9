"""A command line run in this process, and a small store and run that were made by it."""

import csv
import json
import sys
import wave
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avkd.cli.app import main
from avkd.stages.simulation.files import write_movie

SAMPLE_RATE = 8_000
FRAME_RATE = 4
TEACHER = "seer=timm/test_resnet"


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    exit_code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def assert_refused(self, exit_code: int, *words: str) -> None:
        """One line, that exit code, and all those words in the line."""
        assert self.exit_code == exit_code, self.err
        assert self.err.count("\n") == 1, self.err
        assert "Traceback" not in self.err
        for word in words:
            assert word in self.err


Cli = Callable[..., Outcome]


@pytest.fixture
def avkd(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run a command line and say how it ended."""

    def run(*arguments: object) -> Outcome:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["avkd", *map(str, arguments)])
        try:
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        said = capsys.readouterr()
        return Outcome(exit_code=code, out=said.out, err=said.err)

    return run


def _run_quietly(*arguments: object) -> None:
    """For fixtures that outlive a test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["avkd", *map(str, arguments)])
        with suppress(SystemExit):  # what it did not do, the tests will miss
            main()


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four videos of 3 s, in two colours and two pitches, and one that is none."""
    folder = tmp_path_factory.mktemp("videos")
    for number in range(4):
        frame = np.full((48, 64, 3), 40 + 50 * number, np.uint8)
        frame[:24, :, number % 3] = 250
        write_movie(
            folder / f"v{number}.mp4",
            [frame] * (3 * FRAME_RATE),
            _tone(220.0 * (1 + number % 2), 3.0),
            frame_size=(64, 48),
            frame_rate=FRAME_RATE,
            sample_rate=SAMPLE_RATE,
        )
    (folder / "v4_broken.mp4").write_bytes(b"not a video " * 50)
    return folder


@pytest.fixture(scope="session")
def store(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the videos look like to a teacher with random weights. Not to be written to."""
    folder = tmp_path_factory.mktemp("stores") / "store"
    _run_quietly("extract-teacher", videos, folder, *extract_options())
    return folder


def extract_options() -> tuple[str, ...]:
    return (
        f"--teacher={TEACHER}",
        "--weights=seer=random",
        "--runtime=torch",
        "--clip-seconds=2",
        "--step-seconds=1",
        "--rows-per-shard=4",
        "--batch-size=4",
    )


@pytest.fixture(scope="session")
def run(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny student of the store, two updates old."""
    folder = tmp_path_factory.mktemp("runs") / "first"
    _run_quietly("train-student", store, folder, *train_options())
    return folder


def train_options() -> tuple[str, ...]:
    return (
        "--recipe=soundnet_logmel",
        "--variant=tiny",
        "--set=schedule.num_epochs=none",
        "--set=schedule.num_updates=2",
        "--set=data.batch_size=4",
    )


@pytest.fixture(scope="session")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of low and high sounds in two folds, with columns of odd names."""
    folder = tmp_path_factory.mktemp("sounds")
    with (folder / "sounds.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["wav", "pitch", "part"])
        for number in range(8):
            _write_wave(folder / f"s{number}.wav", _tone(200.0 + 900 * (number % 2), 1.0))
            table.writerow([f"s{number}.wav", ("low", "high")[number % 2], 1 + number // 4])
    return folder / "sounds.csv"


def _tone(frequency: float, seconds: float) -> np.ndarray:
    times = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return 0.5 * np.sin(2 * np.pi * frequency * times)


def _write_wave(path: Path, waveform: np.ndarray) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes((waveform * 32_000).astype(np.int16).tobytes())
