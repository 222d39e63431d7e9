"""A corpus as small as a segmenter can learn: a bright car wanders over a road under a dark sky."""

import csv
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from avkd.pipeline.recipe import ScheduleConfig
from avkd.pipeline.segmenter_training.recipe import SegmenterData, SegmenterRecipe
from avkd.stages.simulation.road.recording import write_gray16, write_rgb
from avkd.stages.teachers.segmenter_options import SegmenterOptions

SIDE, RATE, NUM_FRAMES = 64, 4, 6
NAMES = "sky,road,car"
LEVELS = np.array([28_000, 28_500, 29_000], np.uint16)
SHADES = np.array([40, 110, 220], np.uint8)
RANGE = (27_500.0, 29_500.0)
Row = tuple[object, ...]


@dataclass(frozen=True)
class Corpus:
    """Where its two tables are."""

    recordings: Path
    truth: Path


def write_table(path: Path, columns: Row, rows: list[Row]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    return path


def classes_at(number: int, frame: int) -> npt.NDArray[np.uint8]:
    """The class map of a recording in a frame."""
    classes = np.zeros((SIDE, SIDE), np.uint8)
    classes[SIDE // 2 :] = 1
    left, top = (8 * frame + 4 * number) % 36, 24 + 4 * number
    classes[top : top + 20, left : left + 28] = 2
    return classes


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """r0, r1 and r2 of the split teacher, of which r2 has no thermal; r3 of the split test.

    The truth of r1 says of its lowest rows that nothing is known.
    """
    folder = tmp_path_factory.mktemp("corpus")
    rows: list[Row] = []
    truth: list[Row] = []
    for number in range(4):
        maps = [classes_at(number, frame) for frame in range(NUM_FRAMES)]
        rgb = (SHADES[each][..., None].repeat(3, -1) for each in maps)
        write_rgb(folder / f"r{number}.mp4", rgb, (SIDE, SIDE), RATE)
        heat = folder / f"r{number}.mkv"
        write_gray16(heat, (LEVELS[each] for each in maps), (SIDE, SIDE), RATE)
        ids = [each.astype(np.uint16) for each in maps]
        if number == 1:
            for each in ids:
                each[-4:] = 255
        write_gray16(folder / f"c{number}.mkv", ids, (SIDE, SIDE), RATE)
        split, light = ("teacher", "day") if number < 3 else ("test", "night")
        name = "" if number == 2 else heat.name
        rows.append((f"r{number}", f"r{number}.mp4", name, NUM_FRAMES / RATE, split, light))
        truth.append((f"r{number}", f"c{number}.mkv", NAMES))
    names = ("recording_id", "rgb", "thermal", "duration_seconds", "split", "light")
    return Corpus(
        write_table(folder / "corpus.csv", names, rows),
        write_table(folder / "classes.csv", ("recording_id", "classes", "class_names"), truth),
    )


@pytest.fixture(scope="session")
def tiny() -> Callable[..., SegmenterRecipe]:
    """A recipe of a narrow network for thermal pictures: ``tiny(num_updates, **data)``."""

    def build(num_updates: int, **data: object) -> SegmenterRecipe:
        return SegmenterRecipe(
            data=replace(
                SegmenterData(
                    stream="thermal",
                    value_range=RANGE,
                    picture_size=(SIDE, SIDE),
                    split="teacher",
                    frames_per_recording=None,
                    validation_fraction=0.0,
                    batch_size=4,
                ),
                **data,  # type: ignore[arg-type]
            ),
            network=SegmenterOptions(
                widths=(8, 12, 16, 16, 16), decoder_width=12, fine_width=8, num_blocks=0
            ),
            optimiser=replace(SegmenterRecipe().optimiser, learning_rate=1e-2),
            schedule=ScheduleConfig(
                num_updates=num_updates, warmup_updates=3, shape="cosine", checkpoint_updates=3
            ),
        )

    return build
