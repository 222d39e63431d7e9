"""Speech-like sound of a voice: a train of glottal pulses and breath, through a vocal tract.

The source-filter model. Vowels have the mean formants of men of Peterson and Barney (1952), as
recalled; consonants are of four manners with made-up places. What is said is random: no words.

Conventions: a waveform is float64 of (num_samples,); a control is one value each 10 ms, (steps,).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from avkd.stages.simulation.people.voice import Delivery, Voice
from avkd.stages.simulation.sounds import Waveform, gliding_tone, slow_curve

CONTROL_SECONDS = 0.01
_FFT_CONTROLS = 4
_BANDWIDTHS = (70.0, 90.0, 130.0, 200.0, 250.0)
_FIFTH_FORMANT = 4_300.0

VOWELS: tuple[tuple[float, float, float, float], ...] = (
    (270, 2_290, 3_010, 3_500),
    (390, 1_990, 2_550, 3_450),
    (530, 1_840, 2_480, 3_450),
    (660, 1_720, 2_410, 3_400),
    (730, 1_090, 2_440, 3_350),
    (570, 840, 2_410, 3_300),
    (440, 1_020, 2_240, 3_300),
    (300, 870, 2_240, 3_300),
    (640, 1_190, 2_390, 3_350),
    (490, 1_350, 1_690, 3_300),
)


@dataclass(frozen=True, kw_only=True)
class Phone:
    """A piece of speech: how long, and what the mouth does."""

    seconds: float
    formants: tuple[float, float, float, float]
    voicing: float
    """Gain of the pulses, 0 to 1."""
    hiss: float = 0.0
    """Gain of noise made at the lips or teeth."""
    hiss_hz: float = 4_000.0
    """The middle of that noise."""


def speak(
    rng: np.random.Generator, voice: Voice, delivery: Delivery, num_samples: int, sample_rate: int
) -> Waveform:
    """Random syllables of a voice, at any level."""
    seconds = num_samples / sample_rate
    tempo = voice.syllables_per_second * delivery.tempo_factor
    phones = draw_phones(rng, seconds, tempo)
    num_controls = int(np.ceil(seconds / CONTROL_SECONDS)) + 1
    controls = _Controls.of(phones, num_controls)
    pitch = draw_pitch(rng, voice, delivery, num_samples)
    pulses = pulse_train(pitch, voice.tilt_db + delivery.tilt_shift_db, sample_rate)
    breath = rng.standard_normal(num_samples) * 10 ** (voice.breath_db / 20)
    voicing = _at_samples(controls.voicing, num_samples, sample_rate)
    hiss = _at_samples(controls.hiss, num_samples, sample_rate) * rng.standard_normal(num_samples)
    scale = np.asarray((*voice.formant_offsets, 1.0)) / (voice.tract * delivery.tract_factor)
    formants = controls.formants * scale
    widths = np.asarray(_BANDWIDTHS) * voice.bandwidth
    frequencies = _grid(sample_rate)
    spoken = filter_in_steps(
        voicing * (pulses + breath), vocal_tract(frequencies, formants, widths), sample_rate
    )
    places = controls.hiss_hz / voice.tract
    return spoken + 0.25 * filter_in_steps(hiss, _hiss_band(frequencies, places), sample_rate)


def draw_phones(rng: np.random.Generator, seconds: float, tempo: float) -> list[Phone]:
    """Syllables of an optional consonant and a vowel, some followed by a pause."""
    phones: list[Phone] = []
    while sum(phone.seconds for phone in phones) < seconds:
        length = float(rng.uniform(0.7, 1.4)) / tempo
        vowel = VOWELS[rng.integers(len(VOWELS))]
        if rng.random() < 0.85:
            phones += _draw_consonant(rng, vowel, 0.35 * length)
        phones.append(Phone(seconds=0.65 * length, formants=vowel, voicing=rng.uniform(0.6, 1.0)))
        if rng.random() < 0.1:
            phones.append(Phone(seconds=rng.uniform(0.1, 0.4), formants=vowel, voicing=0.0))
    return phones


def draw_pitch(
    rng: np.random.Generator, voice: Voice, delivery: Delivery, num_samples: int
) -> Waveform:
    """The pitch at each sample: it wanders, falls a little, and trembles by the voice's jitter."""
    wander = voice.range_semitones * slow_curve(rng, num_samples, 9)
    fall = np.linspace(1, -1, num_samples)
    num_periods = max(2, num_samples // 128)
    tremble = np.interp(
        np.linspace(0, num_periods - 1, num_samples),
        np.arange(num_periods),
        rng.normal(0, voice.jitter, num_periods),
    )
    semitones = delivery.pitch_shift + 0.6 * wander + fall
    pitch = voice.pitch_hz * 2 ** (semitones / 12) * (1 + tremble)
    return np.asarray(np.clip(pitch, 50, 500))


def pulse_train(pitch: Waveform, tilt_db: float, sample_rate: int) -> Waveform:
    """One pulse a period, of harmonics that fall by so many decibels over an octave."""
    orders = np.arange(1, int(sample_rate / 2 / pitch.min()) + 1)
    gains: Sequence[float] = (10 ** (-tilt_db * np.log2(orders) / 20)).tolist()
    return gliding_tone(pitch, gains, sample_rate)


def vocal_tract(frequencies: Waveform, formants: Waveform, widths: Waveform) -> Waveform:
    """The tract's gain, (steps, frequencies): a product of resonances, (steps, formants)."""
    f, squares = frequencies[None, None, :], formants[:, :, None] ** 2
    gains = squares / np.sqrt((squares - f**2) ** 2 + (widths[None, :, None] * f) ** 2)
    return np.asarray(gains.prod(axis=1))


def filter_in_steps(waveform: Waveform, gains: Waveform, sample_rate: int) -> Waveform:
    """Apply another gain each 10 ms, with overlapping windows; no gain changes the phase."""
    hop = round(CONTROL_SECONDS * sample_rate)
    window = np.hanning(2 * hop + 1)[:-1]
    num_steps = len(waveform) // hop + 1
    padded = np.concatenate([np.zeros(hop), waveform, np.zeros(2 * hop)])
    starts = np.arange(num_steps)[:, None] * hop
    pieces = padded[starts + np.arange(2 * hop)] * window
    size = _FFT_CONTROLS * hop
    # In the middle of the transform: a gain without phase rings to both sides of its piece.
    centred = np.pad(pieces, ((0, 0), (hop, hop)))
    filtered = np.fft.irfft(np.fft.rfft(centred) * gains[:num_steps], size)
    total = np.zeros((num_steps + _FFT_CONTROLS) * hop)
    for part in range(_FFT_CONTROLS):
        rows = filtered[:, part * hop : (part + 1) * hop].reshape(-1)
        total[part * hop : part * hop + len(rows)] += rows
    return total[2 * hop : 2 * hop + len(waveform)]


@dataclass(frozen=True)
class _Controls:
    formants: Waveform
    """(steps, 5)."""
    voicing: Waveform
    hiss: Waveform
    hiss_hz: Waveform

    @classmethod
    def of(cls, phones: Sequence[Phone], num_steps: int) -> "_Controls":
        """Spread phones over steps; formants glide over about 50 ms, gains over 20 ms."""
        ends = np.cumsum([phone.seconds for phone in phones])
        times = np.arange(num_steps) * CONTROL_SECONDS
        which = np.minimum(np.searchsorted(ends, times, side="right"), len(phones) - 1)
        formants = np.asarray([(*phone.formants, _FIFTH_FORMANT) for phone in phones])[which]
        return cls(
            formants=np.stack([_smooth(column, 5) for column in formants.T], axis=1),
            voicing=_smooth(np.asarray([phone.voicing for phone in phones])[which], 2),
            hiss=_smooth(np.asarray([phone.hiss for phone in phones])[which], 2),
            hiss_hz=np.asarray([phone.hiss_hz for phone in phones])[which],
        )


def _draw_consonant(
    rng: np.random.Generator, vowel: tuple[float, float, float, float], seconds: float
) -> list[Phone]:
    manner = rng.choice(("nasal", "glide", "fricative", "stop"))
    if manner == "nasal":
        place = (270.0, float(rng.uniform(1_000, 1_700)), 2_300.0, 3_300.0)
        return [Phone(seconds=seconds, formants=place, voicing=0.25)]
    if manner == "glide":
        place = (320.0, float(rng.uniform(700, 2_100)), 2_400.0, 3_350.0)
        return [Phone(seconds=seconds, formants=place, voicing=0.6)]
    hiss_hz = float(rng.uniform(2_500, 6_500))
    if manner == "fricative":
        voicing = float(rng.choice((0.0, 0.2)))
        return [Phone(seconds=seconds, formants=vowel, voicing=voicing, hiss=0.6, hiss_hz=hiss_hz)]
    return [
        Phone(seconds=0.7 * seconds, formants=vowel, voicing=0.0),
        Phone(seconds=0.3 * seconds, formants=vowel, voicing=0.0, hiss=0.9, hiss_hz=hiss_hz),
    ]


def _hiss_band(frequencies: Waveform, centres: Waveform) -> Waveform:
    octaves = np.log2(np.maximum(frequencies, 20.0)[None, :] / centres[:, None])
    return np.asarray(np.exp(-0.5 * (octaves / 0.4) ** 2))


def _smooth(values: Waveform, num_steps: int) -> Waveform:
    padded = np.pad(values, (num_steps // 2, num_steps - 1 - num_steps // 2), mode="edge")
    return np.convolve(padded, np.ones(num_steps) / num_steps, mode="valid")


def _at_samples(control: Waveform, num_samples: int, sample_rate: int) -> Waveform:
    times = np.arange(num_samples) / sample_rate / CONTROL_SECONDS
    return np.interp(times, np.arange(len(control)), control)


def _grid(sample_rate: int) -> Waveform:
    size = _FFT_CONTROLS * round(CONTROL_SECONDS * sample_rate)
    return np.asarray(np.fft.rfftfreq(size, 1 / sample_rate), dtype=np.float64)
