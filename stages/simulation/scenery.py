"""Places for things to stand in: walls, tiles, lawns, and clutter.

Conventions: sizes are (width, height) in pixels; pictures are RGB.
"""

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from avkd.stages.simulation.drawing import Colour, Paint, gradient, shade, vary

_HUES: tuple[Colour, ...] = (
    (176, 196, 210),
    (214, 203, 180),
    (150, 160, 130),
    (120, 110, 105),
    (186, 150, 130),
    (90, 105, 125),
    (205, 190, 200),
    (110, 140, 95),
)


def draw_scenery(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Draw an empty place with clutter, softly out of focus."""
    paint = (_wall_and_floor, _tiles, _stripes, _outdoors, _lights)[rng.integers(5)]
    image = paint(rng, size)
    _add_clutter(image, rng, int(rng.integers(0, 7)))
    image = ImageChops.multiply(image, _mottle(rng, size, rng.uniform(0.1, 0.5)))
    return image.filter(ImageFilter.BoxBlur(rng.uniform(0.3, 2.0)))


def _hue(rng: np.random.Generator) -> Colour:
    return vary(rng, _HUES[rng.integers(len(_HUES))], 22)


def _mottle(rng: np.random.Generator, size: tuple[int, int], depth: float) -> Image.Image:
    total = np.zeros((size[1], size[0]), dtype=np.float32)
    for octave in range(2, 6):
        grid = rng.integers(0, 256, (2**octave, 2**octave), dtype=np.uint8)
        layer = Image.fromarray(grid).resize(size, Image.Resampling.BILINEAR)
        total += np.asarray(layer, dtype=np.float32) / (255 * 4)
    light = (255 * np.clip(1 - depth * total * 1.6, 0, 1)).astype(np.uint8)
    return Image.merge("RGB", [Image.fromarray(light)] * 3)


def _wall_and_floor(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    wall, floor = _hue(rng), _hue(rng)
    image = gradient(Paint(colours=(shade(wall, 1.2), shade(wall, 0.8))), size)
    horizon = int(size[1] * rng.uniform(0.55, 0.9))
    ground = gradient(
        Paint(colours=(shade(floor, 0.6), floor)), (size[0], max(1, size[1] - horizon))
    )
    image.paste(ground, (0, horizon))
    return image


def _tiles(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    colour, gap = _hue(rng), _hue(rng)
    image = Image.new("RGB", size, gap)
    draw = ImageDraw.Draw(image)
    width, height = (int(value) for value in rng.integers(14, 46, 2))
    for row, top in enumerate(range(0, size[1], height)):
        for left in range(-(width // 2) * (row % 2), size[0], width):
            box = (left, top, left + width - 3, top + height - 3)
            draw.rectangle(box, fill=vary(rng, colour, 9))
    return image


def _stripes(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    first, second = _hue(rng), _hue(rng)
    image = Image.new("RGB", (size[0] * 2, size[0] * 2), first)
    draw = ImageDraw.Draw(image)
    width = int(rng.integers(6, 30))
    for left in range(0, size[0] * 2, 2 * width):
        draw.rectangle((left, 0, left + width, size[0] * 2), fill=second)
    turned = image.rotate(rng.uniform(0, 180), Image.Resampling.BILINEAR)
    left, top = size[0] // 2, size[0] - size[1] // 2
    return turned.crop((left, top, left + size[0], top + size[1]))


def _outdoors(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    sky = vary(rng, ((150, 190, 230), (225, 170, 130), (170, 175, 180))[rng.integers(3)])
    image = gradient(Paint(colours=(shade(sky, 0.8), shade(sky, 1.4))), size)
    draw = ImageDraw.Draw(image)
    xs = np.linspace(0, size[0], 24)
    for depth in range(3):
        green = vary(rng, shade((110, 150, 80), 0.95 - 0.22 * depth), 14)
        base, wave = size[1] * (0.5 + 0.16 * depth), rng.uniform(4, 16)
        ys = base + wave * np.sin(xs / rng.uniform(15, 50) + rng.uniform(0, 6))
        line = [(float(x), float(y)) for x, y in zip(xs, ys, strict=True)]
        draw.polygon([*line, (size[0], size[1]), (0, size[1])], fill=green)
    return image


def _lights(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    dark = shade(_hue(rng), 0.5)
    image = gradient(Paint(colours=(dark, shade(dark, 0.5))), size)
    spots = Image.new("RGB", size)
    draw = ImageDraw.Draw(spots)
    for _ in range(int(rng.integers(8, 30))):
        x, y, radius = rng.uniform(0, size[0]), rng.uniform(0, size[1]), rng.uniform(3, 18)
        colour = shade(_hue(rng), rng.uniform(0.3, 0.8))
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
    return ImageChops.screen(image, spots)


def _add_clutter(image: Image.Image, rng: np.random.Generator, count: int) -> None:
    for _ in range(count):
        width, height = (int(value) for value in rng.integers(10, 60, 2))
        place = (int(rng.integers(-20, image.width)), int(rng.integers(-20, image.height)))
        colour = _hue(rng)
        mask = Image.new("L", (width, height))
        draw = ImageDraw.Draw(mask)
        if rng.random() < 0.5:
            draw.ellipse((0, 0, width - 1, height - 1), fill=255)
        else:
            corners = rng.uniform(0, 1, (int(rng.integers(3, 6)), 2)) * (width, height)
            hull = corners - corners.mean(axis=0)
            order = np.argsort(np.arctan2(hull[:, 1], hull[:, 0]))
            draw.polygon([(float(x), float(y)) for x, y in corners[order]], fill=255)
        paint = Paint(colours=(shade(colour, 1.2), shade(colour, 0.6)))
        image.paste(gradient(paint, (width, height)), place, mask)
