"""An umbrella in the rain."""

import numpy as np
from PIL import Image

from avkd.stages.simulation.drawing import Canvas, Colour, fall, shade, vary
from avkd.stages.simulation.sounds import (
    Waveform,
    at_level,
    coloured_noise,
    convolve,
    damped_tones,
    slow_curve,
)

_CLOTHS: tuple[Colour, ...] = ((190, 30, 45), (40, 70, 150), (60, 130, 80), (235, 180, 40))


def draw(rng: np.random.Generator) -> Image.Image:
    """Draw an open umbrella from the side, with drops that fall around it."""
    canvas = Canvas()
    cloth = vary(rng, _CLOTHS[rng.integers(len(_CLOTHS))])
    other = shade(cloth, 0.7) if rng.random() < 0.6 else (240, 236, 225)
    for _ in range(46):
        x, y, length = rng.uniform(0, 256), rng.uniform(0, 244), rng.uniform(8, 18)
        canvas.line([(x, y), (x - length / 4, y + length)], (205, 220, 235), 1.5)
    canvas.line([(128, 30), (128, 222)], (60, 55, 50), 5)
    hook = [(128, 215), (128, 230), (138, 240), (150, 236), (154, 222)]
    canvas.line(hook, (110, 65, 35), 8)
    _draw_panels(canvas, cloth, other, int(rng.integers(5, 8)))
    canvas.line([(128, 14), (128, 34)], (60, 55, 50), 4)
    return canvas.finish(relief=0.4)


def _draw_panels(canvas: Canvas, cloth: Colour, other: Colour, count: int) -> None:
    edges = 128 - 116 * np.cos(np.pi * np.arange(count + 1) / count)
    down = np.linspace(0, 1, 12)
    for index in range(count):
        left, right = float(edges[index]), float(edges[index + 1])
        rising = [(_rib(left, t), 138 - 106 * np.cos(t * np.pi / 2)) for t in down]
        falling = [(_rib(right, t), 138 - 106 * np.cos(t * np.pi / 2)) for t in down[::-1]]
        across = np.linspace(0, 1, 8)
        hem = [(left + (right - left) * t, 138 - 14 * np.sin(np.pi * t)) for t in across]
        canvas.polygon([*rising, *hem, *falling], fall(cloth if index % 2 else other))
        canvas.line(rising, shade(cloth, 0.5), 1.5)


def _rib(edge: float, down: float) -> float:
    return 128 + (edge - 128) * float(np.sin(down * np.pi / 2))


def sound(rng: np.random.Generator, num_samples: int, sample_rate: int) -> Waveform:
    """Rain: a hiss that swells a little, and drops that drum on the cloth."""
    hiss = coloured_noise(
        rng, num_samples, sample_rate, slope=rng.uniform(0, 1.5), low=rng.uniform(100, 1_500)
    )
    hiss *= 1 + 0.25 * np.clip(slow_curve(rng, num_samples, 5), -2, 2)
    drops = np.zeros(num_samples)
    num_drops = int(np.exp(rng.uniform(np.log(3), np.log(120))) * num_samples / sample_rate)
    drops[rng.integers(0, num_samples, num_drops)] = rng.exponential(1.0, num_drops)
    cloth = float(np.exp(rng.uniform(np.log(200), np.log(2_500))))
    tap = damped_tones(
        [cloth, cloth * 1.7, cloth * 2.9], [1.0, 0.8, 0.5], [0.05, 0.03, 0.02], sample_rate
    )
    return at_level(hiss, rng.uniform(-40, -20)) + at_level(convolve(drops, tap), -20)
