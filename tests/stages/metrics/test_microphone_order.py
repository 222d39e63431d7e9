import numpy as np
import numpy.typing as npt
import pytest

from avkd.stages.metrics.microphone_order import (
    LEAST_FRAMES,
    LEAST_LIKENESS,
    OrderAgreement,
    compare_orders,
    measure_arrival,
)

RATE, SPEED_OF_SOUND, PIECE = 16_000, 343.0, 4_096
Array = npt.NDArray[np.float64]
Sound = npt.NDArray[np.int16]

ANGLES = 2 * np.pi * np.arange(8) / 8
RING = 0.2 * np.stack([np.sin(ANGLES), np.cos(ANGLES), np.zeros(8)], axis=1)
LINE = np.array([[place, 0.0, 0.0] for place in (0.0, 0.05, 0.15, 0.4, 0.45)])
BALL = 0.2 * np.random.default_rng(5).normal(size=(7, 3))


def delays_of(places: Array, direction: Array) -> Array:
    """Of a plane wave from a direction, of mean zero over the channels."""
    delays = -places @ direction / SPEED_OF_SOUND
    return np.asarray(delays - delays.mean())


def wave(source: Array, delays: Array, rate: int) -> Array:
    """A source at every channel, delayed by parts of a sample."""
    hertz = np.fft.rfftfreq(len(source), 1 / rate)
    turned = np.fft.rfft(source) * np.exp(-2j * np.pi * hertz * delays[:, None])
    return np.asarray(np.fft.irfft(turned, len(source)))


def directions(generator: np.random.Generator, number: int) -> Array:
    found = generator.normal(size=(number, 3))
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True))


def record(places: Array, seed: int, from_: Array | None = None, rate: int = RATE) -> Sound:
    """Pieces of noise, each from a direction of its own, and the microphones' own noise."""
    generator = np.random.default_rng(seed)
    from_ = directions(generator, 9) if from_ is None else from_
    pieces = [
        wave(2_000 * generator.normal(size=PIECE), delays_of(places, each), rate) for each in from_
    ]
    sound = np.concatenate(pieces, axis=1)
    return np.asarray(sound + 300 * generator.normal(size=sound.shape)).astype(np.int16)


def exchange(sound: Sound, *channels: int) -> Sound:
    """Each channel takes the place of the next of these."""
    changed = sound.copy()
    changed[list(channels)] = sound[list(channels[1:] + channels[:1])]
    return changed


def compare(*sounds: Sound) -> OrderAgreement:
    return compare_orders([measure_arrival(sound, RATE).delays for sound in sounds])


@pytest.fixture(scope="module")
def ring() -> list[Sound]:
    return [record(RING, seed) for seed in range(8)]


def swap_order(one: int, other: int, number: int = 8) -> tuple[tuple[int, ...]]:
    order = list(range(number))
    order[one], order[other] = other, one
    return (tuple(order),)


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_the_delays_of_a_plane_wave_are_the_places_along_it(rate: int) -> None:
    (direction,) = directions(np.random.default_rng(1), 1)
    found = measure_arrival(record(RING, 0, np.tile(direction, (9, 1)), rate), rate)
    assert len(found.delays) >= 5
    assert found.delays.sum(axis=1) == pytest.approx(0, abs=1e-9)
    assert np.median(found.delays, axis=0) == pytest.approx(delays_of(RING, direction), abs=3e-6)
    assert found.likeness.min() > 0.6


@pytest.mark.parametrize("places", [RING, LINE, BALL], ids=["ring", "line", "ball"])
def test_recordings_of_one_array_agree_whatever_they_hear(places: Array) -> None:
    found = compare(*(record(places, seed) for seed in range(6)))
    assert found == OrderAgreement(num_judged=6, odd={})


def test_any_order_is_right_that_all_have(ring: list[Sound]) -> None:
    order = np.random.default_rng(2).permutation(8)
    assert compare(*(sound[order] for sound in ring)).odd == {}


@pytest.mark.parametrize("channels", [(2, 3), (7, 0), (1, 3), (2, 6)])
def test_two_exchanged_channels_of_one_recording_are_named(
    ring: list[Sound], channels: tuple[int, int]
) -> None:
    found = compare(*ring[:5], exchange(ring[5], *channels))
    assert found == OrderAgreement(num_judged=6, odd={swap_order(*channels): (5,)})
    assert not found.is_split(swap_order(*channels))


