"""A guitar that is plucked."""

import numpy as np
from PIL import Image

from avkd.stages.simulation.drawing import Canvas, Colour, Paint, ball, shade, smooth_points, vary
from avkd.stages.simulation.sounds import (
    Waveform,
    event_times,
    place,
    pluck,
)

_WOODS: tuple[Colour, ...] = ((210, 150, 75), (175, 95, 45), (120, 60, 35), (225, 180, 110))


def draw(rng: np.random.Generator) -> Image.Image:
    """Draw an acoustic guitar that stands upright."""
    canvas = Canvas()
    wood = vary(rng, _WOODS[rng.integers(len(_WOODS))], 12)
    waist = rng.uniform(34, 42)
    canvas.polygon(_body(waist, 4), shade(wood, 0.35))
    canvas.polygon(_body(waist, 0), Paint(colours=_glow(wood), axis="radial"))
    canvas.ellipse((103, 137, 153, 187), shade(wood, 0.5))
    canvas.ellipse((107, 141, 149, 183), (25, 15, 10))
    canvas.rectangle((96, 214, 160, 224), (45, 28, 18), radius=3)
    canvas.polygon([(118, 40), (138, 40), (140, 150), (116, 150)], (52, 32, 20))
    canvas.polygon([(114, 6), (142, 6), (140, 42), (116, 42)], shade(wood, 0.6))
    for fret in range(12):
        y = 42 + 108 * (1 - 2 ** (-fret / 7.5)) / (1 - 2 ** (-11 / 7.5))
        canvas.line([(117, y), (139, y)], (190, 180, 160), 1)
    for peg in range(3):
        for x in (109, 147):
            canvas.ellipse((x - 5, 8 + peg * 11, x + 5, 17 + peg * 11), ball((205, 200, 190)))
    for string in range(6):
        head, bridge = 120 + string * 3.2, 115 + string * 5.2
        canvas.line([(head, 12), (bridge, 218)], (225, 220, 205), 0.5)
    return canvas.finish(relief=0.4)


def _glow(wood: Colour) -> tuple[Colour, ...]:
    return shade(wood, 1.25), wood, shade(wood, 0.5)


def _body(waist: float, margin: float) -> list[tuple[float, float]]:
    right = [(128.0, 112.0), (160, 112), (174, 132), (128 + waist, 160), (178, 186), (184, 218)]
    right += [(160, 246), (128, 250)]
    right = [(x + margin * (x > 128), y + margin * (2 * (y > 180) - 1) * 0.5) for x, y in right]
    left = [(256 - x, y) for x, y in reversed(right[1:-1])]
    return smooth_points(right + left)


_SCALE = (0, 3, 5, 7, 10, 12, 15, 17)


def sound(rng: np.random.Generator, num_samples: int, sample_rate: int) -> Waveform:
    """Plucked notes of one scale, alone or strummed together."""
    root = float(np.exp(rng.uniform(np.log(82), np.log(420))))
    times = event_times(rng, num_samples / sample_rate, rng.uniform(0.15, 0.8), jitter=0.1)
    decay, strum = rng.uniform(0.4, 3.0), rng.random() < 0.4
    notes = []
    for time in times:
        for voice in range(rng.integers(2, 5) if strum else 1):
            frequency = root * 2 ** (rng.choice(_SCALE) / 12)
            grain = pluck(rng, frequency, decay, sample_rate)
            notes.append((time + 0.02 * voice, rng.uniform(0.5, 1.0), grain))
    strings = place(num_samples, sample_rate, notes)
    drive = rng.choice((0.0, rng.uniform(2, 12)), p=(0.6, 0.4))
    return np.asarray(np.tanh(drive * strings / strings.std())) if drive else strings
