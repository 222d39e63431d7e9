"""The picture of a person: head, hair and shoulders, turned and lit.

Conventions: as in ``face.py``. A turned head is drawn by its depth: a point of the face is taken as
lying on a round head, so that it moves with the nose and narrows at the far side.
"""

import math

import numpy as np
from PIL import Image

from avkd.stages.simulation.drawing import (
    Canvas,
    Colour,
    Point,
    arc_points,
    ball,
    fall,
    shade,
    smooth_points,
)
from avkd.stages.simulation.people.face import Face, Look

HEAD_MIDDLE: Point = (128.0, 122.0)
LIPS: Colour = (170, 70, 70)


def draw_portrait(face: Face, look: Look) -> Image.Image:
    """Draw a person to 256 by 256 RGBA; equal input gives an equal picture."""
    canvas = Canvas()
    head = _Head(face, look)
    _draw_hair_behind(canvas, head)
    _draw_body(canvas, head)
    _draw_head(canvas, head)
    _draw_beard(canvas, head)
    _draw_mouth(canvas, head)
    _draw_nose(canvas, head)
    for side in (-1, 1):
        _draw_eye(canvas, head, side)
    _draw_hair(canvas, head)
    if look.wears_spectacles and face.spectacles != "none":
        _draw_spectacles(canvas, head)
    if look.hat is not None:
        _draw_hat(canvas, head, look.hat)
    return _light_from_the_side(canvas.finish(relief=0.35), look.side_light)


class _Head:
    """Places on a turned head."""

    def __init__(self, face: Face, look: Look) -> None:
        self.face, self.look = face, look
        self._sin_yaw, self._cos_yaw = math.sin(look.yaw), math.cos(look.yaw)
        self._sin_pitch, self._cos_pitch = math.sin(look.pitch), math.cos(look.pitch)

    def at(self, x: float, y: float, lift: float = 0.0) -> Point:
        """Where a point of the face is seen; ``lift`` is how far it stands out."""
        across, down = x / self.face.half_width, y / self.face.half_height
        depth = math.sqrt(max(0.0, 1 - min(1.0, across**2 + down**2)))
        out = self.face.half_width * depth + lift
        turned = out * self._cos_yaw - x * self._sin_yaw
        return (
            HEAD_MIDDLE[0] + x * self._cos_yaw + out * self._sin_yaw,
            HEAD_MIDDLE[1] + y * self._cos_pitch + turned * self._sin_pitch,
        )

    def outline(self, *rings: tuple[float, float]) -> list[Point]:
        """A closed curve through (half width, height) pairs, the same on both sides."""
        middle, top = HEAD_MIDDLE
        right = [(middle + x, top + y) for x, y in rings]
        left = [(middle - x, top + y) for x, y in reversed(rings) if x > 0]
        return smooth_points(right + left)


def _draw_body(canvas: Canvas, head: _Head) -> None:
    width, bottom = head.face.half_width, HEAD_MIDDLE[1] + head.face.half_height
    neck = 0.55 * width
    canvas.rectangle((128 - neck, bottom - 40, 128 + neck, 256), fall(shade(head.face.skin, 0.8)))
    shoulders = [(128 - neck, bottom + 10), (128 + neck, bottom + 10), (252, 256), (4, 256)]
    canvas.polygon(shoulders, fall(head.look.cloth))


def _draw_head(canvas: Canvas, head: _Head) -> None:
    face = head.face
    w, h = face.half_width, face.half_height
    for side in (-1, 1):
        x = HEAD_MIDDLE[0] + side * (w - 1) - 0.35 * w * head.look.yaw
        y = HEAD_MIDDLE[1] + face.eye_height + 12
        box = (x - 0.6 * face.ears, y - 1.2 * face.ears, x + 0.6 * face.ears, y + 1.2 * face.ears)
        canvas.ellipse(box, ball(shade(face.skin, 0.85)))
    skull = head.outline(
        (0, -h),
        (0.72 * w, -0.78 * h),
        (w, -0.2 * h),
        (0.97 * w, 0.2 * h),
        (face.jaw * w, 0.66 * h),
        (face.chin * w, 0.95 * h),
        (0, h),
    )
    canvas.polygon(skull, fall(face.skin))


