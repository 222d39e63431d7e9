"""Boxes drawn on pictures: what is true thin and white, what was said thick and in colours.

What teachers saw is thin and dashed, of each teacher in a colour of its own.

Conventions: pictures are uint8 RGB (height, width, 3).
"""

import colorsys
from collections.abc import Sequence
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from avkd.stages.metrics.boxes import FrameBoxes

if TYPE_CHECKING:
    from PIL import ImageDraw

Picture = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]

TRUTH: Colour = (255, 255, 255)
NO_TRACK: Colour = (170, 170, 170)
TEACHERS: dict[str, Colour] = {
    "blue": (120, 220, 255),
    "orange": (255, 170, 60),
    "pink": (255, 110, 190),
}
"""Of the first teacher, the second and so on; a fourth is as blue as the first."""
_GOLDEN = 0.6180339887
"""Hues that many turns apart stay apart, however many there are."""
_WIDTHS_OF_LINE = 200
"""A picture is that many thick lines wide."""
_DASH, _GAP = 6, 4
"""In thin lines."""


def draw_boxes(
    picture: Picture,
    said: FrameBoxes | None = None,
    truth: FrameBoxes | None = None,
    teachers: Sequence[FrameBoxes] = (),
    *,
    scale: int = 1,
) -> Picture:
    """A copy, so many times as large, with boxes of the truth, of teachers and what was said.

    A track has one colour, its number and the box's score; ids below 0 are of no track.
    """
    from PIL import Image, ImageDraw

    image = Image.fromarray(picture)
    if scale > 1:
        image = image.resize((image.width * scale, image.height * scale), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    thick = max(2, round(image.width / _WIDTHS_OF_LINE))
    if said is not None:
        ids = np.full(len(said), -1) if said.track_ids is None else said.track_ids
        order = np.argsort(said.scores, kind="stable")
        for place in order.tolist():  # the surest on top
            corners = _corners(said.boxes[place], image.size)
            colour = track_colour(int(ids[place]))
            draw.rectangle(corners, outline=colour, width=thick)
            name = f"#{ids[place]} " if ids[place] >= 0 else ""
            _label(draw, corners, f"{name}{said.scores[place]:.2f}", colour, 5 * thick)
    thin = max(1, thick // 3)
    for box in () if truth is None else truth.boxes:
        draw.rectangle(_corners(box, image.size), outline=TRUTH, width=thin)
    for teacher, colour in zip(teachers, cycle(TEACHERS.values()), strict=False):
        for box in teacher.boxes:
            _dash(draw, _corners(box, image.size), thin, colour)
    return np.asarray(image)


def shrink(picture: Picture, largest_width: int) -> Picture:
    """The picture, or a smaller copy of one that is wider."""
    from PIL import Image

    height, width = picture.shape[:2]
    if width <= largest_width:
        return picture
    size = (largest_width, max(1, round(height * largest_width / width)))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS))


def track_colour(track_id: int) -> Colour:
    """The colour of a track, bright and unlike those of the next."""
    if track_id < 0:
        return NO_TRACK
    red, green, blue = colorsys.hsv_to_rgb(track_id * _GOLDEN % 1, 0.85, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def _corners(box: npt.NDArray[np.float32], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The outermost pixels of a box, all in the picture."""
    width, height = size
    left, top, right, bottom = (float(side) for side in box)
    x, y = min(int(left * width), width - 1), min(int(top * height), height - 1)
    return x, y, max(x, round(right * width) - 1), max(y, round(bottom * height) - 1)


def _dash(
    draw: "ImageDraw.ImageDraw", corners: tuple[int, int, int, int], width: int, colour: Colour
) -> None:
    left, top, right, bottom = corners
    step, length = (_DASH + _GAP) * width, _DASH * width
    for x in range(left, right + 1, step):
        for y in (top, bottom):
            draw.line((x, y, min(x + length, right), y), fill=colour, width=width)
    for y in range(top, bottom + 1, step):
        for x in (left, right):
            draw.line((x, y, x, min(y + length, bottom)), fill=colour, width=width)


def _label(
    draw: "ImageDraw.ImageDraw",
    corners: tuple[int, int, int, int],
    text: str,
    colour: Colour,
    size: int,
) -> None:
    """Dark letters on the colour: above the box, or within it at the upper edge."""
    from PIL import ImageFont

    font = ImageFont.load_default(max(9, size))
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    y = corners[1] - (bottom - top) - 3
    y = corners[1] if y < 0 else y
    x = max(0, min(corners[0], int(draw.im.size[0] - (right - left) - 3)))
    draw.rectangle((x, y, x + right - left + 2, y + bottom - top + 2), fill=colour)
    draw.text((x + 1 - left, y + 1 - top), text, fill=(0, 0, 0), font=font)
