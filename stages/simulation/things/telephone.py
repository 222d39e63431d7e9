"""A dial telephone that rings."""

import numpy as np
from PIL import Image

from avkd.stages.simulation.drawing import (
    Canvas,
    Colour,
    ball,
    fall,
    shade,
    smooth_points,
    tube,
    vary,
)
from avkd.stages.simulation.sounds import (
    Waveform,
    damped_tones,
    gliding_tone,
    place,
)

_SHELLS: tuple[Colour, ...] = ((35, 35, 38), (165, 30, 30), (40, 90, 70), (215, 205, 180))


def draw(rng: np.random.Generator) -> Image.Image:
    """Draw the body, the dial with ten holes, and the handset on its cradle."""
    canvas = Canvas()
    shell = vary(rng, _SHELLS[rng.integers(len(_SHELLS))], 12)
    body = [(84, 78), (172, 78), (206, 150), (236, 226), (128, 240), (20, 226), (50, 150)]
    canvas.polygon(smooth_points(body), fall(shell))
    canvas.rectangle((16, 220, 240, 240), tube(shell, "down"), radius=8)
    for x in (84, 156):
        canvas.rectangle((x, 60, x + 16, 86), tube(shell), radius=3)
    _draw_dial(canvas, rng)
    handset = [(20, 92), (16, 58), (60, 34), (128, 28), (196, 34), (240, 58), (236, 92)]
    handset += [(200, 94), (188, 66), (128, 56), (68, 66), (56, 94)]
    canvas.polygon(smooth_points(handset), fall(shade(shell, 1.1)))
    canvas.line([(40, 50), (128, 36), (216, 50)], shade(shell, 1.6), 3)
    for x in (14, 196):
        canvas.ellipse((x, 76, x + 46, 104), tube(shell, "down"))
    return canvas.finish(relief=0.5)


def _draw_dial(canvas: Canvas, rng: np.random.Generator) -> None:
    metal = vary(rng, (205, 205, 205), 10)
    canvas.ellipse((74, 106, 182, 214), (30, 30, 30))
    canvas.ellipse((78, 110, 178, 210), ball(metal))
    turn = rng.uniform(-0.1, 0.1)
    for hole in range(10):
        angle = 2 * np.pi * (hole / 12.5 + turn) - 0.6
        x, y = 128 + 36 * float(np.cos(angle)), 160 - 36 * float(np.sin(angle))
        canvas.ellipse((x - 10, y - 10, x + 10, y + 10), (240, 238, 230))
        canvas.ring((x - 10, y - 10, x + 10, y + 10), (60, 60, 60), 1.5)
        canvas.text((x, y), str((hole + 1) % 10), (25, 25, 25), 11)
    canvas.ellipse((108, 140, 148, 180), ball((245, 242, 230)))
    canvas.line([(158, 192), (176, 186)], (120, 120, 120), 4)


def sound(rng: np.random.Generator, num_samples: int, sample_rate: int) -> Waveform:
    """Rings with pauses: a hammer between two small bells, or two tones that warble."""
    ring, pause = rng.uniform(0.4, 1.8), rng.uniform(0.3, 1.3)
    rate, warbles = rng.uniform(10, 28), rng.random() < 0.4
    bells = _bells(rng, sample_rate)
    tones = _tones(rng, 1 / rate, sample_rate)
    strikes = []
    for start in np.arange(-rng.uniform(0, ring), num_samples / sample_rate, ring + pause):
        times = np.arange(start, start + ring, 1 / rate)
        grains = tones if warbles else bells
        strikes += [(t, 1.0, grains[i % 2]) for i, t in enumerate(times) if t >= 0]
    return place(num_samples, sample_rate, strikes)


def _tones(rng: np.random.Generator, duration: float, sample_rate: int) -> list[Waveform]:
    first = rng.uniform(500, 1_800)
    harmonics = [1.0, rng.uniform(0, 0.6), rng.uniform(0, 0.6)]
    length = int(duration * sample_rate)
    return [
        gliding_tone(np.full(length, pitch), harmonics, sample_rate)
        for pitch in (first, first * rng.uniform(1.1, 1.4))
    ]


def _bells(rng: np.random.Generator, sample_rate: int) -> list[Waveform]:
    first = rng.uniform(750, 1_700)
    decay, bells = rng.uniform(0.15, 0.5), []
    for pitch in (first, first * rng.uniform(1.05, 1.3)):
        frequencies = [pitch, pitch * 2.1, pitch * 3.3, pitch * 4.6]
        gains, decays = [1.0, *rng.uniform(0.2, 0.9, 3)], [decay, decay, decay / 2, decay / 3]
        bells.append(damped_tones(frequencies, gains, decays, sample_rate))
    return bells
