import numpy as np
import pytest

from avkd.stages.simulation.sounds import gliding_tone
from avkd.stages.simulation.things.ambulance import glide

RATE = 22_050


def test_a_wail_glides_between_its_limits_in_its_cycle() -> None:
    path = glide(4 * RATE, RATE, 500.0, 1_000.0, 2.0, 0.0, "wail")
    assert path[0] == pytest.approx(500)
    assert path[RATE] == pytest.approx(1_000)
    assert path[2 * RATE] == pytest.approx(500)
    assert np.abs(np.diff(path)).max() < 0.1


def test_two_notes_take_turns() -> None:
    path = glide(4 * RATE, RATE, 500.0, 800.0, 1.0, 0.0, "steps")
    assert set(np.round(path)) == {500.0, 800.0}


def test_the_siren_is_heard_where_the_glide_is() -> None:
    path = glide(2 * RATE, RATE, 500.0, 1_000.0, 2.0, 0.0, "wail")
    tone = gliding_tone(path, [1.0, 0.4], RATE)
    for centre in (RATE // 4, RATE // 2, RATE):
        part = tone[centre - 1_024 : centre + 1_024] * np.hanning(2_048)
        heard = np.abs(np.fft.rfft(part)).argmax() * RATE / 2_048
        assert heard == pytest.approx(path[centre], rel=0.04)
