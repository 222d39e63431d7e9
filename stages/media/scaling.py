"""Native pictures to the size a teacher wants."""

from collections.abc import Iterator, Sequence

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
    ((_, scaled),) = scale_to_formats(picture, [frame_format])
    return scaled.copy()


def scale_to_formats(
    picture: Pictures, formats: Sequence[FrameFormat]
) -> Iterator[tuple[FrameFormat, Pictures]]:
    """Scale one native picture to each format, as ``scale_picture`` does; gives views."""
    image: Image.Image | None = None
    for frame_format in formats:
        height, width = _scaled_size(picture.shape[0], picture.shape[1], frame_format)
        if frame_format.resampling == "nearest":
            scaled = _take_nearest(picture, height, width)
        else:
            # Pillow copies the picture, once for all formats.
            image = _to_image(picture) if image is None else image
            scaled = _resize(image, height, width)
        top = round((height - frame_format.height) / 2)
        left = round((width - frame_format.width) / 2)
        yield (
            frame_format,
            scaled[top : top + frame_format.height, left : left + frame_format.width],
        )


def _to_image(picture: Pictures) -> Image.Image:
    if picture.dtype == np.uint8:
        return Image.fromarray(picture)
    # Pillow's own 16-bit mode truncates.
    return Image.fromarray(picture[..., 0].astype(np.float32))


def _resize(image: Image.Image, height: int, width: int) -> Pictures:
    resized = np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))
    if image.mode != "F":
        return resized
    # Beyond an edge the cubic overshoots.
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
