"""A bus whose engine runs."""

import numpy as np
from PIL import Image

from avkd.stages.simulation.drawing import Canvas, Colour, Paint, ball, fall, shade, vary
from avkd.stages.simulation.sounds import (
    Waveform,
    at_level,
    coloured_noise,
    event_times,
    gliding_tone,
    place,
    seconds_of,
    slow_curve,
)

_GLASS = Paint(colours=((150, 180, 205), (60, 80, 100)))


def draw(rng: np.random.Generator) -> Image.Image:
    """Draw a bus from the side: windows, stripes, wheels."""
    canvas = Canvas()
    body = vary(rng, ((240, 175, 25), (235, 160, 30), (225, 185, 60))[rng.integers(3)], 10)
    canvas.rectangle((8, 70, 208, 190), fall(body), radius=12)
    canvas.polygon([(204, 130), (236, 134), (250, 146), (250, 190), (204, 190)], fall(body))
    canvas.rectangle((12, 74, 200, 82), shade(body, 1.5), radius=4)
    _draw_windows(canvas, int(rng.integers(5, 8)))
    for y in (136, 150, 172):
        canvas.rectangle((10, y, 206, y + 3), (25, 22, 20))
    canvas.text((96, 144), "SCHOOL BUS", (25, 22, 20), 9)
    canvas.rectangle((6, 184, 252, 193), (35, 35, 38), radius=3)
    canvas.ellipse((240, 156, 251, 169), ball((250, 240, 200)))
    canvas.rectangle((10, 156, 16, 168), (200, 30, 30))
    for x in (60, 212):
        _draw_wheel(canvas, x)
    return canvas.finish(relief=0.4)


def _draw_windows(canvas: Canvas, count: int) -> None:
    width = 158 / count
    for index in range(count):
        left = 16 + index * width
        canvas.rectangle((left, 92, left + width - 4, 124), (30, 28, 26), radius=2)
        canvas.rectangle((left + 2, 94, left + width - 6, 122), _GLASS, radius=2)
        canvas.line([(left + 2, 108), (left + width - 6, 108)], (30, 28, 26), 2)
    canvas.polygon([(178, 90), (202, 90), (206, 130), (178, 130)], (30, 28, 26))
    canvas.polygon([(181, 93), (199, 93), (202, 127), (181, 127)], _GLASS)


def _draw_wheel(canvas: Canvas, x: float) -> None:
    rubber: Colour = (28, 28, 30)
    canvas.ellipse((x - 27, 163, x + 27, 217), (15, 14, 14))
    canvas.ellipse((x - 23, 167, x + 23, 213), rubber)
    canvas.ellipse((x - 13, 177, x + 13, 203), ball((190, 190, 195)))
    for turn in range(5):
        angle = 2 * np.pi * turn / 5
        dot = (x + 8 * float(np.cos(angle)), 190 + 8 * float(np.sin(angle)))
        canvas.ellipse((dot[0] - 2, dot[1] - 2, dot[0] + 2, dot[1] + 2), (50, 50, 55))


def sound(rng: np.random.Generator, num_samples: int, sample_rate: int) -> Waveform:
    """An engine: many harmonics of a wandering firing rate, and the rush of air."""
    firing = rng.uniform(20, 95)
    drift = 1 + rng.uniform(0.03, 0.2) * slow_curve(rng, num_samples, int(rng.integers(3, 8)))
    orders = np.arange(1, 31)
    body = 1 / (1 + (orders * firing / rng.uniform(150, 700)) ** 2)
    harmonics = body * rng.uniform(0.2, 1.0, len(orders))
    engine = gliding_tone(firing * np.clip(drift, 0.4, 2), list(harmonics), sample_rate)
    rush = coloured_noise(rng, num_samples, sample_rate, slope=1.5, high=rng.uniform(600, 3_000))
    sound_of_motor = at_level(engine, -20) + at_level(rush, rng.uniform(-34, -18))
    if rng.random() < 0.45:
        sound_of_motor += at_level(_horn(rng, num_samples, sample_rate), rng.uniform(-24, -17))
    return sound_of_motor


def _horn(rng: np.random.Generator, num_samples: int, sample_rate: int) -> Waveform:
    pitch = rng.choice((rng.uniform(180, 480), rng.uniform(900, 1_400)))
    time = seconds_of(int(rng.uniform(0.15, 0.9) * sample_rate), sample_rate)
    tones = [
        gliding_tone(np.full(len(time), pitch * r), [1, 0.7, 0.5, 0.3], sample_rate)
        for r in (1, 1.26)
    ]
    honk = (tones[0] + tones[1]) * np.minimum(1, np.minimum(time, time[::-1]) / 0.02)
    times = event_times(
        rng, num_samples / sample_rate, time[-1] + rng.uniform(0.3, 1.8), jitter=0.1
    )
    return place(num_samples, sample_rate, [(start, 1.0, honk) for start in times])
