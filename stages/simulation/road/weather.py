"""What lies between the scene and the picture: rain, and the noise of the camera.

Conventions: pictures are (height, width, 3), int16 where nothing else is said, and are changed in
place.
"""

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from avkd.stages.simulation.road.chance import stream
from avkd.stages.simulation.road.settings import Drive

_SPARE_PIXELS = 64
_STREAK_LEVELS = (22, 70)
_STREAK_HEIGHTS = (0.03, 0.12)


def noise_tile(drive: Drive, levels: float) -> npt.NDArray[np.int16]:
    """Noise for a larger picture, of which each frame takes another part."""
    width, height = drive.camera.picture_size
    rng = stream(drive.seed, "noise")
    noise = rng.normal(0, levels, (height + _SPARE_PIXELS, width + _SPARE_PIXELS, 3))
    return np.rint(noise).astype(np.int16)


def add_noise(
    picture: npt.NDArray[np.int16] | npt.NDArray[np.float32],
    rng: np.random.Generator,
    tile: npt.NDArray[np.int16],
) -> None:
    """Add one frame's noise; a picture without colour takes a tile without colour."""
    row, column = rng.integers(0, _SPARE_PIXELS, 2)
    height, width = picture.shape[:2]
    picture += tile[row : row + height, column : column + width]


def add_streaks(picture: npt.NDArray[np.int16], rng: np.random.Generator, count: int) -> None:
    """Add the streaks of falling rain, near ones long and bright."""
    if not count:
        return
    height, width = picture.shape[:2]
    layer = Image.new("L", (width, height))
    pencil = ImageDraw.Draw(layer)
    lean = rng.normal(0, 0.12)
    near = rng.random(count) ** 2
    lengths = height * (_STREAK_HEIGHTS[0] + np.ptp(_STREAK_HEIGHTS) * near)
    levels = (_STREAK_LEVELS[0] + np.ptp(_STREAK_LEVELS) * near).astype(int)
    starts = rng.uniform((0, -0.1 * height), (width, height), (count, 2))
    for (x, y), length, level in zip(
        starts.tolist(), lengths.tolist(), levels.tolist(), strict=True
    ):
        pencil.line((x, y, x + lean * length, y + length), fill=level)
    streaks = np.asarray(layer)[..., None].astype(np.int16)
    # A drop shows the sky: on what is already bright it hardly adds.
    picture += streaks * np.clip(230 - picture, 0, 230) // 230
