"""Whether recordings of one array of microphones have their channels in the same order.

Nothing is known of the array but that all recordings share it. Sound from far off reaches it as a
plane wave: its delays, by channel, are the microphones' places times a direction of three numbers.
So whatever drives by, the delays of all recordings lie in one space of no more than three
dimensions, which is found from the recordings themselves; exchanged channels leave it. Turns and
mirror images of a regular array stay in it and cannot be told.

Conventions: C channels, S samples, F frames, R recordings; delays are seconds, of mean zero over
the channels. An order is the tuple of channels that, taken in that order, fit the other recordings.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from avkd.stages.metrics.microphones import BAND_HERTZ, Samples

Array = npt.NDArray[np.float64]
Order = tuple[int, ...]

LEAST_CHANNELS = 4
"""Of three, the delays fill two dimensions in any order."""
FRAME_SECONDS = 0.128
MAX_FRAMES = 40
"""That are listened to, evenly over the sound."""
DELAY_RATE = 16_000
"""Steps a second at which delays are looked up, before a parabola is laid through them."""
REACH_SECONDS = 0.006
"""Delays of microphones two metres apart."""
SETTLED_SECONDS = 1 / DELAY_RATE
"""Delays between pairs contradict each other by less than that, or there is no one direction."""
SETTLED_QUANTILE = 0.75
"""Of the pairs."""
DEAF_SHARE = 0.5
"""Of the likeness that half of the channels reach with another: none is so far from all others."""
LEAST_LIKENESS = 0.25
"""Of that half; what has nothing in common stays below 0.2."""
LEAST_FRAMES = 8
LEAST_RECORDINGS = 5
MAX_DIMENSIONS = 3
LEAST_EIGENVALUE = 0.02
"""Of the largest, for a dimension of the array."""
LEAST_MISFIT = 0.003
"""Share of the delays' power that lies outside of the array's space."""
LEAST_GAIN = 2.5
"""By which another order makes the misfit smaller."""
MOST_MISFIT = 0.04
"""Of a recording that fits at all."""
NUM_ROUNDS = 4
SIMILAR_FIT = 2.0
"""To the best one: a dimension more also takes up a single recording in another order."""
SPLIT = 1 / 3
"""Share of recordings from which on another order is as good as the usual one."""


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """How the sound of a recording reaches its microphones."""

    delays: Array
    """(F, C), of frames with one clear direction."""
    likeness: Array
    """(C,): the highest peak of each channel with any other, a median of all frames; 1 at most."""

    @property
    def deaf(self) -> tuple[int, ...]:
        """The channels that hear something, but not what the others hear."""
        usual = float(np.median(self.likeness))
        if usual < LEAST_LIKENESS:
            return ()
        return tuple(np.flatnonzero(self.likeness < DEAF_SHARE * usual).tolist())


@dataclass(frozen=True, kw_only=True)
class OrderAgreement:
    """Which recordings have other orders of channels than most."""

    num_judged: int
    """Recordings with enough sound from one direction at a time; 0 where nothing can be said."""
    odd: Mapping[tuple[Order, ...], tuple[int, ...]]
    """Recordings by place, by the order in which their channels would fit the others; by several
    where they do the same, as the inner and the outer two of an even line exchanged."""
    unlike: tuple[int, ...] = ()
    """Recordings that fit the others in no order that was tried."""

    def is_split(self, orders: tuple[Order, ...]) -> bool:
        """Whether so many have this order that none can be called the right one."""
        return len(self.odd[orders]) >= SPLIT * self.num_judged


def measure_arrival(waveform: Samples, sample_rate: int) -> Arrival:
    """When each channel hears what is heard, and how much alike.

    Delays of all pairs (GCC-PHAT, Knapp and Carter 1976), reconciled by least squares that weigh
    by the height of the peak and down what contradicts the others.
    """
    num_channels, size = len(waveform), round(FRAME_SECONDS * sample_rate)
    pairs = list(combinations(range(num_channels), 2))
    starts = np.arange(waveform.shape[1] // size) * size
    chosen = np.unique(np.linspace(0, len(starts) - 1, min(MAX_FRAMES, len(starts))).astype(int))
    window = np.hanning(size)
    found = [
        _pair_delays(waveform[:, start : start + size] * window, pairs, sample_rate)
        for start in starts[chosen].tolist()
    ]
    lags, heights = (np.array([each[k] for each in found]).reshape(-1, len(pairs)) for k in (0, 1))
    is_heard = (heights > 0).all(axis=1)
    return Arrival(
        delays=_reconcile(lags[is_heard], heights[is_heard], pairs, num_channels),
        likeness=_likeness(heights, pairs, num_channels),
    )


def compare_orders(delays: Sequence[Array]) -> OrderAgreement:
    """What the delays (F, C) of recordings, all of C channels, say of the order of channels."""
    judged = [place for place, each in enumerate(delays) if len(each) >= LEAST_FRAMES]
    if len(judged) < LEAST_RECORDINGS or delays[0].shape[1] < LEAST_CHANNELS:
        return OrderAgreement(num_judged=0, odd={})
    orders = _list_orders(delays[0].shape[1])
    fit = _fit_array(np.stack([_power(delays[place]) for place in judged]), orders)
    if fit is None:
        return OrderAgreement(num_judged=0, odd={})
    odd: dict[tuple[Order, ...], list[int]] = {}
    unlike = []
    for place, best, misfits in zip(judged, fit.best.tolist(), fit.misfits, strict=True):
        if misfits[best] > MOST_MISFIT:
            unlike.append(place)
        elif best and _prefers(delays[place], fit.outside, orders[best]):
            odd.setdefault(_list_alike(orders, best, misfits), []).append(place)
    return OrderAgreement(
        num_judged=len(judged),
        odd={alike: tuple(places) for alike, places in odd.items()},
        unlike=tuple(unlike),
    )


@dataclass(frozen=True, kw_only=True)
class _Fit:
    """An array's space, and how recordings lie in it."""

    space: Array
    """(C, dimensions)."""
    misfits: Array
    """(R, orders)."""
    best: npt.NDArray[np.int64]
    """(R,): the order that fits; 0, as it is, where no other does much better."""

    @property
    def outside(self) -> Array:
        """(C, C): the projection onto what no direction gives."""
        return np.asarray(np.eye(len(self.space)) - self.space @ self.space.T)

    @property
    def left(self) -> Array:
        """(R,): what is left of the misfit in the best order, by dimension of what is outside."""
        left = np.take_along_axis(self.misfits, self.best[:, None], 1)[:, 0]
        return np.asarray(left / (len(self.space) - self.space.shape[1]))

    @property
    def fit(self) -> float:
        """How badly the half of recordings that fit better do."""
        return float(np.sqrt(np.median(self.left)))


