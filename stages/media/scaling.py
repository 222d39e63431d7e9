"""Native pictures to the size a teacher wants."""

import numpy as np
import numpy.typing as npt
from PIL import Image

from avkd.stages.types import FrameFormat


def scale_picture(
    picture: npt.NDArray[np.uint8], frame_format: FrameFormat
) -> npt.NDArray[np.uint8]:
    """Scale a native picture bicubically and cut out its centre.

    The scaled picture just covers ``height`` and ``width`` divided by ``crop_fraction``: for a
    square format its shorter side becomes round(height / crop_fraction). Takes (h, w, 3) uint8 RGB
    of any size and gives (height, width, 3). Antialiased (Pillow's BICUBIC), from the native
    picture always, so that one teacher's pictures do not depend on another's.
    """
    scaled_height, scaled_width = _scaled_size(picture.shape[0], picture.shape[1], frame_format)
    scaled = Image.fromarray(picture).resize(
        (scaled_width, scaled_height), Image.Resampling.BICUBIC
    )
    top = round((scaled_height - frame_format.height) / 2)
    left = round((scaled_width - frame_format.width) / 2)
    return np.asarray(scaled)[
        top : top + frame_format.height, left : left + frame_format.width
    ].copy()


def _scaled_size(height: int, width: int, frame_format: FrameFormat) -> tuple[int, int]:
    target_height = round(frame_format.height / frame_format.crop_fraction)
    target_width = round(frame_format.width / frame_format.crop_fraction)
    scale = max(target_height / height, target_width / width)
    return max(target_height, round(height * scale)), max(target_width, round(width * scale))
