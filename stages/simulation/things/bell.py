"""A bronze bell that is struck."""

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
    damped_tones,
    event_times,
    place,
)

_METALS: tuple[Colour, ...] = ((190, 140, 50), (160, 105, 60), (120, 125, 110), (200, 165, 80))


def draw(rng: np.random.Generator) -> Image.Image:
    """Draw a flared bell with bands, a clapper and its yoke."""
    canvas = Canvas()
    metal = vary(rng, _METALS[rng.integers(len(_METALS))])
    waist, wood = rng.uniform(44, 58), vary(rng, (105, 65, 35))
    canvas.rectangle((40, 14, 216, 40), tube(wood, "down"), radius=6)
    canvas.rectangle((112, 34, 144, 62), tube(shade(metal, 0.8)), radius=4)
    canvas.ellipse((108, 205, 148, 245), ball(shade(metal, 0.6)))
    canvas.polygon(_outline(waist), _sheen(metal))
    for y, half in ((96, waist + 1), (104, waist + 3), (184, 78), (192, 84)):
        canvas.line([(128 - half, y), (128 + half, y)], shade(metal, 0.55), 2)
        canvas.line([(128 - half, y + 2), (128 + half, y + 2)], shade(metal, 1.4), 1)
    canvas.ellipse((32, 202, 224, 226), tube(metal))
    canvas.ellipse((44, 207, 212, 223), shade(metal, 0.25))
    canvas.ellipse((112, 208, 144, 240), ball(shade(metal, 0.6)))
    return canvas.finish(relief=0.4)


def _outline(waist: float) -> list[tuple[float, float]]:
    left = [(104, 58), (128 - waist * 0.8, 72), (128 - waist, 110), (128 - waist * 1.2, 160)]
    left += [(54, 196), (32, 214)]
    return smooth_points(left + [(256 - x, y) for x, y in reversed(left)])


def _sheen(metal: Colour) -> Paint:
    return Paint(colours=(shade(metal, 0.5), shade(metal, 1.55), shade(metal, 0.35)), axis="across")


# Hum, prime, tierce, quint, nominal and above: the church bell's partials over its prime.
PARTIALS = (0.5, 1.0, 1.2, 1.5, 2.0, 2.5, 2.66, 3.0, 4.0)


def sound(rng: np.random.Generator, num_samples: int, sample_rate: int) -> Waveform:
    """One bell, struck again and again."""
    grain = strike(rng, float(np.exp(rng.uniform(np.log(150), np.log(1_900)))), sample_rate)
    times = event_times(rng, num_samples / sample_rate, rng.uniform(0.35, 2.4), jitter=0.1)
    return place(num_samples, sample_rate, [(time, rng.uniform(0.6, 1), grain) for time in times])


def strike(rng: np.random.Generator, prime: float, sample_rate: int) -> Waveform:
    """Make a grain of one strike of a bell of a prime frequency."""
    frequencies = [prime * ratio for ratio in PARTIALS]
    gains = rng.uniform(0.25, 1.0, len(PARTIALS)) / np.sqrt(np.arange(1, len(PARTIALS) + 1))
    decays = rng.uniform(1.0, 4.0) / np.asarray(PARTIALS) ** 0.7
    return damped_tones(frequencies, list(gains), list(decays), sample_rate, attack=0.002)
