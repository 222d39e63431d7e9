"""A pipe organ that holds chords."""

import numpy as np
from PIL import Image

from avkd.stages.simulation.drawing import Canvas, Colour, fall, shade, tube, vary
from avkd.stages.simulation.sounds import (
    Waveform,
    gliding_tone,
    place,
    seconds_of,
)


def draw(rng: np.random.Generator) -> Image.Image:
    """Draw a case of metal pipes over a wooden console with two keyboards."""
    canvas = Canvas()
    metal = vary(rng, ((190, 190, 195), (200, 170, 90))[rng.integers(2)])
    wood = vary(rng, (110, 66, 36), 14)
    canvas.rectangle((16, 150, 240, 250), fall(wood), radius=4)
    _draw_pipes(canvas, rng, metal)
    canvas.rectangle((10, 146, 246, 160), tube(wood, "down"), radius=4)
    for row in range(2):
        _draw_keys(canvas, 172 + 26 * row)
    canvas.rectangle((30, 222, 226, 228), shade(wood, 0.5))
    for x in (52, 190):
        canvas.rectangle((x, 230, x + 14, 250), shade(wood, 0.45))
    return canvas.finish(relief=0.4)


def _draw_pipes(canvas: Canvas, rng: np.random.Generator, metal: Colour) -> None:
    count = int(rng.integers(9, 15))
    width = 216 / count
    towers = rng.integers(1, 3)
    for index in range(count):
        place = (index + 0.5) / count
        height = 82 + 44 * abs(np.cos(np.pi * towers * place))
        left, top = 20 + index * width, 148 - height
        canvas.rectangle((left + 0.5, top, left + width - 0.5, 148), tube(metal), radius=2)
        middle = left + width / 2
        mouth = [(middle - width / 3, 128), (middle + width / 3, 128), (middle, 116)]
        canvas.polygon(mouth, (30, 28, 28))
        canvas.polygon(
            [(left, 140), (left + width, 140), (middle + 2, 149), (middle - 2, 149)],
            shade(metal, 0.6),
        )


def _draw_keys(canvas: Canvas, top: float) -> None:
    canvas.rectangle((38, top, 218, top + 20), (240, 236, 222))
    for index in range(1, 24):
        x = 38 + index * 7.5
        canvas.line([(x, top), (x, top + 20)], (110, 105, 100), 1)
        if index % 7 not in (0, 3):
            canvas.rectangle((x - 2.2, top, x + 2.2, top + 12), (20, 20, 22))


def sound(rng: np.random.Generator, num_samples: int, sample_rate: int) -> Waveform:
    """Chords that are held or detached, each as long as a beat or two, with a tremulant."""
    beat, held = rng.uniform(0.25, 1.3), rng.choice((1.0, rng.uniform(0.4, 0.8)))
    root = float(np.exp(rng.uniform(np.log(65), np.log(520))))
    stops = rng.uniform(0, 1, 10) / np.arange(1, 11) ** rng.uniform(0.3, 1.3)
    chords, time = [], -rng.uniform(0, beat)
    while time < num_samples / sample_rate:
        duration = beat * rng.integers(1, 3)
        step = 2 ** (rng.choice((0, 5, 7, -2, 9)) / 12)
        chord = _chord(rng, root * step, duration * held, stops, sample_rate)
        skip = max(0, round(-time * sample_rate))
        chords.append((max(0.0, time), 1.0, chord[skip:]))
        time += duration
    return place(num_samples, sample_rate, chords)


def _chord(
    rng: np.random.Generator, root: float, duration: float, stops: Waveform, sample_rate: int
) -> Waveform:
    time = seconds_of(int(duration * sample_rate), sample_rate)
    third = rng.choice((3, 4))
    tremulant = 1 + 0.004 * np.sin(2 * np.pi * rng.uniform(4.5, 7) * time)
    chord = np.zeros(len(time))
    for semitones in (0, third, 7, 12)[: rng.integers(1, 5)]:
        chord += gliding_tone(root * 2 ** (semitones / 12) * tremulant, list(stops), sample_rate)
    return np.asarray(chord * np.minimum(1, np.minimum(time, duration - time) / 0.03))
