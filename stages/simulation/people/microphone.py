"""What a microphone near a speaking person hears: the voice, some of the room, and noise."""

import numpy as np

from avkd.stages.simulation.sounds import (
    Waveform,
    at_level,
    coloured_noise,
    convolve,
    level_db,
    room_response,
)
from avkd.stages.simulation.soundtrack import FADE_SECONDS, MixPlan, Soundtrack, active_slice

ROOM_SHARES = (0.05, 0.4)
"""Of the room's sound, over the voice that comes straight."""
SPEECH_DB = -20.0


def record_voice(rng: np.random.Generator, voice: Waveform, plan: MixPlan) -> Soundtrack:
    """Put a voice near a microphone, silence it outside its time, and lay noise under it.

    Levels are those of the voice while it speaks; nothing comes from elsewhere.
    """
    room = at_level(convolve(voice, room_response(rng, plan.sample_rate)), 0.0)
    heard = at_level(voice, 0.0) + rng.uniform(*ROOM_SHARES) * room
    active = active_slice(plan)
    heard *= _gate(len(voice), active, round(FADE_SECONDS * plan.sample_rate))
    heard *= 10 ** ((SPEECH_DB - level_db(heard[active])) / 20)
    noise = coloured_noise(
        rng,
        len(voice),
        plan.sample_rate,
        slope=rng.uniform(0.0, 2.0),
        low=float(rng.choice((20.0, 100.0, 300.0))),
        high=float(rng.uniform(3_000, 8_000)),
    )
    return Soundtrack(
        thing=heard,
        offscreen=np.zeros(len(voice)),
        noise=at_level(noise, SPEECH_DB - plan.signal_to_noise_db),
    )


def _gate(num_samples: int, active: slice, fade: int) -> Waveform:
    gate = np.zeros(num_samples)
    gate[active] = 1.0
    ramp = np.linspace(0, 1, fade)
    gate[active.start : active.start + fade] *= ramp
    gate[active.stop - fade : active.stop] *= ramp[::-1]
    return gate
