"""Persons: a face and a voice that go together, and relatives that are hard to tell apart.

People come in circles of sixteen. Who looks alike, and who sounds alike, is drawn apart: a face
that is easily taken for another's often goes with a voice that is not, and the other way round.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from avkd.stages.simulation.people.face import FACE_TRAITS, Face, face_of
from avkd.stages.simulation.people.voice import VOICE_TRAITS, Voice, voice_of

CIRCLE = 16
FAMILIES = 3
"""Of each build, in a circle."""
SHARED = 0.45
"""Of the variance of traits: what a family has in common."""


@dataclass(frozen=True, kw_only=True)
class Person:
    """Somebody."""

    face: Face
    voice: Voice
    face_family: str
    """Those of one family look alike."""
    voice_family: str
    """Those of one family sound alike."""


def draw_person(seed: int, group: str, number: int) -> Person:
    """The person of a number: the same however many others there are."""
    rng = _rng(f"{seed}/{group}/person/{number}")
    build = 1 if rng.random() < 0.5 else -1
    families = [
        f"{group}/{number // CIRCLE}/{build}/{sense}/{rng.integers(FAMILIES)}"
        for sense in ("face", "voice")
    ]
    own_build = build + float(rng.normal(0, 0.3))
    traits = [
        _traits(rng, f"{seed}/{family}", names)
        for family, names in zip(families, (FACE_TRAITS, VOICE_TRAITS), strict=True)
    ]
    return Person(
        face=face_of(own_build, traits[0]),
        voice=voice_of(own_build, traits[1]),
        face_family=families[0],
        voice_family=families[1],
    )


def _traits(rng: np.random.Generator, family: str, names: Sequence[str]) -> dict[str, float]:
    common = _rng(family).normal(size=len(names))
    own = rng.normal(size=len(names))
    values = math.sqrt(SHARED) * common + math.sqrt(1 - SHARED) * own
    return dict(zip(names, values.tolist(), strict=True))


def _rng(name: str) -> np.random.Generator:
    return np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]))
