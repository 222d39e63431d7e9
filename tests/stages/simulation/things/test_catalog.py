import numpy as np
import pytest

from avkd.stages.simulation.sounds import Waveform
from avkd.stages.simulation.things.catalog import KINDS

RATE = 22_050
NUM_SAMPLES = 5 * RATE


def centroids(kind: str) -> Waveform:
    found = []
    for seed in range(12):
        waveform = KINDS[kind].sound(np.random.default_rng(seed), NUM_SAMPLES, RATE)
        power = np.abs(np.fft.rfft(waveform)) ** 2
        frequencies = np.fft.rfftfreq(NUM_SAMPLES, 1 / RATE)
        found.append(float((power * frequencies).sum() / power.sum()))
    return np.asarray(found)


def test_there_are_twelve_kinds_in_the_order_of_their_names() -> None:
    assert len(KINDS) == 12
    assert list(KINDS) == sorted(KINDS)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_picture_is_a_cut_out_that_varies(kind: str) -> None:
    pictures = [np.asarray(KINDS[kind].draw(np.random.default_rng(seed))) for seed in (0, 0, 1)]
    assert pictures[0].shape == (256, 256, 4)
    alpha = pictures[0][..., 3]
    assert 0.1 < (alpha > 128).mean() < 0.85
    assert alpha[0, 0] == 0
    np.testing.assert_array_equal(pictures[0], pictures[1])
    assert (pictures[0] != pictures[2]).any()


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_sound_is_audible_finite_and_varies(kind: str) -> None:
    for seed in range(8):
        rng = np.random.default_rng(seed)
        waveform = KINDS[kind].sound(rng, NUM_SAMPLES, RATE)
        assert waveform.shape == (NUM_SAMPLES,)
        assert np.isfinite(waveform).all()
        assert waveform.std() > 1e-4
    again = KINDS[kind].sound(np.random.default_rng(7), NUM_SAMPLES, RATE)
    np.testing.assert_array_equal(waveform, again)
    other = KINDS[kind].sound(np.random.default_rng(8), NUM_SAMPLES, RATE)
    assert np.corrcoef(waveform, other)[0, 1] < 0.9


def test_birds_sing_higher_than_drums_thump_and_engines_hum() -> None:
    bird, drum, bus = (float(np.median(centroids(kind))) for kind in ("bird", "drum", "bus"))
    assert bird > 2 * drum
    assert bird > 3 * bus


def test_organs_and_bells_have_lines_where_rain_and_clocks_have_none() -> None:
    def share_of_lines(kind: str) -> float:
        shares = []
        for seed in range(8):
            waveform = KINDS[kind].sound(np.random.default_rng(seed), NUM_SAMPLES, RATE)
            power = np.sort(np.abs(np.fft.rfft(waveform)) ** 2)
            shares.append(float(power[-len(power) // 200 :].sum() / power.sum()))
        return float(np.median(shares))

    toned = min(share_of_lines(kind) for kind in ("bell", "organ"))
    assert toned > 1.5 * max(share_of_lines(kind) for kind in ("umbrella", "clock"))
