"""A drum that is beaten."""

import numpy as np
from PIL import Image

from avkd.stages.simulation.drawing import Box, Canvas, Colour, Paint, arc_points, shade, tube, vary
from avkd.stages.simulation.sounds import (
    Waveform,
    coloured_noise,
    event_times,
    gliding_tone,
    place,
    seconds_of,
)

_SHELLS: tuple[Colour, ...] = ((170, 30, 35), (30, 60, 140), (190, 150, 60), (40, 40, 45))


def draw(rng: np.random.Generator) -> Image.Image:
    """Draw a shell with two hoops, tension rods, a pale skin and two sticks."""
    canvas = Canvas()
    shell = vary(rng, _SHELLS[rng.integers(len(_SHELLS))])
    depth = rng.uniform(70, 115)
    top: Box = (24, 70, 232, 138)
    bottom: Box = (24, 70 + depth, 232, 138 + depth)
    canvas.polygon(arc_points(top, 180, 360, 24) + arc_points(bottom, 0, 180, 24), tube(shell))
    _draw_rods(canvas, rng, depth)
    for height, box in ((12, bottom), (14, top)):
        _draw_hoop(canvas, box, height)
    canvas.ellipse((32, 76, 224, 132), _skin())
    for side in (-1, 1):
        tip = (128 + side * rng.uniform(5, 40), 98 + side * 5)
        end = (128 + side * rng.uniform(85, 110), rng.uniform(20, 36))
        canvas.line([end, tip], (205, 165, 105), 6)
        canvas.ellipse((tip[0] - 6, tip[1] - 5, tip[0] + 6, tip[1] + 5), (225, 190, 130))
    return canvas.finish(relief=0.4)


def _skin() -> Paint:
    return Paint(colours=((250, 248, 240), (238, 234, 222), (190, 184, 170)), axis="radial")


def _draw_hoop(canvas: Canvas, box: Box, height: float) -> None:
    left, top, right, bottom = box
    lower = (left, top + height, right, bottom + height)
    band = arc_points(box, 0, 180, 32) + arc_points(lower, 180, 0, 32)
    canvas.polygon(band, tube((190, 190, 195)))
    if height > 12:
        canvas.ellipse(box, (215, 215, 220))


def _draw_rods(canvas: Canvas, rng: np.random.Generator, depth: float) -> None:
    zigzag = rng.random() < 0.5
    feet = arc_points((24, 70, 232, 138), 10, 170, 9)
    for index, (x, y) in enumerate(feet):
        ends = [(x, y + 10), (x, y + depth)]
        if zigzag and index + 1 < len(feet):
            ends = [(x, y + 10), ((x + feet[index + 1][0]) / 2, y + depth), feet[index + 1]]
        canvas.line(ends, (235, 225, 200) if zigzag else (200, 200, 205), 4)
        if not zigzag:
            middle = y + depth / 2
            canvas.rectangle((x - 4, middle - 9, x + 4, middle + 9), shade((215, 215, 220), 0.9))


def sound(rng: np.random.Generator, num_samples: int, sample_rate: int) -> Waveform:
    """A rhythm of thumps, with or without a snare."""
    duration = num_samples / sample_rate
    times = event_times(
        rng, duration, rng.choice((rng.uniform(0.06, 0.12), rng.uniform(0.14, 0.4))), jitter=0.03
    )
    accents = rng.random(int(rng.choice((4, 6, 8)))) < 0.65
    accents[0] = True
    grain = _thump(rng, sample_rate)
    beats = [
        (time, rng.uniform(0.6, 1.0), grain)
        for index, time in enumerate(times)
        if accents[index % len(accents)]
    ]
    return place(num_samples, sample_rate, beats)


def _thump(rng: np.random.Generator, sample_rate: int) -> Waveform:
    decay = rng.uniform(0.1, 0.6)
    time = seconds_of(int(decay * sample_rate), sample_rate)
    skin = float(np.exp(rng.uniform(np.log(55), np.log(480))))
    fading = np.exp(-6.9 * time / decay)
    body = gliding_tone(skin * (1 + 1.2 * np.exp(-time / 0.02)), [1.0, 0.3], sample_rate)
    snare = coloured_noise(rng, len(time), sample_rate, low=800, high=rng.uniform(3_000, 9_000))
    snare *= np.exp(-6.9 * time / rng.uniform(0.08, 0.3)) * rng.uniform(0, 0.7)
    return np.asarray(body * fading + snare)
