import numpy as np
import numpy.typing as npt
import pytest

from avkd.stages.metrics.microphones import (
    SPREADS_SECONDS,
    ChannelStatistics,
    compare_sides,
    measure_channels,
    weigh_sides,
)

RATE = 16_000


def noise(seed: int, num_channels: int = 2, level: float = 2_000.0) -> npt.NDArray[np.int16]:
    generator = np.random.default_rng(seed)
    return (level * generator.normal(size=(num_channels, 8_000))).astype(np.int16)


def measure(*waveforms: npt.NDArray[np.int16]) -> ChannelStatistics:
    found = measure_channels(waveforms)
    assert found is not None
    return found


def passing(
    place: float, seed: int, *, spread_seconds: float = 0.0016, louder: float = 0.0
) -> npt.NDArray[np.int16]:
    """A source at a place of the picture, beside another so much louder out of the picture."""
    generator = np.random.default_rng(seed)
    sound = 200 * generator.normal(size=(2, 4_000))
    for where, level in ((place, 1_000.0), (generator.choice([-0.4, 1.4]), 1_000.0 * louder)):
        lag = round((where - 0.5) * spread_seconds * RATE)
        source = level * generator.normal(size=4_000)
        # From the right the second microphone hears it first.
        sound += np.stack([np.roll(source, max(lag, 0)), np.roll(source, max(-lag, 0))])
    return sound.astype(np.int16)


def weigh(louder: float, *, is_swapped: bool = False, **options: float) -> npt.NDArray[np.float64]:
    generator = np.random.default_rng(7)
    weights = []
    for seed in range(60):
        place = generator.random()
        pair = passing(place, seed, louder=louder, **options)
        weights.append(weigh_sides(pair[::-1] if is_swapped else pair, np.array([place]), RATE))
    return np.concatenate(weights)


def test_levels_are_those_of_full_scale() -> None:
    tone = 32_767 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
    found = measure(np.stack([tone, tone / 10]).astype(np.int16))
    assert found.levels_decibels == pytest.approx((-3.01, -23.01), abs=0.01)
    assert found.num_samples == RATE


def test_microphones_that_hear_are_neither_dead_nor_the_same() -> None:
    found = measure(noise(0), noise(1))
    assert (found.dead, found.same) == ((), ())
    assert abs(found.correlations[0][1]) < 0.05


@pytest.mark.parametrize("left_over", [0.0, 0.0004, 0.02])
def test_a_microphone_that_hears_nothing_is_dead(left_over: float) -> None:
    waveform = noise(0, 3)
    waveform[1] = (waveform[1] * left_over).astype(np.int16) + 300
    found = measure(waveform)
    assert found.dead == (1,)
    assert found.same == ()


def test_where_nobody_hears_all_are_dead() -> None:
    assert measure(np.zeros((2, 100), np.int16)).dead == (0, 1)
    assert measure_channels([]) is None


def test_a_quieter_microphone_is_not_dead() -> None:
    waveform = noise(0)
    waveform[1] = waveform[1] // 8
    assert measure(waveform).dead == ()


def test_of_several_a_single_loud_one_makes_no_other_dead() -> None:
    waveform = np.concatenate([noise(0, 4, 30.0), noise(1, 1, 3_000.0)])
    found = measure(waveform)
    assert (found.dead, found.uneven) == ((), (4,))


def test_of_several_a_much_quieter_one_is_uneven_and_a_dead_one_is_only_dead() -> None:
    waveform = noise(0, 8)
    waveform[2] //= 8
    waveform[6] = 0
    found = measure(waveform)
    assert (found.dead, found.uneven) == ((6,), (2,))
    assert measure(np.stack([waveform[0], waveform[2]])).uneven == ()


def test_one_sound_on_several_channels_is_one_group() -> None:
    waveform = noise(0, 8)
    waveform[[1, 4]] = waveform[7]
    waveform[3] = waveform[2]
    assert measure(waveform).same == ((1, 4, 7), (2, 3))


def test_one_sound_twice_is_found() -> None:
    waveform = noise(0, 4)
    waveform[3] = waveform[1]
    assert measure(waveform).same == ((1, 3),)
    louder = noise(0)
    louder[1] = louder[0] * 2
    assert measure(louder).same == ((0, 1),)


def test_what_is_heard_where_it_is_seen_agrees() -> None:
    found = compare_sides(weigh(louder=0.0))
    assert found.is_known
    assert not found.is_swapped
    assert found.spread_seconds == pytest.approx(0.0016, abs=0.0002)


def test_swapped_microphones_are_found_behind_louder_vehicles_out_of_the_picture() -> None:
    found = compare_sides(weigh(louder=2.0, is_swapped=True))
    assert found.is_swapped
    assert compare_sides(weigh(louder=2.0)).significance == pytest.approx(-found.significance)


def test_nothing_is_said_of_sound_without_a_side() -> None:
    generator = np.random.default_rng(3)
    weights = [weigh_sides(noise(seed), generator.random(2), RATE) for seed in range(60)]
    found = compare_sides(np.concatenate(weights))
    assert not found.is_known
    assert not found.is_swapped
    assert not compare_sides(weigh(louder=0.0, is_swapped=True)[:10]).is_swapped
    assert compare_sides(np.empty((0, len(SPREADS_SECONDS)))).significance == 0.0


def test_boxes_in_the_middle_and_silence_weigh_nothing() -> None:
    assert weigh_sides(noise(0), np.array([0.5, 0.45]), RATE).shape == (0, len(SPREADS_SECONDS))
    silent = weigh_sides(np.zeros((2, 400), np.int16), np.array([0.9]), RATE)
    assert not silent.any()
