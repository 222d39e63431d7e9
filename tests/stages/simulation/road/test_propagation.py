import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avkd.stages.simulation.road.microphones import ring_of_eight, stereo_pair
from avkd.stages.simulation.road.motion import Array
from avkd.stages.simulation.road.propagation import Source, hear
from avkd.stages.simulation.road.settings import Camera, Microphones, Point
from avkd.stages.simulation.road.timeline import build_timeline

RATE = 16_000
C = 343.0
CAMERA = Camera(view="test", height_m=3.0, pitch_degrees=10.0, distance_m=8.0)
ONE = Microphones(array="one", positions_m=((0.0, 3.0, 0.0),), facing=((0.0, 0.0, 1.0),))
SECONDS = np.arange(2 * RATE) / RATE


def tone_source(
    frequency: float, start_m: Point, speed_mps: float, reach_seconds: float = 1.0
) -> Source:
    times = -reach_seconds + np.arange(round((2.2 + reach_seconds) * RATE)) / RATE
    waveform = np.sin(2 * np.pi * frequency * times)
    timeline = build_timeline(waveform, RATE, -reach_seconds)
    return Source(start_m=start_m, speed_mps=speed_mps, timeline=timeline)


def noise_source(start_m: Point, speed_mps: float = 0.0) -> Source:
    rng = np.random.default_rng(5)
    spectrum = np.fft.rfft(rng.normal(size=4 * RATE))
    spectrum[round(0.4 * len(spectrum) * 2) :] = 0
    timeline = build_timeline(np.fft.irfft(spectrum), RATE, -1.5)
    return Source(start_m=start_m, speed_mps=speed_mps, timeline=timeline)


def heard(source: Source, microphones: Microphones = ONE, ground: float = 0.0) -> Array:
    return hear(source, microphones, SECONDS, speed_of_sound_mps=C, ground_reflection=ground)


def exact_delay(source: Source, microphone: Point, seconds: Array) -> Array:
    """The condition of emission, solved by iteration instead of in closed form."""
    delay = np.zeros(len(seconds))
    for _ in range(60):
        along = source.start_m[0] + source.speed_mps * (seconds - delay) - microphone[0]
        up, away = source.start_m[1] - microphone[1], source.start_m[2] - microphone[2]
        delay = np.sqrt(along**2 + up**2 + away**2) / C
    return delay


def test_a_passing_tone_is_the_analytic_one() -> None:
    source = tone_source(2_000.0, (-25.0, 0.5, 8.0), 25.0)
    delay = exact_delay(source, ONE.positions_m[0], SECONDS)
    wanted = np.sin(2 * np.pi * 2_000.0 * (SECONDS - delay)) / (C * delay)
    error = heard(source)[0] - wanted
    assert 20 * np.log10(np.abs(error).max() / np.abs(wanted).max()) < -100


def instantaneous_hz(waveform: Array) -> Array:
    from scipy.signal import hilbert

    # The taper leaves the phase alone and spares it the jumps at both ends.
    phase = np.unwrap(np.angle(hilbert(waveform * np.hanning(len(waveform)))))
    return np.asarray(np.diff(phase) * RATE / (2 * np.pi))