def _draw_eye(canvas: Canvas, head: _Head, side: int) -> None:
    face, look = head.face, head.look
    x, y, half = side * face.eye_spacing, face.eye_height, face.eye_size
    open_ = half * 0.62 * look.eye_open
    inner, outer = head.at(x - side * half, y), head.at(x + side * half, y - face.eye_slant)
    upper, lower = head.at(x, y - open_), head.at(x, y + open_)
    canvas.polygon(smooth_points([inner, upper, outer, lower]), (240, 238, 234))
    middle = head.at(x + 0.35 * half * look.gaze, y - 0.3 * face.eye_slant)
    radius = min(0.48 * half, max(1.5, open_ * 0.95))
    for size, colour in ((radius, face.iris), (0.45 * radius, (12, 10, 10))):
        left, top = middle[0] - size, middle[1] - size
        canvas.ellipse((left, top, left + 2 * size, top + 2 * size), colour)
    canvas.line([inner, upper, outer], shade(face.skin, 0.35), 2.2)
    lift = face.brow_height + 4 * look.brow_raise
    brow = [
        head.at(x - side * 1.15 * half, y - lift + 2),
        head.at(x + side * 0.2 * half, y - lift - 3),
        head.at(x + side * 1.35 * half, y - lift + 1 - face.eye_slant),
    ]
    canvas.line(brow, shade(face.hair, 0.8), face.brow_thickness)


def _draw_nose(canvas: Canvas, head: _Head) -> None:
    face = head.face
    tip = face.eye_height + face.nose_length
    side = -1 if head.look.yaw > 0 else 1
    bridge = head.at(side * 4, face.eye_height + 4, 3)
    wing = head.at(side * face.nose_width, tip, 4)
    canvas.line([bridge, head.at(side * 5, tip - 10, 9), wing], shade(face.skin, 0.72), 2.5)
    x, y = head.at(0, tip - 2, 13)
    half = 0.75 * face.nose_width
    canvas.ellipse((x - half, y - 0.62 * half, x + half, y + 0.62 * half), shade(face.skin, 1.1))
    for way in (-1, 1):
        x, y = head.at(way * 0.5 * face.nose_width, tip + 3, 8)
        canvas.ellipse((x - 2.6, y - 1.6, x + 2.6, y + 1.6), shade(face.skin, 0.4))


def _draw_mouth(canvas: Canvas, head: _Head) -> None:
    face, look = head.face, head.look
    half = face.mouth_width * (1 + 0.14 * look.smile)
    corner = face.mouth_height - 5 * look.smile
    gap = 13 * look.mouth_open
    left, right = head.at(-half, corner), head.at(half, corner)
    upper = head.at(0, face.mouth_height - face.lips * 0.8, 3)
    lower = head.at(0, face.mouth_height + face.lips + gap, 3)
    tint = _blend(LIPS, face.skin, 0.45)
    canvas.polygon(smooth_points([left, upper, right, lower]), fall(tint))
    if gap > 2:
        top, bottom = head.at(0, face.mouth_height, 3), head.at(0, face.mouth_height + gap, 3)
        inner = [head.at(-0.8 * half, corner + 1), top, head.at(0.8 * half, corner + 1), bottom]
        canvas.polygon(smooth_points(inner), (60, 20, 24))
    else:
        canvas.line([left, head.at(0, face.mouth_height, 3), right], shade(tint, 0.5), 1.8)


def _draw_beard(canvas: Canvas, head: _Head) -> None:
    face = head.face
    colour = fall(shade(face.hair, 0.95))
    w, h = face.half_width, face.half_height
    lip = face.mouth_height
    if face.beard == "full":
        rim = [(0.96 * w, 0.12 * h), (face.jaw * w, 0.68 * h), (face.chin * w, 0.97 * h)]
        inner = [(0.55 * w, lip - 4), (0.8 * w, 0.15 * h)]
        half = [*rim, (0.0, h + 5)]
        outline = [head.at(-x, y) for x, y in reversed(inner)] + [head.at(0, lip - 11, 4)]
        outline += [head.at(x, y) for x, y in inner]
        middle, top = HEAD_MIDDLE
        outline += [(middle + x, top + y) for x, y in half]
        outline += [(middle - x, top + y) for x, y in reversed(rim)]
        canvas.polygon(outline, colour)
    if face.beard == "goatee":
        chin = [(-15, lip + 14), (15, lip + 14), (12, h - 2), (-12, h - 2)]
        canvas.polygon(smooth_points([head.at(x, y, 4) for x, y in chin]), colour)
    if face.beard in ("moustache", "goatee"):
        hairs = [(-24, lip - 3), (0, lip - 13), (24, lip - 3), (0, lip - 6)]
        canvas.polygon(smooth_points([head.at(x, y, 4) for x, y in hairs]), colour)


