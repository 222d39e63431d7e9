"""A small shaded drawing board for the things of a demo world.

Conventions: coordinates are units on a square of 256 by 256 with the origin at the top left; a
colour is three integers from 0 to 255; a paint is one colour, or two or three that run over the
shape's box along an axis. Shapes are drawn at twice the resolution and halved at the end.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont, ImageOps

Colour: TypeAlias = tuple[int, int, int]
Point: TypeAlias = tuple[float, float]
Box: TypeAlias = tuple[float, float, float, float]
Axis: TypeAlias = Literal["down", "across", "radial"]

CANVAS_UNITS = 256
SUPERSAMPLING = 2

_STEEPER = [min(255, round(level * 1.4)) for level in range(256)]


@dataclass(frozen=True, kw_only=True)
class Paint:
    """Two or three colours that run over a shape's box."""

    colours: tuple[Colour, ...]
    axis: Axis = "down"


def shade(colour: Colour, factor: float) -> Colour:
    """Darken (factor below 1) or lighten towards white (above 1, at most 2) a colour."""
    values = np.asarray(colour, dtype=float)
    lit = values * factor if factor <= 1 else values + (255 - values) * (factor - 1)
    red, green, blue = (int(value) for value in np.clip(lit, 0, 255))
    return red, green, blue


def vary(rng: np.random.Generator, colour: Colour, amount: float = 18.0) -> Colour:
    """Draw a colour near a given one, more in brightness than in hue."""
    moved = np.asarray(colour) + rng.normal(0, amount) + rng.normal(0, amount * 0.35, 3)
    red, green, blue = (int(value) for value in np.clip(moved, 0, 255))
    return red, green, blue


def tube(colour: Colour, axis: Axis = "across") -> Paint:
    """Paint a cylinder: dark edges, light middle."""
    return Paint(colours=(shade(colour, 0.45), shade(colour, 1.35), shade(colour, 0.4)), axis=axis)


def ball(colour: Colour) -> Paint:
    """Paint a sphere: light middle, dark rim."""
    return Paint(colours=(shade(colour, 1.35), colour, shade(colour, 0.45)), axis="radial")


def fall(colour: Colour) -> Paint:
    """Paint a surface that is lit from above."""
    return Paint(colours=(shade(colour, 1.3), shade(colour, 0.65)))


def arc_points(box: Box, start_degrees: float, stop_degrees: float, count: int) -> list[Point]:
    """Points on the ellipse in a box, clockwise from three o'clock."""
    left, top, right, bottom = box
    angles = np.radians(np.linspace(start_degrees, stop_degrees, count))
    xs = (left + right) / 2 + (right - left) / 2 * np.cos(angles)
    ys = (top + bottom) / 2 + (bottom - top) / 2 * np.sin(angles)
    return [(float(x), float(y)) for x, y in zip(xs, ys, strict=True)]


def smooth_points(points: Sequence[Point], per_segment: int = 8) -> list[Point]:
    """Points of a closed Catmull-Rom curve through the given ones."""
    knots = np.asarray(points, dtype=float)
    time = np.linspace(0, 1, per_segment, endpoint=False)[None, :, None]
    before, here = np.roll(knots, 1, 0)[:, None], knots[:, None]
    after, beyond = np.roll(knots, -1, 0)[:, None], np.roll(knots, -2, 0)[:, None]
    curve = here + 0.5 * time * (
        (after - before)
        + time * (2 * before - 5 * here + 4 * after - beyond)
        + time**2 * (3 * (here - after) + beyond - before)
    )
    return [(float(x), float(y)) for x, y in curve.reshape(-1, 2)]


