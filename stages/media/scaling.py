"""Native pictures to the size a teacher wants."""

import numpy as np
from PIL import Image

from avkd.stages.types import FrameFormat, Pictures

_WHITE = 65_535


def scale_picture(picture: Pictures, frame_format: FrameFormat) -> Pictures:
    """Scale a native picture, mostly bicubically, and cut out its centre.

    The scaled picture just covers ``height`` and ``width`` divided by ``crop_fraction``: for a
    square format its shorter side becomes round(height / crop_fraction). A stretched one has that
    height and width whatever its proportions, and nothing is cut. Takes (h, w, 3) uint8 RGB or
    (h, w, 1) uint16 of any size and gives (height, width, channels). Antialiased (Pillow's
    BICUBIC), from the native picture always, so that one teacher's pictures do not depend on
    another's.
    """
    scaled_height, scaled_width = _scaled_size(picture.shape[0], picture.shape[1], frame_format)
    resize = _take_nearest if frame_format.resampling == "nearest" else _resize
    scaled = resize(picture, scaled_height, scaled_width)
    top = round((scaled_height - frame_format.height) / 2)
    left = round((scaled_width - frame_format.width) / 2)
    return scaled[top : top + frame_format.height, left : left + frame_format.width].copy()


def _resize(picture: Pictures, height: int, width: int) -> Pictures:
    if picture.dtype == np.uint8:
        return np.asarray(
            Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC)
        )
    # Pillow's own 16-bit mode truncates; beyond an edge the cubic overshoots.
    levels = Image.fromarray(picture[..., 0].astype(np.float32))
    resized = np.asarray(levels.resize((width, height), Image.Resampling.BICUBIC))
    whole = np.rint(np.clip(resized, 0, _WHITE))
    return np.asarray(whole, np.uint16)[..., None]


def _take_nearest(picture: Pictures, height: int, width: int) -> Pictures:
    """Each pixel is that which its middle lies in; on an edge, the one after it."""
    rows, columns = (
        (2 * np.arange(num) + 1) * of // (2 * num)
        for num, of in ((height, picture.shape[0]), (width, picture.shape[1]))
    )
    return np.asarray(picture[rows[:, None], columns])


def _scaled_size(height: int, width: int, frame_format: FrameFormat) -> tuple[int, int]:
    if frame_format.fit == "stretch":
        return frame_format.height, frame_format.width
    target_height = round(frame_format.height / frame_format.crop_fraction)
    target_width = round(frame_format.width / frame_format.crop_fraction)
    scale = max(target_height / height, target_width / width)
    return max(target_height, round(height * scale)), max(target_width, round(width * scale))
