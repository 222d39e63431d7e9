"""What a voice is, and what changes about it from one recording to the next.

Conventions: frequencies are hertz, pitch intervals semitones, levels decibels, times seconds.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from avkd.stages.simulation.people.traits import around, between

VOICE_TRAITS = (
    "pitch",
    "liveliness",
    "jitter",
    "tilt",
    "tract",
    "formant_1",
    "formant_2",
    "formant_3",
    "formant_4",
    "bandwidth",
    "breath",
    "tempo",
)


@dataclass(frozen=True, kw_only=True)
class Voice:
    """What stays the same: whose voice it is."""

    pitch_hz: float
    """The middle of the pitch."""
    range_semitones: float
    """How far the pitch wanders."""
    jitter: float
    """Irregularity of the periods, as a share."""
    tilt_db: float
    """Fall of the source over an octave."""
    tract: float
    """Length of the vocal tract; formants are divided by it."""
    formant_offsets: tuple[float, float, float, float]
    """Factors of the four formants, beside the tract's."""
    bandwidth: float
    """Factor of the formants' widths."""
    breath_db: float
    """Of the breath over the tone."""
    syllables_per_second: float


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """What one recording makes of a voice."""

    pitch_shift: float
    """Semitones."""
    tilt_shift_db: float
    """Louder speech falls less over an octave."""
    tract_factor: float
    """Lips and larynx move a little."""
    tempo_factor: float


def voice_of(build: float, traits: Mapping[str, float]) -> Voice:
    """The voice of some traits; ``build`` goes with a deep pitch and a long tract."""
    t = traits
    return Voice(
        pitch_hz=math.exp(around(t["pitch"], math.log(152) - 0.26 * build, 0.14)),
        range_semitones=between(t["liveliness"], 1.0, 3.5),
        jitter=math.exp(between(t["jitter"], math.log(0.003), math.log(0.02))),
        tilt_db=around(t["tilt"], 6.5, 1.6),
        tract=around(t["tract"], 1.0 + 0.06 * build, 0.045),
        formant_offsets=(
            around(t["formant_1"], 1.0, 0.06),
            around(t["formant_2"], 1.0, 0.06),
            around(t["formant_3"], 1.0, 0.06),
            around(t["formant_4"], 1.0, 0.06),
        ),
        bandwidth=between(t["bandwidth"], 0.8, 1.6),
        breath_db=between(t["breath"], -34, -14),
        syllables_per_second=between(t["tempo"], 3.2, 5.6),
    )


def draw_delivery(rng: np.random.Generator) -> Delivery:
    """What chance makes of a voice for one recording."""
    return Delivery(
        pitch_shift=float(rng.normal(0, 1.2)),
        tilt_shift_db=float(rng.normal(0, 1.0)),
        tract_factor=float(rng.normal(1, 0.012)),
        tempo_factor=float(rng.uniform(0.8, 1.25)),
    )
