"""A teapot whose lid whistles as it boils."""

import numpy as np
from PIL import Image

from avkd.stages.simulation.drawing import (
    Canvas,
    Colour,
    Paint,
    ball,
    shade,
    smooth_points,
    tube,
    vary,
)
from avkd.stages.simulation.sounds import (
    Waveform,
    at_level,
    coloured_noise,
    damped_tones,
    gliding_tone,
    place,
    slow_curve,
)

_GLAZES: tuple[Colour, ...] = ((225, 225, 220), (70, 110, 170), (150, 60, 45), (110, 140, 90))


def draw(rng: np.random.Generator) -> Image.Image:
    """Draw a round pot with a spout, a handle, a lid and steam."""
    canvas = Canvas()
    glaze = vary(rng, _GLAZES[rng.integers(len(_GLAZES))], 14)
    for offset in (0, 14):
        steam = [(20 + offset + 6 * float(np.sin(y / 9)), float(y)) for y in range(14, 80, 4)]
        canvas.line(steam, (235, 235, 238), 4)
    canvas.ring((168, 102, 250, 190), shade(glaze, 0.7), 13)
    spout = [(88, 200), (50, 176), (38, 128), (14, 98), (34, 88), (60, 112), (72, 140), (96, 150)]
    canvas.polygon(smooth_points(spout), tube(glaze, "down"))
    canvas.ellipse((82, 226, 180, 246), shade(glaze, 0.5))
    canvas.ellipse((56, 92, 206, 240), _glazed(glaze))
    canvas.ellipse((84, 86, 178, 112), tube(shade(glaze, 0.9), "down"))
    canvas.polygon(
        smooth_points([(88, 98), (100, 76), (131, 66), (162, 76), (174, 98)]), tube(glaze)
    )
    canvas.ellipse((119, 46, 143, 70), ball(glaze))
    if rng.random() < 0.6:
        _draw_flowers(canvas, rng)
    canvas.polygon(smooth_points([(84, 132), (96, 116), (108, 112), (92, 150)]), shade(glaze, 1.8))
    return canvas.finish(relief=0.5)


def _glazed(glaze: Colour) -> Paint:
    return Paint(colours=(shade(glaze, 1.3), glaze, shade(glaze, 0.35)), axis="radial")


def _draw_flowers(canvas: Canvas, rng: np.random.Generator) -> None:
    petal = vary(rng, (200, 60, 90))
    for _ in range(4):
        x, y = rng.uniform(100, 170), rng.uniform(138, 205)
        for turn in range(5):
            angle = 2 * np.pi * turn / 5
            px, py = x + 7 * float(np.cos(angle)), y + 7 * float(np.sin(angle))
            canvas.ellipse((px - 5, py - 5, px + 5, py + 5), petal)
        canvas.ellipse((x - 4, y - 4, x + 4, y + 4), (240, 200, 70))


def sound(rng: np.random.Generator, num_samples: int, sample_rate: int) -> Waveform:
    """A whistle that wavers, over the hiss and the bubbles of the boil."""
    pitch = float(np.exp(rng.uniform(np.log(700), np.log(3_800))))
    rise = rng.uniform(-0.05, 0.25) * np.linspace(0, 1, num_samples)
    waver = 0.012 * slow_curve(rng, num_samples, int(rng.integers(8, 60)))
    whistle = gliding_tone(
        pitch * (1 + rise + waver), [1.0, rng.uniform(0.05, 0.4), 0.1], sample_rate
    )
    whistle *= 1 + 0.3 * np.clip(slow_curve(rng, num_samples, 24), -2, 2)
    hiss = coloured_noise(rng, num_samples, sample_rate, low=pitch * 0.7, high=pitch * 1.8)
    bubbles = _boil(rng, num_samples, sample_rate)
    return (
        at_level(whistle, rng.uniform(-32, -20))
        + at_level(hiss, rng.uniform(-36, -22))
        + at_level(bubbles, rng.uniform(-40, -22))
    )


def _boil(rng: np.random.Generator, num_samples: int, sample_rate: int) -> Waveform:
    pops = []
    for time in rng.uniform(0, num_samples / sample_rate, int(rng.uniform(40, 160))):
        pitch = rng.uniform(150, 700)
        pops.append((time, rng.uniform(0.2, 1), damped_tones([pitch], [1], [0.08], sample_rate)))
    return place(num_samples, sample_rate, pops)
