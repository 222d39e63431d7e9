"""A frog that croaks."""

import numpy as np
from PIL import Image

from avkd.stages.simulation.drawing import (
    Canvas,
    Colour,
    Point,
    ball,
    fall,
    shade,
    smooth_points,
    vary,
)
from avkd.stages.simulation.sounds import (
    Waveform,
    event_times,
    gliding_tone,
    place,
    seconds_of,
)


def draw(rng: np.random.Generator) -> Image.Image:
    """Draw a frog from the front, on a leaf."""
    canvas = Canvas()
    skin = vary(rng, ((90, 160, 50), (70, 125, 60), (130, 120, 60))[rng.integers(3)], 14)
    canvas.ellipse((4, 196, 252, 250), fall(vary(rng, (60, 120, 70), 12)))
    canvas.line([(128, 222), (240, 236)], (50, 95, 55), 2)
    canvas.line([(128, 222), (20, 234)], (50, 95, 55), 2)
    _draw_legs(canvas, skin)
    canvas.polygon(
        smooth_points(_mirror([(128, 92), (180, 108), (194, 170), (170, 218)])), ball(skin)
    )
    belly = smooth_points(_mirror([(128, 148), (160, 160), (166, 196), (150, 218)]))
    canvas.polygon(belly, ball((232, 226, 180)))
    canvas.polygon(
        smooth_points(_mirror([(128, 62), (178, 68), (202, 100), (170, 138)])), fall(skin)
    )
    canvas.line([(62, 108), (92, 128), (128, 133), (164, 128), (194, 108)], shade(skin, 0.35), 3)
    for x in (116, 136):
        canvas.ellipse((x - 1, 98, x + 4, 102), shade(skin, 0.3))
    _draw_eyes(canvas, rng, skin)
    for _ in range(14):
        left, top, size = rng.uniform(80, 176), rng.uniform(72, 170), rng.uniform(2, 6)
        spot = shade(skin, rng.choice([0.6, 1.3]))
        canvas.ellipse((left, top, left + size * 1.5, top + size), spot)
    return canvas.finish(relief=0.5)


def _mirror(right: list[Point]) -> list[Point]:
    return right + [(256 - x, y) for x, y in reversed(right) if x > 128]


def _draw_legs(canvas: Canvas, skin: Colour) -> None:
    for flipped in (False, True):
        thigh: list[Point] = [(160, 190), (196, 140), (232, 158), (230, 206), (190, 222)]
        canvas.polygon(smooth_points(_side(thigh, flipped)), fall(shade(skin, 0.85)))
        for toe in ((250, 232), (238, 240), (222, 242)):
            canvas.line(_side([(214, 216), toe], flipped), shade(skin, 0.8), 6)
        arm: list[Point] = [(164, 160), (176, 200), (168, 230)]
        canvas.line(_side(arm, flipped), shade(skin, 1.1), 15)
        for toe in ((188, 240), (170, 245), (152, 242)):
            canvas.line(_side([(168, 226), toe], flipped), shade(skin, 1.1), 5)


def _side(points: list[Point], flipped: bool) -> list[Point]:
    return [(256 - x, y) for x, y in points] if flipped else points


def _draw_eyes(canvas: Canvas, rng: np.random.Generator, skin: Colour) -> None:
    iris = vary(rng, (215, 150, 40))
    for x in (80, 176):
        canvas.ellipse((x - 26, 36, x + 26, 88), ball(skin))
        canvas.ellipse((x - 18, 42, x + 18, 78), ball(iris))
        canvas.ellipse((x - 13, 53, x + 13, 67), (10, 10, 10))
        canvas.ellipse((x - 8, 50, x - 2, 56), (255, 255, 255))


def sound(rng: np.random.Generator, num_samples: int, sample_rate: int) -> Waveform:
    """Croaks or peeps: trains of pulses of a voice."""
    voice = rng.choice((rng.uniform(200, 1_400), rng.uniform(1_800, 4_000)), p=(0.65, 0.35))
    rate = rng.uniform(10, 60)
    length, gap = rng.uniform(0.1, 1.2), rng.uniform(0.1, 0.9)
    call = _croak(rng, voice, rate, length, sample_rate)
    times = event_times(rng, num_samples / sample_rate, length + gap, jitter=0.12)
    return place(num_samples, sample_rate, [(time, rng.uniform(0.6, 1.0), call) for time in times])


def _croak(
    rng: np.random.Generator, voice: float, rate: float, length: float, sample_rate: int
) -> Waveform:
    time = seconds_of(int(length * sample_rate), sample_rate)
    along = time / length
    bend = 1 + rng.uniform(-0.25, 0.25) * along
    harmonics = [1.0, rng.uniform(0.3, 0.9), rng.uniform(0.1, 0.6), rng.uniform(0, 0.4)]
    tone = gliding_tone(voice * bend, harmonics, sample_rate)
    pulses = np.exp(-((rate * time) % 1) * rng.uniform(2, 6))
    return np.asarray(tone * pulses * np.sin(np.pi * along) ** 0.5)