def test_exchanged_channels_of_a_ball_and_of_an_uneven_line_are_named() -> None:
    ball = [record(BALL, seed) for seed in range(6)]
    assert compare(*ball[:5], exchange(ball[5], 0, 4)).odd == {swap_order(0, 4, 7): (5,)}
    line = [record(LINE, seed) for seed in range(6)]
    assert compare(exchange(line[0], 1, 2), *line[1:]).odd == {swap_order(1, 2, 5): (0,)}
    assert compare(line[0][::-1], *line[1:]).odd == {((4, 3, 2, 1, 0),): (0,)}


def test_where_two_exchanges_do_the_same_both_are_named() -> None:
    even = 0.1 * np.arange(4)[:, None] * np.array([1.0, 0.0, 0.0])
    line = [record(even, seed) for seed in range(6)]
    found = compare(exchange(line[0], 1, 2), *line[1:])
    assert found.odd == {swap_order(0, 3, 4) + swap_order(1, 2, 4): (0,)}


def test_recordings_may_have_other_channels_exchanged(ring: list[Sound]) -> None:
    found = compare(exchange(ring[0], 0, 4), exchange(ring[1], 1, 2), *ring[2:])
    assert found.odd == {swap_order(0, 4): (0,), swap_order(1, 2): (1,)}


def test_of_two_halves_none_is_called_right(ring: list[Sound]) -> None:
    found = compare(*ring[:4], *(exchange(sound, 3, 7) for sound in ring[4:]))
    ((order, places),) = found.odd.items()
    assert order == swap_order(3, 7)
    assert places in ((0, 1, 2, 3), (4, 5, 6, 7))
    assert found.is_split(order)


def test_several_swapped_channels_fit_in_no_order(ring: list[Sound]) -> None:
    found = compare(*ring[:7], ring[7][[3, 0, 6, 1, 7, 2, 5, 4]])
    assert found == OrderAgreement(num_judged=8, odd={}, unlike=(7,))


def test_turns_and_mirror_images_of_a_ring_cannot_be_told(ring: list[Sound]) -> None:
    assert compare(np.roll(ring[0], 1, axis=0), ring[1][::-1], *ring[2:]).odd == {}


def test_a_recording_of_one_direction_is_not_odd(ring: list[Sound]) -> None:
    still = record(RING, 9, np.tile([[1.0, 0.0, 0.0]], (9, 1)))
    assert compare(still, *ring[:6]) == OrderAgreement(num_judged=7, odd={})


def test_sound_that_reaches_all_at_once_tells_no_order() -> None:
    ahead = np.tile([[0.0, 0.0, 1.0]], (9, 1))
    assert compare(*(record(RING, seed, ahead) for seed in range(6))).odd == {}
    assert compare(*(record(RING, seed, ahead) for seed in range(6))).unlike == ()


def test_silence_and_each_microphones_own_noise_are_not_judged(ring: list[Sound]) -> None:
    silent = measure_arrival(np.zeros_like(ring[0]), RATE)
    assert (silent.delays.shape, silent.likeness.max(), silent.deaf) == ((0, 8), 0, ())
    noise = (900 * np.random.default_rng(0).normal(size=ring[0].shape)).astype(np.int16)
    own = measure_arrival(noise, RATE)
    assert len(own.delays) < LEAST_FRAMES
    assert own.likeness.max() < LEAST_LIKENESS
    assert own.deaf == ()
    assert compare(np.zeros_like(noise), noise, *ring[:5]).num_judged == 5


def test_a_channel_with_noise_of_its_own_is_deaf(ring: list[Sound]) -> None:
    assert measure_arrival(ring[0], RATE).deaf == ()
    changed = ring[0].copy()
    changed[5] = 2_000 * np.random.default_rng(99).normal(size=changed.shape[1])
    assert measure_arrival(changed, RATE).deaf == (5,)


def test_too_few_recordings_frames_and_channels_tell_nothing(ring: list[Sound]) -> None:
    none = OrderAgreement(num_judged=0, odd={})
    assert compare(exchange(ring[0], 0, 1), *ring[1:4]) == none
    assert compare(*(sound[:, : 2 * PIECE] for sound in ring)) == none
    assert measure_arrival(ring[0][:, :100], RATE).delays.shape == (0, 8)
    assert compare(*(sound[:3] for sound in ring)) == none
    assert compare_orders([]) == none
