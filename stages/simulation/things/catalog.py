"""Which kinds of things there are."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from PIL import Image

from avkd.stages.simulation.sounds import Waveform
from avkd.stages.simulation.things import (
    ambulance,
    bell,
    bird,
    bus,
    clock,
    drum,
    frog,
    guitar,
    organ,
    teapot,
    telephone,
    umbrella,
)

Draw: TypeAlias = Callable[[np.random.Generator], Image.Image]
Sound: TypeAlias = Callable[[np.random.Generator, int, int], Waveform]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """How an instance of a kind is made, from a generator of chance alone."""

    draw: Draw
    """To a picture of 256 by 256, RGBA."""
    sound: Sound
    """To a waveform at any level, given the number of samples and the sample rate."""


KINDS: dict[str, Kind] = {
    "ambulance": Kind(draw=ambulance.draw, sound=ambulance.sound),
    "bell": Kind(draw=bell.draw, sound=bell.sound),
    "bird": Kind(draw=bird.draw, sound=bird.sound),
    "bus": Kind(draw=bus.draw, sound=bus.sound),
    "clock": Kind(draw=clock.draw, sound=clock.sound),
    "drum": Kind(draw=drum.draw, sound=drum.sound),
    "frog": Kind(draw=frog.draw, sound=frog.sound),
    "guitar": Kind(draw=guitar.draw, sound=guitar.sound),
    "organ": Kind(draw=organ.draw, sound=organ.sound),
    "teapot": Kind(draw=teapot.draw, sound=teapot.sound),
    "telephone": Kind(draw=telephone.draw, sound=telephone.sound),
    "umbrella": Kind(draw=umbrella.draw, sound=umbrella.sound),
}
