"""A bird that sings."""

import numpy as np
from PIL import Image

from avkd.stages.simulation.drawing import Canvas, Colour, ball, fall, shade, smooth_points, vary
from avkd.stages.simulation.sounds import (
    Waveform,
    event_times,
    gliding_tone,
    place,
)

_BREASTS: tuple[Colour, ...] = ((215, 90, 40), (240, 200, 50), (90, 130, 200), (200, 70, 90))
_BACKS: tuple[Colour, ...] = ((95, 75, 55), (60, 60, 65), (50, 80, 140), (120, 110, 90))
_BODY = [
    (88, 150),
    (108, 112),
    (150, 80),
    (190, 92),
    (204, 130),
    (190, 176),
    (150, 202),
    (104, 188),
]
_BREAST = [(190, 98), (207, 128), (196, 172), (160, 200), (138, 192), (162, 150), (176, 118)]


def draw(rng: np.random.Generator) -> Image.Image:
    """Draw a songbird from the side on a branch."""
    canvas = Canvas()
    breast = vary(rng, _BREASTS[rng.integers(len(_BREASTS))])
    back = vary(rng, _BACKS[rng.integers(len(_BACKS))], 12)
    _draw_branch(canvas, rng)
    tail = [(82, 158), (100, 178), (46, 236), (20, 232), (24, 222)]
    canvas.polygon(tail, fall(shade(back, 0.75)))
    for x in (134, 150):
        canvas.line([(x, 190), (x + 4, 222)], (120, 85, 55), 4)
    canvas.polygon(smooth_points(_BODY), fall(back))
    canvas.polygon(smooth_points(_BREAST), ball(breast))
    canvas.polygon(smooth_points([(128, 176), (150, 172), (172, 186), (150, 200)]), (235, 228, 215))
    _draw_head(canvas, back, breast, crested=rng.random() < 0.3)
    _draw_wing(canvas, back)
    return canvas.finish(relief=0.6)


def _draw_branch(canvas: Canvas, rng: np.random.Generator) -> None:
    bark, leaf = vary(rng, (95, 70, 48), 10), vary(rng, (80, 125, 50))
    points = [(4, 236), (70, 226), (150, 226), (252, 214)]
    canvas.line(points, bark, 11)
    canvas.line([(x, y - 3) for x, y in points], shade(bark, 1.25), 3)
    for _ in range(int(rng.integers(1, 5))):
        x, y = rng.uniform(190, 246), rng.uniform(196, 236)
        canvas.polygon(
            smooth_points([(x - 16, y), (x, y - 8), (x + 14, y - 2), (x, y + 7)]), fall(leaf)
        )


def _draw_head(canvas: Canvas, back: Colour, breast: Colour, *, crested: bool) -> None:
    if crested:
        canvas.polygon([(150, 60), (128, 30), (184, 44)], shade(back, 0.9))
    canvas.ellipse((144, 40, 212, 110), fall(back))
    canvas.polygon(smooth_points([(186, 72), (208, 70), (206, 104), (182, 108)]), breast)
    canvas.polygon([(206, 66), (240, 78), (206, 88)], fall((70, 62, 52)))
    canvas.line([(206, 78), (236, 78)], (30, 26, 22), 1)
    canvas.ellipse((184, 60, 200, 76), (225, 215, 200))
    canvas.ellipse((186, 62, 199, 75), (12, 10, 10))
    canvas.ellipse((193, 64, 197, 68), (255, 255, 255))


def _draw_wing(canvas: Canvas, back: Colour) -> None:
    for step in range(5):
        drop = step * 9
        feather = [(150 - step * 6, 104 + drop), (160 - step * 8, 130 + drop), (66 - step * 3, 190)]
        canvas.polygon(
            smooth_points([*feather, (92 - step * 2, 150 + drop / 2)]),
            fall(shade(back, 0.55 + 0.12 * (step % 2))),
        )
        canvas.line([feather[0], feather[2]], shade(back, 1.3), 1.5)


def sound(rng: np.random.Generator, num_samples: int, sample_rate: int) -> Waveform:
    """A song: a motif of a few gliding chirps, or of hoots, that comes again."""
    pitch = rng.choice((rng.uniform(1_600, 5_500), rng.uniform(350, 1_000)), p=(0.7, 0.3))
    motif = [_chirp(rng, pitch, sample_rate) for _ in range(rng.integers(1, 6))]
    gap, notes = rng.uniform(0.02, 0.12), []
    for start in event_times(rng, num_samples / sample_rate, rng.uniform(0.5, 2.2), jitter=0.2):
        time = start
        for chirp in motif:
            notes.append((time, rng.uniform(0.6, 1.0), chirp))
            time += len(chirp) / sample_rate + gap
    return place(num_samples, sample_rate, notes)


def _chirp(rng: np.random.Generator, pitch: float, sample_rate: int) -> Waveform:
    length = int(rng.uniform(0.04, 0.22) * sample_rate)
    along = np.linspace(0, 1, length)
    glide = rng.uniform(-0.35, 0.35) * along + rng.uniform(-0.2, 0.2) * np.sin(np.pi * along)
    trill = rng.choice((0.0, 0.06)) * np.sin(2 * np.pi * rng.uniform(2, 7) * along)
    frequencies = pitch * rng.uniform(0.8, 1.3) * (1 + glide + trill)
    voice = [1.0, rng.uniform(0, 0.5), rng.uniform(0, 0.4)]
    return gliding_tone(frequencies, voice, sample_rate) * np.sin(np.pi * along)
