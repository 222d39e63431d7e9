"""The soundtrack of a recording: the thing, what is heard from elsewhere, and noise.

Conventions: waveforms are float64 of (num_samples,); every part is given apart, at its level in
the mix, so that what was planned can be measured.
"""

from dataclasses import dataclass

import numpy as np

from avkd.stages.simulation.sounds import (
    Waveform,
    at_level,
    coloured_noise,
    convolve,
    level_db,
    room_response,
)

FADE_SECONDS = 0.03


@dataclass(frozen=True, kw_only=True)
class Soundtrack:
    """The parts of a mix, each (num_samples,), and their sum's peak."""

    thing: Waveform
    offscreen: Waveform
    noise: Waveform

    def mix(self, peak: float) -> Waveform:
        """Add the parts up and scale to a peak."""
        mixed = self.thing + self.offscreen + self.noise
        return np.asarray(mixed * (peak / np.abs(mixed).max()))


@dataclass(frozen=True, kw_only=True)
class MixPlan:
    """Levels and times of a mix."""

    sample_rate: int
    active_seconds: tuple[float, float]
    """From when to when the thing may be heard."""
    signal_to_noise_db: float
    """Of the thing's mean power while it may be heard, over that of the noise."""
    offscreen_db: float
    """Level of the sound from elsewhere, over the thing's."""


def active_slice(plan: MixPlan) -> slice:
    """The samples in which the thing may be heard."""
    start, stop = plan.active_seconds
    return slice(round(start * plan.sample_rate), round(stop * plan.sample_rate))


def build_soundtrack(
    rng: np.random.Generator, thing: Waveform, offscreen: Waveform | None, plan: MixPlan
) -> Soundtrack:
    """Put the thing in a room, silence it outside its time, and lay the others under it."""
    heard = convolve(thing, room_response(rng, plan.sample_rate)) * _gate(len(thing), plan)
    active = active_slice(plan)
    heard *= 10 ** ((-20 - level_db(heard[active])) / 20)
    other = np.zeros(len(thing))
    if offscreen is not None:
        other = at_level(
            convolve(offscreen, room_response(rng, plan.sample_rate)), -20 + plan.offscreen_db
        )
    noise = coloured_noise(
        rng,
        len(thing),
        plan.sample_rate,
        slope=rng.uniform(-0.2, 2.0),
        low=float(rng.choice((20.0, 150.0, 500.0))),
        high=float(np.exp(rng.uniform(np.log(1_500), np.log(11_000)))),
    )
    return Soundtrack(
        thing=heard, offscreen=other, noise=at_level(noise, -20 - plan.signal_to_noise_db)
    )


def _gate(num_samples: int, plan: MixPlan) -> Waveform:
    gate = np.zeros(num_samples)
    active = active_slice(plan)
    gate[active] = 1.0
    fade = round(FADE_SECONDS * plan.sample_rate)
    ramp = np.linspace(0, 1, fade)
    if active.start > 0:
        gate[active.start : active.start + fade] *= ramp
    if active.stop < num_samples:
        gate[active.stop - fade : active.stop] *= ramp[::-1]
    return gate