@pytest.mark.parametrize("speed", [-30.0, -8.0, 15.0, 30.0])
def test_the_doppler_shift_is_that_of_the_closing_speed_at_emission(speed: float) -> None:
    source = tone_source(1_000.0, (-speed, 0.5, 8.0), speed)
    shifted = instantaneous_hz(heard(source)[0])
    middle = SECONDS[:-1] + 0.5 / RATE
    delay = exact_delay(source, ONE.positions_m[0], middle)
    x = source.start_m[0] + speed * (middle - delay)
    closing = -speed * x / (C * delay)
    wanted = 1_000.0 / (1 - closing / C)
    inside = slice(RATE // 10, -RATE // 10)
    assert np.abs(shifted - wanted)[inside].max() < 0.5
    assert wanted[inside].max() - wanted[inside].min() > 1.2 * 1_000 * abs(speed) / C


@pytest.mark.parametrize("distance", [2.0, 5.0, 20.0, 80.0])
def test_twice_the_distance_takes_six_decibels(distance: float) -> None:
    near, far = (
        heard(tone_source(500.0, (0.0, 3.0, z), 0.0))[0, RATE:] for z in (distance, 2 * distance)
    )
    assert 20 * np.log10(near.std() / far.std()) == pytest.approx(6.02, abs=0.01)


def test_nearer_than_a_metre_the_pressure_stays() -> None:
    near, nearer = (heard(tone_source(500.0, (0.0, 3.0, z), 0.0))[0, RATE:] for z in (1.0, 0.1))
    assert near.std() == pytest.approx(nearer.std(), rel=1e-6)


@settings(max_examples=10, deadline=None)
@given(angle=st.floats(-75, 75), spacing=st.sampled_from([0.2, 0.4, 0.6]))
def test_the_delay_between_two_microphones_tells_the_angle(angle: float, spacing: float) -> None:
    distance = 30.0
    x, z = distance * np.sin(np.radians(angle)), distance * np.cos(np.radians(angle))
    pair = stereo_pair(CAMERA, spacing)
    left, right = heard(noise_source((x, 3.0, z)), pair)
    lag = _lag_seconds(left, right)
    exact = (np.hypot(x + spacing / 2, z) - np.hypot(x - spacing / 2, z)) / C
    assert lag == pytest.approx(exact, abs=2e-6)
    assert lag == pytest.approx(spacing * np.sin(np.radians(angle)) / C, abs=2e-6)


def _lag_seconds(left: Array, right: Array) -> float:
    """How much later the left one hears it: the peak of the cross-correlation, finely sampled."""
    size, finer = 4_000, 64
    window = np.hanning(size)
    spectrum = np.fft.rfft(left[:size] * window) * np.conj(np.fft.rfft(right[:size] * window))
    wide = np.zeros(finer * size // 2 + 1, dtype=np.complex128)
    wide[: len(spectrum)] = spectrum
    correlation = np.fft.irfft(wide)
    lag = int(np.argmax(correlation))
    return (lag - len(correlation) * (lag > len(correlation) // 2)) / (finer * RATE)


def test_a_ring_hears_a_source_first_on_its_side() -> None:
    channels = heard(noise_source((20.0, 3.0, 0.0)), ring_of_eight(CAMERA))
    lags = [_lag_seconds(channel, channels[2]) for channel in channels]
    places = np.asarray(ring_of_eight(CAMERA).positions_m)
    exact = np.linalg.norm(places - [20.0, 3.0, 0.0], axis=1) / C
    assert lags == pytest.approx(exact - exact[2], abs=2e-6)
    assert np.argmin(lags) == 2


@pytest.mark.parametrize(("height", "depth"), [(0.5, 8.0), (0.9, 12.0)])
def test_the_ground_carves_notches_where_paths_differ_by_half_a_wave(
    height: float, depth: float
) -> None:
    noise = noise_source((0.0, height, depth))
    ratio = np.abs(np.fft.rfft(heard(noise, ground=0.9)[0])) / np.abs(np.fft.rfft(heard(noise)[0]))
    frequencies = np.fft.rfftfreq(len(SECONDS), 1 / RATE)
    straight, image = np.hypot(depth, 3.0 - height), np.hypot(depth, 3.0 + height)
    share = 0.9 * straight / image
    wanted = np.abs(1 + share * np.exp(-2j * np.pi * frequencies * (image - straight) / C))
    inside = (frequencies > 50) & (frequencies < 0.35 * RATE)
    # The window cuts both sounds at slightly other moments: bins scatter around the comb.
    assert np.median(np.abs(ratio - wanted)[inside]) < 0.02
    notch = C / (2 * (image - straight))
    at_notch, at_peak = (
        np.median(ratio[np.abs(frequencies - centre) < 0.02 * notch])
        for centre in (notch, 2 * notch)
    )
    assert at_notch == pytest.approx(1 - share, abs=0.03)
    assert at_peak == pytest.approx(1 + share, abs=0.03)


def test_a_cardioid_pair_hears_a_side_louder() -> None:
    pair = stereo_pair(CAMERA, directivity=0.5)
    left, right = heard(tone_source(500.0, (20.0, 3.0, 20.0), 0.0), pair)[:, RATE:]
    # The source is 45 degrees to the right: straight ahead of one, square to the other.
    assert 20 * np.log10(right.std() / left.std()) == pytest.approx(6.02, abs=0.2)
