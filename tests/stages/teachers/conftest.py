from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from avkd.stages.teachers.declaration import Teacher
from avkd.stages.teachers.registry import load_teacher
from avkd.stages.teachers.request import parse_teacher

Draw = Callable[[int, int], npt.NDArray[np.uint8]]


@pytest.fixture(scope="session")
def lite0() -> Teacher:
    return load_teacher(parse_teacher("efficientnet_lite0", batch_size=2, device="cpu"))


@pytest.fixture
def draw_waves() -> Draw:
    """Smooth pictures that any machine computes alike, so that logits can be written down."""

    def draw(size: int, num_frames: int) -> npt.NDArray[np.uint8]:
        y, x = np.mgrid[0:size, 0:size] / size
        pictures = [
            [
                128 + 127 * np.sin(2 * np.pi * (across * x + down * y) + frame)
                for across, down in ((1 + frame, 0), (0, 2 + frame), (1, 1 + frame))
            ]
            for frame in range(num_frames)
        ]
        return np.moveaxis(np.array(pictures), 1, -1).round().astype(np.uint8)

    return draw


@pytest.fixture
def draw_noise() -> Draw:
    def draw(size: int, num_frames: int) -> npt.NDArray[np.uint8]:
        generator = np.random.default_rng(0)
        return generator.integers(0, 256, (num_frames, size, size, 3), dtype=np.uint8)

    return draw
