"""What a face is, and what changes about it from one recording to the next.

Conventions: lengths are units of the drawing board (256 by 256), measured from the middle of the
head, y downward; angles are radians; a colour is three integers from 0 to 255.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from avkd.stages.simulation.drawing import Colour, vary
from avkd.stages.simulation.people.traits import around, between, choose

HairStyle: TypeAlias = Literal["bald", "crop", "parting", "curls", "bob", "long"]
BeardStyle: TypeAlias = Literal["none", "moustache", "goatee", "full"]
Spectacles: TypeAlias = Literal["none", "round", "square"]

FACE_TRAITS = (
    "skin",
    "hair",
    "iris",
    "head_width",
    "head_height",
    "jaw",
    "chin",
    "hair_line",
    "eye_spacing",
    "eye_height",
    "eye_size",
    "eye_slant",
    "brow_thickness",
    "brow_height",
    "nose_length",
    "nose_width",
    "mouth_width",
    "mouth_height",
    "lips",
    "ears",
    "hair_style",
    "beard",
    "spectacles",
)

_SKINS: tuple[Colour, ...] = ((246, 214, 192), (222, 178, 144), (176, 124, 90), (104, 68, 50))
_HAIRS: tuple[Colour, ...] = ((32, 26, 24), (78, 52, 36), (132, 92, 54), (214, 184, 128))
_IRISES: tuple[Colour, ...] = ((66, 42, 26), (108, 88, 50), (84, 122, 92), (92, 130, 168))
_CLOTHS: tuple[Colour, ...] = ((60, 70, 95), (150, 60, 60), (70, 110, 80), (200, 195, 185))
_DEEP_HAIR: Sequence[tuple[HairStyle, float]] = (
    ("bald", 2),
    ("crop", 4),
    ("parting", 4),
    ("curls", 2),
    ("bob", 1),
)
_HIGH_HAIR: Sequence[tuple[HairStyle, float]] = (
    ("crop", 1),
    ("parting", 2),
    ("curls", 3),
    ("bob", 4),
    ("long", 4),
)
_BEARDS: Sequence[tuple[BeardStyle, float]] = (
    ("none", 6),
    ("moustache", 1),
    ("goatee", 2),
    ("full", 3),
)
_SPECTACLES: Sequence[tuple[Spectacles, float]] = (("none", 6), ("round", 2), ("square", 2))


@dataclass(frozen=True, kw_only=True)
class Face:
    """What stays the same: whose face it is."""

    skin: Colour
    hair: Colour
    iris: Colour
    half_width: float
    half_height: float
    jaw: float
    """Width of the jaw, as a share of the head's."""
    chin: float
    """Width of the chin, likewise."""
    hair_line: float
    """Above the middle of the head."""
    eye_spacing: float
    """From the middle line to the middle of an eye."""
    eye_height: float
    eye_size: float
    """Half of an eye's width."""
    eye_slant: float
    """How much higher the outer corner is."""
    brow_thickness: float
    brow_height: float
    """Above the eye."""
    nose_length: float
    nose_width: float
    mouth_width: float
    mouth_height: float
    """Below the middle of the head."""
    lips: float
    ears: float
    hair_style: HairStyle
    beard: BeardStyle
    spectacles: Spectacles


@dataclass(frozen=True, kw_only=True)
class Look:
    """What one recording makes of a face."""

    yaw: float
    """To the right of the picture."""
    pitch: float
    """Downward."""
    smile: float
    """-1 to 1."""
    mouth_open: float
    """0 to 1, like the eyes."""
    eye_open: float
    brow_raise: float
    """-1 to 1, like the gaze and the light."""
    gaze: float
    side_light: float
    """How much brighter the right of the head is."""
    wears_spectacles: bool
    """Of those who have some."""
    hat: Colour | None
    cloth: Colour


def face_of(build: float, traits: Mapping[str, float]) -> Face:
    """The face of some traits; ``build`` goes with strong bones, beards and a deep voice."""
    t = traits
    return Face(
        skin=_mix(_SKINS, between(t["skin"], 0, 1)),
        hair=_mix(_HAIRS, between(t["hair"], 0, 1)),
        iris=_mix(_IRISES, between(t["iris"], 0, 1)),
        half_width=around(t["head_width"], 62 + 2 * build, 5.0),
        half_height=around(t["head_height"], 83 + 2 * build, 5.4),
        jaw=around(t["jaw"], 0.80 + 0.04 * build, 0.09),
        chin=around(t["chin"], 0.40 + 0.03 * build, 0.1),
        hair_line=around(t["hair_line"], 46, 8),
        eye_spacing=around(t["eye_spacing"], 27, 3.2),
        eye_height=around(t["eye_height"], -8, 5.5),
        eye_size=around(t["eye_size"], 12 - 0.6 * build, 1.7),
        eye_slant=around(t["eye_slant"], 0, 2.6),
        brow_thickness=around(t["brow_thickness"], 5 + build, 1.4),
        brow_height=around(t["brow_height"], 18, 2.6),
        nose_length=around(t["nose_length"], 33, 4.6),
        nose_width=around(t["nose_width"], 12.5, 2.6),
        mouth_width=around(t["mouth_width"], 25, 3.8),
        mouth_height=around(t["mouth_height"], 47, 4.2),
        lips=around(t["lips"], 6 - 0.6 * build, 1.7),
        ears=around(t["ears"], 13, 2.4),
        hair_style=choose(t["hair_style"], _DEEP_HAIR if build > 0 else _HIGH_HAIR),
        beard=choose(t["beard"], _BEARDS) if build > 0 else "none",
        spectacles=choose(t["spectacles"], _SPECTACLES),
    )


def draw_look(rng: np.random.Generator) -> Look:
    """What chance makes of a face for one recording."""
    return Look(
        yaw=float(np.clip(rng.normal(0, 0.18), -0.6, 0.6)),
        pitch=float(np.clip(rng.normal(0, 0.1), -0.3, 0.3)),
        smile=float(rng.uniform(-0.7, 1)),
        mouth_open=float(rng.uniform(0, 1) ** 1.5),
        eye_open=float(rng.uniform(0.25, 1)),
        brow_raise=float(rng.uniform(-1, 1)),
        gaze=float(rng.uniform(-1, 1)),
        side_light=float(rng.uniform(-0.35, 0.35)),
        wears_spectacles=bool(rng.random() < 0.75),
        hat=_any_cloth(rng) if rng.random() < 0.12 else None,
        cloth=_any_cloth(rng),
    )


def _any_cloth(rng: np.random.Generator) -> Colour:
    return vary(rng, _CLOTHS[rng.integers(len(_CLOTHS))], 30)


def _mix(colours: Sequence[Colour], place: float) -> Colour:
    """The colour at a place, 0 to 1, of a ramp."""
    ramp = np.asarray(colours, dtype=float)
    knots = np.linspace(0, 1, len(ramp))
    red, green, blue = (int(np.interp(place, knots, ramp[:, channel])) for channel in range(3))
    return red, green, blue