class Canvas:
    """A transparent square that shapes are painted on, later ones over earlier ones."""

    def __init__(self) -> None:
        side = CANVAS_UNITS * SUPERSAMPLING
        self._image = Image.new("RGBA", (side, side))

    def ellipse(self, box: Box, paint: Colour | Paint) -> None:
        """Fill the ellipse in a box."""
        self.polygon(arc_points(box, 0, 360, 64), paint)

    def rectangle(self, box: Box, paint: Colour | Paint, *, radius: float = 0) -> None:
        """Fill a box, with rounded corners of a radius."""
        left, top, right, bottom = box
        if radius <= 0:
            self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], paint)
            return
        twice = 2 * radius
        corners = ((right - twice, top), (right - twice, bottom - twice), (left, bottom - twice))
        starts = (-90, 0, 90, 180)
        points: list[Point] = []
        for (x, y), start in zip((*corners, (left, top)), starts, strict=True):
            points += arc_points((x, y, x + twice, y + twice), start, start + 90, 8)
        self.polygon(points, paint)

    def line(self, points: Sequence[Point], colour: Colour, width: float) -> None:
        """Stroke a line through points."""
        flat = [(x * SUPERSAMPLING, y * SUPERSAMPLING) for x, y in points]
        stroke = max(1, round(width * SUPERSAMPLING))
        ImageDraw.Draw(self._image).line(flat, fill=(*colour, 255), width=stroke, joint="curve")

    def ring(self, box: Box, colour: Colour, width: float) -> None:
        """Stroke the ellipse in a box."""
        scaled = tuple(value * SUPERSAMPLING for value in box)
        stroke = max(1, round(width * SUPERSAMPLING))
        ImageDraw.Draw(self._image).ellipse(scaled, outline=(*colour, 255), width=stroke)

    def text(self, centre: Point, text: str, colour: Colour, height: float) -> None:
        """Write a few letters around a point."""
        font = ImageFont.load_default(size=height * SUPERSAMPLING)
        place = (centre[0] * SUPERSAMPLING, centre[1] * SUPERSAMPLING)
        ImageDraw.Draw(self._image).text(place, text, (*colour, 255), font, anchor="mm")

    def polygon(self, points: Sequence[Point], paint: Colour | Paint) -> None:
        """Fill the polygon through points."""
        flat = [(x * SUPERSAMPLING, y * SUPERSAMPLING) for x, y in points]
        if not isinstance(paint, Paint):
            ImageDraw.Draw(self._image).polygon(flat, fill=(*paint, 255))
            return
        xs, ys = zip(*flat, strict=True)
        left, top = math.floor(min(xs)), math.floor(min(ys))
        size = (math.ceil(max(xs)) - left + 1, math.ceil(max(ys)) - top + 1)
        mask = Image.new("L", size)
        ImageDraw.Draw(mask).polygon([(x - left, y - top) for x, y in flat], fill=255)
        self._image.paste(gradient(paint, size), (left, top), mask)

    def finish(self, *, relief: float = 0.5) -> Image.Image:
        """Halve the drawing to 256 by 256 RGBA, with soft darker edges of a strength."""
        image = self._image.reduce(SUPERSAMPLING)
        alpha = image.getchannel("A")
        near = alpha.filter(ImageFilter.BoxBlur(5))
        light = ImageChops.offset(near, 3, 4)
        lift = light.point(tuple(np.linspace(255 * (1 - relief), 255, 256).astype(int).tolist()))
        shaded = ImageChops.multiply(image.convert("RGB"), Image.merge("RGB", (lift, lift, lift)))
        shaded.putalpha(alpha)
        return shaded


def gradient(paint: Paint, size: tuple[int, int]) -> Image.Image:
    """Paint a whole picture of a size."""
    ramp = Image.radial_gradient("L") if paint.axis == "radial" else Image.linear_gradient("L")
    if paint.axis == "across":
        ramp = ramp.transpose(Image.Transpose.ROTATE_90)
    elif paint.axis == "radial":
        # The corner of the ramp's square is never inside an ellipse: reach the end at its side.
        ramp = ramp.point(_STEEPER)
    ramp = ramp.resize(size, Image.Resampling.BILINEAR)
    first, *middle, last = paint.colours
    return ImageOps.colorize(ramp, first, last, mid=middle[0] if middle else None)
