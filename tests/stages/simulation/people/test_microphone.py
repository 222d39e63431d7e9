import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avkd.stages.simulation.people.microphone import record_voice
from avkd.stages.simulation.sounds import gliding_tone, level_db
from avkd.stages.simulation.soundtrack import MixPlan, active_slice

RATE = 8_000
VOICE = gliding_tone(np.full(3 * RATE, 200.0), [1.0, 0.5], RATE)


@settings(max_examples=15, deadline=None)
@given(
    snr=st.floats(0, 30),
    start=st.floats(0, 1.5),
    length=st.floats(0.6, 1.5),
    seed=st.integers(0, 99),
)
def test_voice_and_noise_have_the_planned_levels_and_times(
    snr: float, start: float, length: float, seed: int
) -> None:
    plan = MixPlan(
        sample_rate=RATE,
        active_seconds=(start, start + length),
        signal_to_noise_db=snr,
        offscreen_db=0.0,
    )
    track = record_voice(np.random.default_rng(seed), VOICE, plan)
    active = active_slice(plan)
    assert level_db(track.thing[active]) - level_db(track.noise) == pytest.approx(snr, abs=0.01)
    assert not track.thing[: active.start].any()
    assert not track.thing[active.stop :].any()
    assert not track.offscreen.any()


def test_rooms_colour_a_voice_and_leave_it_the_same_voice() -> None:
    plan = MixPlan(sample_rate=RATE, active_seconds=(0, 3), signal_to_noise_db=30, offscreen_db=0)
    first, second = (record_voice(np.random.default_rng(seed), VOICE, plan) for seed in (1, 2))
    assert (first.thing != second.thing).any()
    assert np.corrcoef(first.thing, VOICE)[0, 1] > 0.8
