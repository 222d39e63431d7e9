"""An ambulance with its siren."""

import numpy as np
from PIL import Image

from avkd.stages.simulation.drawing import Canvas, Colour, Paint, ball, fall, shade, vary
from avkd.stages.simulation.sounds import (
    Waveform,
    gliding_tone,
    seconds_of,
)

_GLASS = Paint(colours=((140, 165, 185), (40, 55, 70)))


def draw(rng: np.random.Generator) -> Image.Image:
    """Draw a white van from the side: a stripe, a cross, a light bar."""
    canvas = Canvas()
    stripe = vary(rng, ((205, 35, 30), (230, 110, 20), (40, 90, 180))[rng.integers(3)], 12)
    white = vary(rng, (238, 240, 240), 5)
    canvas.rectangle((8, 62, 172, 190), fall(white), radius=5)
    cab = [(168, 84), (200, 86), (222, 132), (246, 142), (250, 190), (168, 190)]
    canvas.polygon(cab, fall(white))
    canvas.polygon([(178, 94), (198, 95), (216, 132), (178, 132)], _GLASS)
    canvas.line([(172, 84), (172, 188)], shade(white, 0.6), 2)
    canvas.line([(224, 134), (224, 188)], shade(white, 0.6), 1)
    canvas.rectangle((8, 142, 249, 160), stripe)
    canvas.rectangle((8, 164, 250, 167), stripe)
    canvas.rectangle((22, 76, 62, 108), _GLASS, radius=3)
    _draw_cross(canvas, 118, 100, stripe)
    canvas.text((84, 151), "AMBULANCE", (250, 250, 250), 13)
    canvas.rectangle((6, 184, 252, 193), (60, 60, 65), radius=3)
    _draw_lights(canvas, rng)
    for x in (56, 204):
        canvas.ellipse((x - 25, 166, x + 25, 216), (18, 18, 18))
        canvas.ellipse((x - 14, 177, x + 14, 205), ball((200, 200, 205)))
    return canvas.finish(relief=0.4)


def _draw_cross(canvas: Canvas, x: float, y: float, colour: Colour) -> None:
    for angle in range(0, 180, 60):
        turn = np.radians(angle)
        dx, dy = 22 * float(np.sin(turn)), 22 * float(np.cos(turn))
        canvas.line([(x - dx, y - dy), (x + dx, y + dy)], colour, 10)
    canvas.line([(x, y - 15), (x, y + 15)], (250, 250, 250), 2)


def _draw_lights(canvas: Canvas, rng: np.random.Generator) -> None:
    lit = rng.random() < 0.5
    red, blue = (255, 60, 50), (60, 110, 255)
    canvas.rectangle((168, 74, 200, 86), ball(red if lit else blue), radius=4)
    canvas.rectangle((14, 52, 44, 63), ball(red), radius=4)
    canvas.rectangle((130, 52, 164, 63), ball(blue), radius=4)
    canvas.ellipse((238, 146, 250, 160), ball((255, 245, 200)))


def sound(rng: np.random.Generator, num_samples: int, sample_rate: int) -> Waveform:
    """A siren: a slow wail, a fast yelp, or two notes in turn."""
    low = rng.uniform(320, 900)
    high = low * rng.uniform(1.2, 2.4)
    cycle = rng.choice((rng.uniform(2.0, 5.0), rng.uniform(0.08, 0.4), rng.uniform(0.9, 1.6)))
    shape = "steps" if 0.5 < cycle < 1.8 else "wail"
    frequencies = glide(num_samples, sample_rate, low, high, cycle, rng.random(), shape)
    harmonics = rng.uniform(0.2, 1.0, 6) / np.arange(1, 7) ** rng.uniform(0.5, 1.5)
    return gliding_tone(frequencies, [1.0, *harmonics[1:]], sample_rate)


def glide(
    num_samples: int,
    sample_rate: int,
    low: float,
    high: float,
    cycle_seconds: float,
    phase: float,
    shape: str,
) -> Waveform:
    """Frequency at each sample, between two limits; ``shape`` is wail or steps."""
    turns = seconds_of(num_samples, sample_rate) / cycle_seconds + phase
    swing = 0.5 - 0.5 * np.cos(2 * np.pi * turns)
    if shape == "steps":
        swing = (swing > 0.5).astype(float)
    return np.asarray(low * (high / low) ** swing)
