import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avkd.stages.simulation.sounds import gliding_tone, level_db
from avkd.stages.simulation.soundtrack import MixPlan, active_slice, build_soundtrack

RATE = 8_000
TONE = gliding_tone(np.full(4 * RATE, 440.0), [1.0], RATE)


@settings(max_examples=15, deadline=None)
@given(
    snr=st.floats(-4, 20),
    offscreen_db=st.floats(-16, -3),
    start=st.floats(0, 1.5),
    length=st.floats(1, 2.5),
    seed=st.integers(0, 1_000),
)
def test_parts_have_the_planned_levels_and_times(
    snr: float, offscreen_db: float, start: float, length: float, seed: int
) -> None:
    plan = MixPlan(
        sample_rate=RATE,
        active_seconds=(start, start + length),
        signal_to_noise_db=snr,
        offscreen_db=offscreen_db,
    )
    track = build_soundtrack(np.random.default_rng(seed), TONE, TONE[::-1], plan)
    active = active_slice(plan)
    thing_db = level_db(track.thing[active])
    assert thing_db - level_db(track.noise) == pytest.approx(snr, abs=0.01)
    assert level_db(track.offscreen) - thing_db == pytest.approx(offscreen_db, abs=0.01)
    assert not track.thing[: active.start].any()
    assert not track.thing[active.stop :].any()


def test_without_a_sound_from_elsewhere_there_is_none() -> None:
    plan = MixPlan(sample_rate=RATE, active_seconds=(0, 4), signal_to_noise_db=10, offscreen_db=-6)
    track = build_soundtrack(np.random.default_rng(0), TONE, None, plan)
    assert not track.offscreen.any()
    assert track.thing[-1] != 0


def test_the_mix_has_the_asked_peak() -> None:
    plan = MixPlan(sample_rate=RATE, active_seconds=(1, 3), signal_to_noise_db=0, offscreen_db=-6)
    track = build_soundtrack(np.random.default_rng(0), TONE, None, plan)
    assert np.abs(track.mix(0.7)).max() == pytest.approx(0.7)