def _draw_hair_behind(canvas: Canvas, head: _Head) -> None:
    face = head.face
    reach = {"bob": 0.62, "long": 1.5, "curls": 0.3}.get(face.hair_style)
    if reach is None:
        return
    w, h = face.half_width, face.half_height
    x = HEAD_MIDDLE[0] - 0.3 * w * head.look.yaw
    box = (x - 1.2 * w, HEAD_MIDDLE[1] - 1.05 * h, x + 1.2 * w, HEAD_MIDDLE[1] + reach * h)
    canvas.rectangle(box, fall(shade(face.hair, 0.8)), radius=0.7 * w)


def _draw_hair(canvas: Canvas, head: _Head) -> None:
    face = head.face
    w, h, line = face.half_width, face.half_height, face.hair_line
    if face.hair_style == "bald":
        return
    rise = {"crop": 1.04, "parting": 1.1, "curls": 1.14, "bob": 1.1, "long": 1.08}[face.hair_style]
    top = [(x, y) for x, y in arc_points((-1.06 * w, -rise * h, 1.06 * w, rise * h), 196, 344, 12)]
    middle, centre = HEAD_MIDDLE
    lean = 0.5 * w if face.hair_style == "parting" else 0.0
    fringe = {"crop": 1.0, "parting": 1.0, "curls": 0.9, "bob": 0.62, "long": 0.85}[face.hair_style]
    edge = [head.at(0.9 * w, -0.3 * h), head.at(0.6 * w, -line * fringe)]
    edge += [
        head.at(lean, -line - 8),
        head.at(-0.6 * w, -line * fringe),
        head.at(-0.9 * w, -0.3 * h),
    ]
    outline = [(middle + x, centre + y) for x, y in top] + edge
    canvas.polygon(outline, fall(face.hair))
    if face.hair_style == "curls":
        for x, y in arc_points((-1.1 * w, -1.1 * h, 1.1 * w, 0.9 * h), 190, 350, 11):
            box = (middle + x - 17, centre + y - 17, middle + x + 17, centre + y + 17)
            canvas.ellipse(box, ball(face.hair))


def _draw_spectacles(canvas: Canvas, head: _Head) -> None:
    face = head.face
    rim, radius = (30, 28, 30), 1.5 * face.eye_size
    for side in (-1, 1):
        x, y = head.at(side * face.eye_spacing, face.eye_height, 4)
        wide = radius * math.cos(head.look.yaw)
        if face.spectacles == "round":
            canvas.ring((x - wide, y - radius, x + wide, y + radius), rim, 2.6)
        else:
            corners = [(-wide, -0.7), (wide, -0.7), (wide, 0.7), (-wide, 0.7), (-wide, -0.7)]
            canvas.line([(x + dx, y + dy * radius) for dx, dy in corners], rim, 3.4)
    inner = face.eye_spacing - radius
    canvas.line([head.at(side * inner, face.eye_height, 6) for side in (-1, 1)], rim, 2.6)


def _draw_hat(canvas: Canvas, head: _Head, colour: Colour) -> None:
    face = head.face
    w, h = face.half_width, face.half_height
    brim = HEAD_MIDDLE[1] - face.hair_line + 4
    dome = arc_points(
        (128 - 1.12 * w, brim - 1.3 * h, 128 + 1.12 * w, brim + 0.6 * h), 180, 360, 16
    )
    canvas.polygon(dome, fall(colour))
    canvas.rectangle(
        (128 - 1.2 * w, brim - 0.42 * h, 128 + 1.2 * w, brim), shade(colour, 0.7), radius=6
    )


def _light_from_the_side(image: Image.Image, strength: float) -> Image.Image:
    pixels = np.asarray(image, dtype=np.float32).copy()
    across = np.linspace(-1, 1, image.width, dtype=np.float32)[None, :, None]
    pixels[..., :3] *= 1 + strength * across
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8), "RGBA")


def _blend(first: Colour, second: Colour, part: float) -> Colour:
    red, green, blue = (int(a * (1 - part) + b * part) for a, b in zip(first, second, strict=True))
    return red, green, blue
