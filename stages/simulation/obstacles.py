"""What stands between the camera and a thing: posts, leaves, a curtain."""

import itertools
from collections.abc import Callable

import numpy as np
from PIL import Image

from avkd.stages.simulation.drawing import Canvas, Colour, fall, shade, smooth_points, tube, vary


def draw_post(rng: np.random.Generator) -> Image.Image:
    """Draw an upright post."""
    canvas = Canvas()
    half = rng.uniform(16, 44)
    colour = vary(rng, ((95, 75, 55), (130, 130, 135), (60, 70, 60))[rng.integers(3)], 20)
    canvas.rectangle((128 - half, 0, 128 + half, 256), tube(colour))
    for y in rng.uniform(0, 256, 3):
        canvas.rectangle((128 - half, y, 128 + half, y + 5), tube(shade(colour, 0.6)))
    return canvas.finish(relief=0.2)


def draw_leaves(rng: np.random.Generator) -> Image.Image:
    """Draw a loose bunch of leaves."""
    canvas = Canvas()
    green = vary(rng, (75, 120, 50), 25)
    for _ in range(int(rng.integers(10, 24))):
        _draw_leaf(canvas, rng, vary(rng, green, 14))
    return canvas.finish(relief=0.4)


def draw_curtain(rng: np.random.Generator) -> Image.Image:
    """Draw a strip of cloth in folds."""
    canvas = Canvas()
    cloth = vary(rng, ((150, 60, 60), (70, 80, 120), (190, 175, 140))[rng.integers(3)], 20)
    width = rng.uniform(50, 110)
    edges = np.linspace(128 - width / 2, 128 + width / 2, int(rng.integers(4, 8)))
    for left, right in itertools.pairwise(edges):
        canvas.rectangle((float(left), 0, float(right), 256), tube(cloth))
    return canvas.finish(relief=0.3)


OBSTACLES: dict[str, Callable[[np.random.Generator], Image.Image]] = {
    "curtain": draw_curtain,
    "leaves": draw_leaves,
    "post": draw_post,
}


def _draw_leaf(canvas: Canvas, rng: np.random.Generator, colour: Colour) -> None:
    x, y = 128 + rng.normal(0, 34), 128 + rng.normal(0, 44)
    length, turn = rng.uniform(28, 60), rng.uniform(0, 2 * np.pi)
    cos, sin = float(np.cos(turn)) * length / 2, float(np.sin(turn)) * length / 2
    outline = [(x - cos, y - sin), (x - 0.4 * sin, y + 0.4 * cos)]
    outline += [(x + cos, y + sin), (x + 0.4 * sin, y - 0.4 * cos)]
    canvas.polygon(smooth_points(outline), fall(colour))
    canvas.line([(x - cos, y - sin), (x + cos, y + sin)], shade(colour, 0.6), 1.5)
