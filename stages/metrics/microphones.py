"""Whether the microphones of recordings are as they should be: by what they have in common.

Nothing here knows an array's geometry, but that of two channels the first is the left one, as seen
by the camera. Then a vehicle on the right of the picture is heard by the second first, by a delay
that grows with its place from the middle. Vehicles out of the picture are often louder than those
in it, so no delay is read off one moment: what speaks for the delay that a box calls for, less what
speaks for the opposite one, is added up over many boxes.

Conventions: C channels, S samples, N boxes, G spreads; a place runs from 0, left, to 1, right.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.int16]
Vector = npt.NDArray[np.float64]

FULL_SCALE = 32_768.0
SILENT_DECIBELS = -80.0
"""Below it a channel holds little more than the rounding of its samples."""
DEAD_DECIBELS = 30.0
"""A microphone that hears that much less than the loudest is broken, or not plugged in."""
UNEVEN_DECIBELS = 15.0
"""From the middle of three or more channels: more than distance and turned microphones explain."""
SAME_CORRELATION = 0.9999
"""Two microphones apart never hear so much alike: wind and their own noise differ."""
BAND_HERTZ = (300.0, 4_000.0)
"""Below, delays between near microphones do not show; above, there are many that look alike."""
SPREADS_SECONDS = np.linspace(0.0002, 0.004, 39)
"""How much later the second channel hears the left edge of the picture than the right one: of
microphones 0.1 to 2 m apart and pictures of usual width. Which it is need not be known."""
LEAST_OFFSET = 0.1
"""From the middle of the picture; nearer to it a box calls for no delay."""
LEAST_BOXES = 20
LEAST_SIGNIFICANCE = 5.0
"""Standard errors. The best of so many spreads reaches 3 by chance."""


@dataclass(frozen=True, kw_only=True)
class ChannelStatistics:
    """What the channels of some recordings have in common."""

    num_samples: int
    levels_decibels: tuple[float, ...]
    """(C,): root mean square, of full scale; minus infinity of what is all zero."""
    correlations: tuple[tuple[float, ...], ...]
    """(C, C): at no delay; 0 with a channel that is all zero."""

    @property
    def dead(self) -> tuple[int, ...]:
        """The channels that hear nothing; of three or more, a single loud one makes none dead."""
        loudest = sorted(self.levels_decibels)[-1 if len(self.levels_decibels) < 3 else -2]
        floor = max(SILENT_DECIBELS, loudest - DEAD_DECIBELS)
        return tuple(place for place, level in enumerate(self.levels_decibels) if level < floor)

    @property
    def uneven(self) -> tuple[int, ...]:
        """Channels, none of them dead, much quieter or louder than most; none of two."""
        alive = [place for place in range(len(self.levels_decibels)) if place not in self.dead]
        if len(alive) < 3:
            return ()
        middle = float(np.median([self.levels_decibels[place] for place in alive]))
        return tuple(
            place for place in alive if abs(self.levels_decibels[place] - middle) > UNEVEN_DECIBELS
        )

    @property
    def same(self) -> tuple[tuple[int, ...], ...]:
        """Groups of channels, none of them dead, that are one sound several times."""
        groups: list[list[int]] = []
        for place in range(len(self.levels_decibels)):
            if place in self.dead:
                continue
            alike = (group for group in groups if self._is_same(group[0], place))
            group = next(alike, None)
            if group is None:
                groups.append([place])
            else:
                group.append(place)
        return tuple(tuple(group) for group in groups if len(group) > 1)

    def _is_same(self, one: int, other: int) -> bool:
        return self.correlations[one][other] > SAME_CORRELATION


@dataclass(frozen=True, kw_only=True)
class SideAgreement:
    """Whether vehicles are heard on the side where they are seen."""

    num_boxes: int
    spread_seconds: float
    """The delay between the edges of the picture that fits best, on either side."""
    significance: float
    """Standard errors by which boxes are heard on their own side; negative on the other."""

    @property
    def is_known(self) -> bool:
        """Whether there is enough to say so."""
        return self.num_boxes >= LEAST_BOXES and abs(self.significance) >= LEAST_SIGNIFICANCE

    @property
    def is_swapped(self) -> bool:
        """Whether left seems to be right."""
        return self.is_known and self.significance < 0


def measure_channels(waveforms: Iterable[Samples]) -> ChannelStatistics | None:
    """The statistics of waveforms (C, S), each freed of its mean; None without any sample."""
    products: npt.NDArray[np.float64] | None = None
    num_samples = 0
    for waveform in waveforms:
        sound = waveform.astype(np.float64) / FULL_SCALE
        sound -= sound.mean(axis=1, keepdims=True)
        products = sound @ sound.T if products is None else products + sound @ sound.T
        num_samples += waveform.shape[1]
    if products is None or not num_samples:
        return None
    squares = np.diagonal(products)
    scale = np.sqrt(np.outer(squares, squares))
    correlations = np.divide(products, scale, out=np.zeros_like(products), where=scale > 0)
    with np.errstate(divide="ignore"):
        levels = 10 * np.log10(squares / num_samples)
    return ChannelStatistics(
        num_samples=num_samples,
        levels_decibels=tuple(levels.tolist()),
        correlations=tuple(map(tuple, correlations.tolist())),
    )


def weigh_sides(
    pair: npt.NDArray[np.integer], places: Vector, sample_rate: int
) -> npt.NDArray[np.float64]:
    """(N, G): how much more of the sound (2, S) comes from where boxes are than from opposite.

    The cross-correlation of whitened spectra (GCC-PHAT, Knapp and Carter 1976) at the delay that
    a box calls for under each of ``SPREADS_SECONDS``, less that at the opposite delay. Boxes near
    the middle are left out.
    """
    offsets = places[np.abs(places - 0.5) >= LEAST_OFFSET] - 0.5
    length = 2 * pair.shape[1]
    first, second = np.fft.rfft(pair * np.hanning(pair.shape[1]), length)
    cross = second * np.conj(first)
    heard = np.fft.rfftfreq(length, 1 / sample_rate)
    is_used = (heard >= BAND_HERTZ[0]) & (heard <= BAND_HERTZ[1]) & (np.abs(cross) > 0)
    white = np.divide(cross, np.abs(cross), out=np.zeros_like(cross), where=is_used)
    likeness = np.fft.irfft(white, length)
    lags = np.rint(np.outer(offsets, SPREADS_SECONDS) * sample_rate).astype(np.int64)
    reach = pair.shape[1] - 1
    lags = np.clip(lags, -reach, reach)
    # What is on the right reaches the second channel first: at a negative delay.
    return np.asarray(likeness[-lags] - likeness[lags])


def compare_sides(weights: npt.NDArray[np.float64]) -> SideAgreement:
    """Weights (N, G) of all boxes together."""
    if len(weights) < 2:
        return SideAgreement(num_boxes=len(weights), spread_seconds=0.0, significance=0.0)
    errors = weights.std(axis=0, ddof=1) / np.sqrt(len(weights))
    means = weights.mean(axis=0)
    significance = np.divide(means, errors, out=np.zeros_like(means), where=errors > 0)
    best = int(np.abs(significance).argmax())
    return SideAgreement(
        num_boxes=len(weights),
        spread_seconds=float(SPREADS_SECONDS[best]),
        significance=float(significance[best]),
    )
