"""A wall clock that ticks."""

import numpy as np
from PIL import Image

from avkd.stages.simulation.drawing import Canvas, Colour, Paint, ball, shade, tube, vary
from avkd.stages.simulation.sounds import (
    Waveform,
    damped_tones,
    event_times,
    place,
)

_RIMS: tuple[Colour, ...] = ((60, 60, 65), (120, 75, 40), (170, 140, 60), (150, 40, 40))


def draw(rng: np.random.Generator) -> Image.Image:
    """Draw a round face with numerals, a rim and three hands."""
    canvas = Canvas()
    rim = vary(rng, _RIMS[rng.integers(len(_RIMS))])
    face = vary(rng, (240, 238, 225), 8)
    width = rng.uniform(10, 22)
    canvas.ellipse((14, 14, 242, 242), tube(rim, "down"))
    canvas.ring((14 + width * 0.6,) * 2 + (242 - width * 0.6,) * 2, shade(rim, 1.5), 2)
    inner = (14 + width, 14 + width, 242 - width, 242 - width)
    canvas.ellipse(inner, Paint(colours=(face, face, shade(face, 0.8)), axis="radial"))
    _draw_marks(canvas, 114 - width, numerals=rng.random() < 0.75)
    _draw_hands(canvas, rng, 114 - width)
    return canvas.finish(relief=0.3)


def _at(radius: float, turn: float) -> tuple[float, float]:
    angle = 2 * np.pi * turn
    return 128 + radius * float(np.sin(angle)), 128 - radius * float(np.cos(angle))


def _draw_marks(canvas: Canvas, radius: float, *, numerals: bool) -> None:
    for minute in range(60):
        length = 0.9 if minute % 5 == 0 else 0.95
        canvas.line(
            [_at(radius * length, minute / 60), _at(radius * 0.98, minute / 60)],
            (30, 30, 30),
            3 if minute % 5 == 0 else 1,
        )
    for hour in range(1, 13):
        if numerals:
            canvas.text(_at(radius * 0.76, hour / 12), str(hour), (25, 25, 25), 24)
        else:
            canvas.line(
                [_at(radius * 0.74, hour / 12), _at(radius * 0.95, hour / 12)], (25, 25, 25), 6
            )


def _draw_hands(canvas: Canvas, rng: np.random.Generator, radius: float) -> None:
    time = rng.random()
    hands = ((0.5, time, 8.0), (0.76, time * 12 % 1, 5.0))
    for reach, turn, width in hands:
        canvas.line([_at(-radius * 0.12, turn), _at(radius * reach, turn)], (15, 15, 15), width)
    second = rng.random()
    canvas.line([_at(-radius * 0.15, second), _at(radius * 0.82, second)], (180, 25, 25), 2)
    canvas.ellipse((121, 121, 135, 135), ball((90, 80, 70)))


def sound(rng: np.random.Generator, num_samples: int, sample_rate: int) -> Waveform:
    """Tick and tock in turn: short damped resonances of a case."""
    times = event_times(rng, num_samples / sample_rate, 1 / rng.uniform(1.0, 6.0), jitter=0.02)
    case = float(np.exp(rng.uniform(np.log(500), np.log(5_000))))
    grains = [_click(rng, case * ratio, sample_rate) for ratio in (1.0, rng.uniform(0.7, 0.95))]
    events = [(time, 1.0, grains[index % 2]) for index, time in enumerate(times)]
    return place(num_samples, sample_rate, events)


def _click(rng: np.random.Generator, frequency: float, sample_rate: int) -> Waveform:
    ratios, decays = rng.uniform(0.4, 2.4, 4), rng.uniform(0.02, 0.09, 4)
    frequencies = [frequency, *(frequency * ratios)]
    return damped_tones(frequencies, [1.0, 0.7, 0.6, 0.5, 0.4], [0.05, *decays], sample_rate)
