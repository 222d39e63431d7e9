"""The sounds that things are made of, and how they mix.

Conventions: a waveform is float64 of (num_samples,), frequencies are hertz, times are seconds,
levels are decibels of mean power; a grain is a short waveform that starts with an event.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

ROOM_COLOUR_DB = 6.0

Waveform = npt.NDArray[np.float64]


def seconds_of(num_samples: int, sample_rate: int) -> Waveform:
    """Time of each sample."""
    return np.arange(num_samples) / sample_rate


def event_times(
    rng: np.random.Generator, duration: float, interval: float, *, jitter: float = 0.0
) -> Waveform:
    """Times of events at an interval from a random phase, each moved by up to a share of it."""
    grid = np.arange(rng.uniform(0, interval), duration, interval)
    moved = grid + interval * rng.uniform(-jitter, jitter, len(grid))
    return np.asarray(np.clip(moved, 0, None))


def place(
    num_samples: int, sample_rate: int, events: Sequence[tuple[float, float, Waveform]]
) -> Waveform:
    """Add up events of (time, gain, grain); what lies after the end is cut off."""
    waveform = np.zeros(num_samples)
    for time, gain, grain in events:
        start = round(time * sample_rate)
        part = grain[: max(0, num_samples - start)]
        waveform[start : start + len(part)] += gain * part
    return waveform


def damped_tones(
    frequencies: Sequence[float],
    gains: Sequence[float],
    decays: Sequence[float],
    sample_rate: int,
    *,
    attack: float = 0.0005,
) -> Waveform:
    """Make a grain of sines that each fall by 60 dB in their decay, as long as the slowest one."""
    time = seconds_of(int(max(decays) * sample_rate), sample_rate)
    grain = np.zeros(len(time))
    for frequency, gain, decay in zip(frequencies, gains, decays, strict=True):
        if frequency < sample_rate / 2:
            reach = int(decay * sample_rate)
            short = time[:reach]
            fading = np.exp(-6.9 * short / decay)
            grain[:reach] += gain * np.sin(2 * np.pi * frequency * short) * fading
    return np.asarray(grain * np.minimum(1, time / attack))


def pluck(rng: np.random.Generator, frequency: float, decay: float, sample_rate: int) -> Waveform:
    """Make a grain of a plucked string: a burst that circles through a two-point mean.

    The string model of Karplus and Strong (1983), one period at a time; 60 dB of loop loss in
    ``decay`` beside what the mean takes from the upper harmonics.
    """
    period = max(2, round(sample_rate / frequency - 0.5))
    num_periods = max(1, int(decay * sample_rate / period))
    string = np.empty((num_periods + 1, period))
    string[0] = rng.uniform(-1, 1, period)
    string[0] -= string[0].mean()
    keep = 10 ** (-3 * period / (decay * sample_rate)) / 2
    last = 0.0
    for index in range(num_periods):
        now, following = string[index], string[index + 1]
        following[1:] = keep * (now[1:] + now[:-1])
        following[0] = keep * (now[0] + last)
        last = now[-1]
    return string.reshape(-1)


def gliding_tone(frequencies: Waveform, harmonics: Sequence[float], sample_rate: int) -> Waveform:
    """A tone whose frequency is given at each sample, with the gain of each harmonic."""
    phase = 2 * np.pi * np.cumsum(frequencies) / sample_rate
    top = float(frequencies.max())
    # sin((k + 1) p) = 2 cos(p) sin(k p) - sin((k - 1) p): one sine and one cosine for them all.
    before, here, twice_cosine = np.zeros(len(phase)), np.sin(phase), 2 * np.cos(phase)
    tone = np.zeros(len(phase))
    for order, gain in enumerate(harmonics, start=1):
        if order * top >= sample_rate / 2:
            break
        tone += gain * here
        before, here = here, twice_cosine * here - before
    return tone


def slow_curve(rng: np.random.Generator, num_samples: int, num_knots: int) -> Waveform:
    """A smooth random curve of about unit spread through evenly spaced knots."""
    knots = rng.normal(0, 1, num_knots)
    place_in_knots = np.linspace(0, num_knots - 1, num_samples)
    lower = np.minimum(place_in_knots.astype(int), num_knots - 2)
    part = place_in_knots - lower
    ease = part * part * (3 - 2 * part)
    return np.asarray(knots[lower] * (1 - ease) + knots[lower + 1] * ease)


def coloured_noise(
    rng: np.random.Generator,
    num_samples: int,
    sample_rate: int,
    *,
    slope: float = 0.0,
    low: float = 20.0,
    high: float = 11_000.0,
) -> Waveform:
    """Noise of unit power; its spectrum falls by ``slope`` powers of frequency between edges."""
    frequencies = np.fft.rfftfreq(num_samples, 1 / sample_rate)
    shape = np.maximum(frequencies, 20.0) ** (-slope / 2)
    # First-order skirts: real rooms have no brick walls.
    shape *= 1 / np.sqrt(1 + (low / np.maximum(frequencies, 1.0)) ** 4)
    shape *= 1 / np.sqrt(1 + (frequencies / high) ** 4)
    # Single precision: twice as fast, and far below what AAC keeps.
    parts = rng.standard_normal((len(frequencies), 2), dtype=np.float32)
    spectrum = parts.view(np.complex64)[:, 0] * shape.astype(np.float32)
    noise = np.fft.irfft(spectrum, num_samples)
    return np.asarray(noise / noise.std(), dtype=np.float64)


def convolve(waveform: Waveform, response: Waveform) -> Waveform:
    """Filter by an impulse response, cut to the waveform's length."""
    size = 1 << (len(waveform) + len(response) - 1).bit_length()
    spectrum = np.fft.rfft(waveform.astype(np.float32), size)
    spectrum *= np.fft.rfft(response.astype(np.float32), size)
    return np.asarray(np.fft.irfft(spectrum, size)[: len(waveform)], dtype=np.float64)


def room_response(rng: np.random.Generator, sample_rate: int) -> Waveform:
    """Make the impulse response of a room and its microphone.

    The direct sound, then noise that falls by 60 dB, and over both a smooth random colour.
    """
    decay = rng.uniform(0.1, 0.8)
    time = seconds_of(max(2, int(decay * sample_rate)), sample_rate)
    tail = rng.normal(size=len(time)) * np.exp(-6.9 * time / decay)
    response = rng.uniform(0.1, 0.9) * tail / np.sqrt(np.sum(tail**2))
    response[0] = 1.0
    spectrum = np.fft.rfft(response)
    octaves = np.log2(1 + np.arange(len(spectrum)) * sample_rate / len(response) / 100)
    knots = rng.normal(0, ROOM_COLOUR_DB, 8)
    colour = 10 ** (np.interp(octaves, np.arange(8), knots) / 20)
    return np.asarray(np.fft.irfft(spectrum * colour, len(response)))


def level_db(waveform: Waveform) -> float:
    """Mean power in decibels; a silent waveform counts as -120."""
    return float(10 * np.log10(np.mean(waveform**2) + 1e-12))


def at_level(waveform: Waveform, target_db: float) -> Waveform:
    """Scale to a mean power."""
    return np.asarray(waveform * 10 ** ((target_db - level_db(waveform)) / 20))
