import numpy as np
import pytest

from avkd.stages.simulation.people.voice import VOICE_TRAITS, draw_delivery, voice_of

PLAIN = dict.fromkeys(VOICE_TRAITS, 0.0)


def test_a_strong_build_has_a_deep_voice_and_a_long_tract() -> None:
    deep, high = voice_of(1, PLAIN), voice_of(-1, PLAIN)
    assert deep.pitch_hz == pytest.approx(117, abs=3)
    assert high.pitch_hz == pytest.approx(197, abs=5)
    assert deep.tract > 1 > high.tract


def test_every_trait_is_in_the_voice() -> None:
    for name in VOICE_TRAITS:
        assert voice_of(1, {**PLAIN, name: 1.0}) != voice_of(1, PLAIN), name


def test_deliveries_differ_around_the_voice_itself() -> None:
    deliveries = [draw_delivery(np.random.default_rng(seed)) for seed in range(300)]
    assert draw_delivery(np.random.default_rng(0)) == deliveries[0]
    assert np.mean([d.pitch_shift for d in deliveries]) == pytest.approx(0, abs=0.25)
    assert np.mean([d.tract_factor for d in deliveries]) == pytest.approx(1, abs=0.003)