def _pair_delays(
    frame: Array, pairs: Sequence[tuple[int, int]], sample_rate: int
) -> tuple[Array, Array]:
    """How much later the second of each pair hears, and the height of its peak, 1 at most."""
    length = 2 * frame.shape[1]
    hertz = np.fft.rfftfreq(length, 1 / sample_rate)
    spectra = np.fft.rfft(frame, length)[:, hertz <= DELAY_RATE / 2]
    hertz = hertz[: spectra.shape[1]]
    is_used = (hertz >= BAND_HERTZ[0]) & (hertz <= BAND_HERTZ[1]) & (np.abs(spectra) > 0)
    white = np.divide(spectra, np.abs(spectra), out=np.zeros_like(spectra), where=is_used)
    first, second = np.array(pairs).T
    num_steps = 2 * (spectra.shape[1] - 1)
    likeness = np.fft.irfft(white[second] * np.conj(white[first]), num_steps)
    rate = num_steps * float(hertz[1])
    reach = min(round(REACH_SECONDS * rate), num_steps // 2 - 1)
    likeness = np.concatenate([likeness[:, -reach:], likeness[:, : reach + 1]], axis=1)
    peak = np.clip(likeness.argmax(axis=1), 1, 2 * reach - 1)
    before, at, after = (likeness[np.arange(len(pairs)), peak + by] for by in (-1, 0, 1))
    bend = before - 2 * at + after
    shift = np.divide(before - after, 2 * bend, out=np.zeros_like(bend), where=bend < 0)
    highest = max(1, int(is_used.any(axis=0).sum())) * 2 / num_steps
    return (peak - reach + np.clip(shift, -1, 1)) / rate, np.maximum(at, 0) / highest


def _likeness(heights: Array, pairs: Sequence[tuple[int, int]], num_channels: int) -> Array:
    if not len(heights):
        return np.zeros(num_channels)
    usual = np.median(heights, axis=0)
    highest = np.zeros(num_channels)
    for pair, height in zip(pairs, usual.tolist(), strict=True):
        highest[list(pair)] = np.maximum(highest[list(pair)], height)
    return highest


def _reconcile(
    lags: Array, heights: Array, pairs: Sequence[tuple[int, int]], num_channels: int
) -> Array:
    """(F, C) of the frames whose pairs (F, P) agree."""
    signs = np.zeros((len(pairs), num_channels))
    for number, (first, second) in enumerate(pairs):
        signs[number, [first, second]] = -1.0, 1.0
    weights = heights**2
    delays, misses = np.zeros((len(lags), num_channels)), np.zeros_like(lags)
    for _ in range(NUM_ROUNDS):
        trusted = weights / (1 + (misses / SETTLED_SECONDS) ** 2)
        normal = np.einsum("fp,pi,pj->fij", trusted, signs, signs)
        normal += trusted.mean(axis=1)[:, None, None]  # of mean zero
        wanted = np.einsum("fp,fp,pi->fi", trusted, lags, signs)
        delays = np.linalg.solve(normal, wanted[:, :, None])[:, :, 0]
        misses = np.abs(lags - delays @ signs.T)
    is_settled = np.quantile(misses, SETTLED_QUANTILE, axis=1) < SETTLED_SECONDS
    return np.asarray(delays[is_settled])


def _power(delays: Array) -> Array:
    """(C, C): how delays go together, of trace 1; less where all delays are near nothing."""
    power = delays.T @ delays
    least = len(delays) * (2 * SETTLED_SECONDS) ** 2
    return np.asarray(power / max(float(np.trace(power)), least))


def _list_orders(num_channels: int) -> list[Order]:
    """As they are, with two exchanged, counted from another one, and counted backward."""
    straight = list(range(num_channels))
    found = [tuple(straight)]
    for one, other in combinations(straight, 2):
        order = list(straight)
        order[one], order[other] = other, one
        found.append(tuple(order))
    for start in straight:
        turned = straight[start:] + straight[:start]
        found += [tuple(turned), tuple(turned[::-1])]
    return list(dict.fromkeys(found))


def _fit_array(powers: Array, orders: Sequence[Order]) -> _Fit | None:
    """The space in which most recordings lie as they are, and the others in some order.

    It is sought from each recording, and from all together: a mixture of orders has a space of its
    own, and a recording of one direction too small a one.
    """
    starts = [powers.mean(axis=0), *powers]
    fits = [fit for start in starts if (fit := _refine(start, powers, orders)) is not None]
    if not fits:
        return None
    enough = SIMILAR_FIT * min(each.fit for each in fits)
    return max(
        (each for each in fits if each.fit <= enough),
        key=lambda each: (
            -each.space.shape[1],
            int((each.best == 0).sum()),
            -float(np.sqrt(each.left).mean()),
        ),
    )


def _refine(power: Array, powers: Array, orders: Sequence[Order]) -> _Fit | None:
    fit = None
    for _ in range(NUM_ROUNDS):
        values, vectors = np.linalg.eigh(power)
        number = min(MAX_DIMENSIONS, int((values > LEAST_EIGENVALUE * values[-1]).sum()))
        if number > powers.shape[1] - 2:
            return None
        fit = _judge(vectors[:, ::-1][:, :number], powers, orders)
        taken = [
            each[np.ix_(orders[best], orders[best])]
            for each, best, misfits in zip(powers, fit.best.tolist(), fit.misfits, strict=True)
            if misfits[best] <= MOST_MISFIT
        ]
        if not taken:
            return None
        power = np.mean(taken, axis=0)
    return fit


def _judge(space: Array, powers: Array, orders: Sequence[Order]) -> _Fit:
    outside = np.eye(len(space)) - space @ space.T
    # The misfit of reordered delays is that of the delays in a space reordered back.
    back = np.argsort(np.array(orders), axis=1)
    turned = outside[back[:, :, None], back[:, None, :]]
    misfits = np.maximum(np.einsum("oij,rij->ro", turned, powers), 1e-12)
    best = misfits.argmin(axis=1)
    gain = misfits[:, 0] / misfits.min(axis=1)
    is_odd = (gain >= LEAST_GAIN) & (misfits[:, 0] >= LEAST_MISFIT)
    return _Fit(space=space, misfits=misfits, best=np.where(is_odd, best, 0))


def _list_alike(orders: Sequence[Order], best: int, misfits: Array) -> tuple[Order, ...]:
    """The best order, or all exchanges of two that do as well."""
    num_exchanges = math.comb(len(orders[0]), 2)
    if best > num_exchanges:
        return (orders[best],)
    most = max(LEAST_GAIN * float(misfits[best]), LEAST_MISFIT / LEAST_GAIN)
    return tuple(orders[k] for k in range(1, num_exchanges + 1) if misfits[k] <= most)


def _prefers(delays: Array, outside: Array, order: Order) -> bool:
    """Whether most frames fit better in another order: not one that is heard wrong."""
    as_is, other = ((each @ outside * each).sum(axis=1) for each in (delays, delays[:, order]))
    return bool((other < as_is).mean() > 1 / 2)
