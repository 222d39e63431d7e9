"""A corpus as small as a detector can learn: a bright rectangle wanders over a dark ground."""

import csv
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from avkd.pipeline.detector_training.recipe import DetectorData, DetectorRecipe
from avkd.pipeline.recipe import ScheduleConfig
from avkd.stages.simulation.road.recording import write_gray16, write_rgb
from avkd.stages.teachers.pyramid_options import PyramidOptions

SIDE, RATE, NUM_FRAMES = 64, 4, 6
COLD, WARM = 28_000, 29_000
RANGE = (27_500.0, 29_500.0)
COLUMNS = ("recording_id", "frame_time_seconds", "kind", "x_min", "y_min", "x_max", "y_max")
Row = tuple[object, ...]


@dataclass(frozen=True)
class Corpus:
    """Where its two tables are."""

    recordings: Path
    truth: Path

    def with_truth(self, path: Path, rows: Iterable[Row], columns: Row = COLUMNS) -> "Corpus":
        """The same recordings with another table."""
        write_table(path, columns, rows)
        return replace(self, truth=path)


def write_table(path: Path, columns: Row, rows: Iterable[Row]) -> None:
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(columns)
        table.writerows(rows)


def pixels_at(number: int, frame: int) -> tuple[int, int, int, int]:
    """The rectangle of a recording in a frame: x_min, y_min, x_max, y_max."""
    left, top = (8 * frame + 4 * number) % 36, 8 + 4 * number
    return left, top, left + 28, top + 20


def shows_vehicle(frame: int) -> bool:
    """The last frame of each recording is empty."""
    return frame < NUM_FRAMES - 1


def draw(number: int, frame: int) -> np.ndarray:
    """The warm pixels."""
    picture = np.zeros((SIDE, SIDE), bool)
    if shows_vehicle(frame):
        x_min, y_min, x_max, y_max = pixels_at(number, frame)
        picture[y_min:y_max, x_min:x_max] = True
    return picture


def truth_rows() -> list[Row]:
    return [
        (f"r{number}", (frame + 0.5) / RATE, "car", *(side / SIDE for side in box))
        for number in range(4)
        for frame in range(NUM_FRAMES)
        if shows_vehicle(frame)
        for box in [pixels_at(number, frame)]
    ]


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """r0, r1 and r2 of the split teacher, of which r2 has no thermal; r3 of the split test."""
    folder = tmp_path_factory.mktemp("corpus")
    rows = []
    for number in range(4):
        shapes = [draw(number, frame) for frame in range(NUM_FRAMES)]
        rgb = (np.where(each[..., None], 220, 40).repeat(3, -1).astype(np.uint8) for each in shapes)
        thermal = (np.where(each, WARM, COLD).astype(np.uint16) for each in shapes)
        write_rgb(folder / f"r{number}.mp4", rgb, (SIDE, SIDE), RATE)
        write_gray16(folder / f"r{number}.mkv", thermal, (SIDE, SIDE), RATE)
        split, light = ("teacher", "day") if number < 3 else ("test", "night")
        heat = "" if number == 2 else f"r{number}.mkv"
        rows.append((f"r{number}", f"r{number}.mp4", heat, NUM_FRAMES / RATE, split, light))
    names = ("recording_id", "rgb", "thermal", "duration_seconds", "split", "light")
    write_table(folder / "corpus.csv", names, rows)
    write_table(folder / "boxes.csv", COLUMNS, truth_rows())
    return Corpus(folder / "corpus.csv", folder / "boxes.csv")


@pytest.fixture(scope="session")
def tiny() -> Callable[..., DetectorRecipe]:
    """A recipe of a narrow network for thermal pictures: ``tiny(num_updates, **data)``."""

    def build(num_updates: int, **data: object) -> DetectorRecipe:
        return DetectorRecipe(
            data=replace(
                DetectorData(
                    stream="thermal",
                    value_range=RANGE,
                    picture_size=(SIDE, SIDE),
                    split="teacher",
                    validation_fraction=0.0,
                    batch_size=4,
                ),
                **data,  # type: ignore[arg-type]
            ),
            network=PyramidOptions(
                widths=(8, 12, 16, 16, 16), pyramid_width=16, num_blocks=0, head_depth=1
            ),
            optimiser=replace(DetectorRecipe().optimiser, learning_rate=1e-2),
            schedule=ScheduleConfig(
                num_updates=num_updates, warmup_updates=5, shape="cosine", checkpoint_updates=3
            ),
        )

    return build
