"""A look at stored sound of several microphones: is one dead, are two the same, are they swapped.

A few recordings are looked at, so that a store of any size is checked in seconds. Two channels are
set against boxes; of four and more, recordings are set against each other.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avkd.pipeline.extraction.policy import read_policy
from avkd.pipeline.training.stored_boxes import RowBoxes, find_boxes, read_boxes
from avkd.stages.metrics.microphone_order import (
    LEAST_CHANNELS,
    Arrival,
    Order,
    OrderAgreement,
    compare_orders,
    measure_arrival,
)
from avkd.stages.metrics.microphones import (
    UNEVEN_DECIBELS,
    ChannelStatistics,
    Samples,
    SideAgreement,
    compare_sides,
    measure_channels,
    weigh_sides,
)
from avkd.storage.schema import ClipRow, ProducerSpec
from avkd.storage.store import Store

NUM_RECORDINGS = 24
MIN_SCORE = 0.5
"""Of boxes that are believed."""
LONGEST_SECONDS = 1.0
"""Of a step, around its middle, that are listened to for a side."""
LEAST_OF_RECORDING = 10
"""Boxes on which a single recording is judged."""
NAMED = 5
"""Recordings that a warning names."""


@dataclass(frozen=True, kw_only=True)
class MicrophoneCheck:
    """What a look at stored sound gave."""

    input_name: str
    num_recordings: int
    """That were looked at."""
    levels_decibels: tuple[float, ...]
    """By channel, root mean square of full scale."""
    teacher: str
    """Whose boxes sound was set against; empty where there are none, or not two channels."""
    sides: SideAgreement | None
    num_ordered: int
    """Recordings whose order of channels was set against the others': none of less than four."""
    warnings: tuple[str, ...]
    """One line each; none where all is as it should be."""


@dataclass(frozen=True, kw_only=True)
class _Heard:
    """One clip of a recording."""

    recording_id: str
    statistics: ChannelStatistics
    weights: npt.NDArray[np.float64]
    """(boxes, spreads): see ``weigh_sides``."""
    arrival: Arrival | None
    """None of channels too few to have an order."""


def check_microphones(
    store: Store, *, num_recordings: int = NUM_RECORDINGS
) -> tuple[MicrophoneCheck, ...]:
    """Look at every stored sound of several channels, a clip of each of some spread recordings.

    Channels are numbered from 1. Where a detector's boxes are stored, the first of two channels
    must be the left one; recordings of four and more must have one order of channels.
    """
    return tuple(
        check
        for spec in store.producers().values()
        if spec.kind == "input" and _is_sound(spec) and spec.outputs[0].shape[0] > 1
        for check in [_check(store, spec, num_recordings)]
        if check is not None
    )


def _check(store: Store, spec: ProducerSpec, num_recordings: int) -> MicrophoneCheck | None:
    teacher = _find_detector(store) if spec.outputs[0].shape[0] == 2 else None
    clips = _spread_clips(store, (spec.name, *([teacher.name] if teacher else [])), num_recordings)
    if not clips and teacher:
        teacher, clips = None, _spread_clips(store, (spec.name,), num_recordings)
    heard = list(_listen(store, spec, teacher, clips))
    if not heard:
        return None
    sides = compare_sides(np.concatenate([each.weights for each in heard])) if teacher else None
    orders = _compare_orders(heard)
    by_clip = [each.statistics.levels_decibels for each in heard]
    return MicrophoneCheck(
        input_name=spec.name,
        num_recordings=len(heard),
        levels_decibels=tuple(np.median(by_clip, axis=0).round(1).tolist()),
        teacher=teacher.name if teacher else "",
        sides=sides,
        num_ordered=orders.num_judged,
        warnings=(
            *_warn_of_channels(spec.name, heard),
            *_warn_of_orders(spec.name, heard, orders),
            *(_warn_of_sides(spec.name, heard, sides, teacher.name) if sides and teacher else ()),
        ),
    )


def _warn_of_channels(name: str, heard: Sequence[_Heard]) -> Iterator[str]:
    dead: dict[int, list[str]] = {}
    same: dict[tuple[int, ...], list[str]] = {}
    uneven: dict[int, list[str]] = {}
    deaf: dict[int, list[str]] = {}
    for each in heard:
        for channel in each.statistics.dead:
            dead.setdefault(channel, []).append(each.recording_id)
        for group in each.statistics.same:
            same.setdefault(group, []).append(each.recording_id)
        for channel in each.statistics.uneven:
            if channel not in _deaf(each):
                uneven.setdefault(channel, []).append(each.recording_id)
        for channel in _deaf(each):
            deaf.setdefault(channel, []).append(each.recording_id)
    for channel, found in sorted(dead.items()):
        yield (
            f"channel {channel + 1} of {name} hears nothing in {_count(found, heard)}: "
            "a dead microphone; leave these recordings out, or record them again"
        )
    for group, found in sorted(same.items()):
        yield (
            f"channels {_number(group)} of {name} are the same sound in "
            f"{_count(found, heard)}: one microphone {_times(len(group))}; "
            "nothing can be placed by it"
        )
    for channel, found in sorted(uneven.items()):
        yield (
            f"channel {channel + 1} of {name} is more than {UNEVEN_DECIBELS:g} dB quieter or "
            f"louder than most in {_count(found, heard)}: look at its gain and plug"
        )
    for channel, found in sorted(deaf.items()):
        yield (
            f"channel {channel + 1} of {name} hears nothing of what the others hear in "
            f"{_count(found, heard)}: a dead microphone with noise of its own, or one far away"
        )


def _compare_orders(heard: Sequence[_Heard]) -> OrderAgreement:
    """By place in ``heard``; what was not measured has no frames."""
    none = np.empty((0, len(heard[0].statistics.levels_decibels)))
    return compare_orders(
        [each.arrival.delays if _is_whole(each) and each.arrival else none for each in heard]
    )


def _warn_of_orders(name: str, heard: Sequence[_Heard], orders: OrderAgreement) -> Iterator[str]:
    for alike, places in sorted(orders.odd.items()):
        found = _count([heard[place].recording_id for place in places], heard)
        if orders.is_split(alike):
            yield (
                f"{name} has two orders of channels: {found} and the others differ by "
                f"{_tell(alike)}; which order is right cannot be told"
            )
        else:
            yield (
                f"channels of {name} seem swapped in {found}: they fit the others with "
                f"{_tell(alike)}; put them right, or leave these recordings out"
            )
    if orders.unlike:
        found = _count([heard[place].recording_id for place in orders.unlike], heard)
        yield (
            f"channels of {name} fit the others in no order that was tried in {found}: several "
            "are swapped, or the microphones stood otherwise"
        )


def _is_whole(heard: _Heard) -> bool:
    return not (heard.statistics.dead or heard.statistics.same or _deaf(heard))


def _deaf(heard: _Heard) -> tuple[int, ...]:
    deaf = heard.arrival.deaf if heard.arrival else ()
    return tuple(channel for channel in deaf if channel not in heard.statistics.dead)


def _tell(alike: Sequence[Order]) -> str:
    pairs = [[k for k, channel in enumerate(order) if k != channel] for order in alike]
    if all(len(pair) == 2 for pair in pairs):
        return f"channels {', or '.join(_number(pair) for pair in pairs)} exchanged"
    return f"channels in the order {', '.join(str(channel + 1) for channel in alike[0])}"


def _number(channels: Sequence[int]) -> str:
    names = [str(channel + 1) for channel in channels]
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _times(number: int) -> str:
    return "twice" if number == 2 else f"{number} times"


def _warn_of_sides(
    name: str, heard: Sequence[_Heard], sides: SideAgreement, teacher: str
) -> Iterator[str]:
    if sides.is_swapped:
        yield (
            f"channels 1 and 2 of {name} seem swapped: what teacher {teacher!r} sees on one side "
            f"is heard on the other ({sides.num_boxes} boxes, {sides.significance:.0f} standard "
            "errors); channel 1 must be the left microphone"
        )
    if sides.is_swapped or not sides.is_known:
        return
    odd = [each.recording_id for each in heard if _is_odd(each, sides)]
    if odd:
        yield (
            f"channels 1 and 2 of {name} seem swapped in {_count(odd, heard)}, as teacher "
            f"{teacher!r} sees them; channel 1 must be the left microphone"
        )


def _is_odd(heard: _Heard, sides: SideAgreement) -> bool:
    own = compare_sides(heard.weights)
    is_alike = abs(own.spread_seconds - sides.spread_seconds) <= sides.spread_seconds / 2
    # All recordings together say where left is: less is asked of one that says otherwise.
    return own.num_boxes >= LEAST_OF_RECORDING and own.significance <= -4 and is_alike


def _count(found: Sequence[str], heard: Sequence[_Heard]) -> str:
    names = ", ".join(found[:NAMED]) + (", ..." if len(found) > NAMED else "")
    return f"{len(found)} of {len(heard)} recordings that were looked at ({names})"


def _listen(
    store: Store, spec: ProducerSpec, teacher: ProducerSpec | None, clips: Sequence[ClipRow]
) -> Iterator[_Heard]:
    output = spec.outputs[0]
    rate, policy = int(str(output.attributes["sample_rate"])), read_policy(store)
    for clip in clips:
        waveform = store.read_rows(spec.name, output.name, clip.row, clip.row + 1)[0]
        waveform = waveform[:, : round(clip.duration_seconds * rate)]
        weights = np.empty((0, 0))
        if teacher is not None and policy is not None:
            boxes = _read_boxes(store, teacher, clip)
            weights = _weigh_steps(waveform, boxes, policy.step_seconds, rate)
        statistics = measure_channels([waveform])
        if statistics is None:
            continue
        has_order = len(waveform) >= LEAST_CHANNELS
        yield _Heard(
            recording_id=clip.recording_id,
            statistics=statistics,
            weights=weights,
            arrival=measure_arrival(waveform, rate) if has_order else None,
        )


def _weigh_steps(
    waveform: Samples, boxes: RowBoxes, step_seconds: float, sample_rate: int
) -> npt.NDArray[np.float64]:
    """The weights of all boxes of a clip, each by the sound of its step."""
    places = boxes.boxes[:, [0, 2]].mean(axis=1).astype(np.float64)
    half = min(step_seconds, LONGEST_SECONDS) / 2
    weights = [weigh_sides(waveform[:, :2], np.empty(0), sample_rate)]
    for step in np.unique(boxes.steps).tolist():
        middle = (step + 0.5) * step_seconds
        start, stop = (round((middle + by) * sample_rate) for by in (-half, half))
        heard = waveform[:, max(0, start) : stop]
        if heard.shape[1] > 1:
            weights.append(weigh_sides(heard, places[boxes.steps == step], sample_rate))
    return np.concatenate(weights)


def _read_boxes(store: Store, teacher: ProducerSpec, clip: ClipRow) -> RowBoxes:
    output = find_boxes(teacher)
    assert output is not None  # _find_detector took one that has some
    rows = np.array([clip.row], np.int64)
    return read_boxes(store, teacher.name, output.name, rows, MIN_SCORE)[0]


def _spread_clips(store: Store, producers: Sequence[str], number: int) -> list[ClipRow]:
    """The first clip that all have of each of so many recordings, evenly over the store."""
    ok = set.intersection(*(set(store.ok_rows(name).tolist()) for name in producers))
    first: dict[str, int] = {}
    for shard in store.shards():
        table: Mapping[str, list[object]] = store.read_clip_columns(shard, "row", "recording_id")
        for row, name in zip(table["row"], table["recording_id"], strict=True):
            if row in ok:
                first.setdefault(str(name), int(str(row)))
    rows = list(first.values())
    places = np.unique(np.linspace(0, len(rows) - 1, min(number, len(rows))).astype(int))
    chosen = {rows[place] for place in places.tolist()}
    shards = sorted({row // store.rows_per_shard for row in chosen})
    return [clip for shard in shards for clip in store.read_clips(shard) if clip.row in chosen]


def _find_detector(store: Store) -> ProducerSpec | None:
    """The first teacher whose boxes are stored."""
    specs = store.producers().values()
    return next((s for s in specs if s.kind == "teacher" and find_boxes(s) is not None), None)


def _is_sound(spec: ProducerSpec) -> bool:
    return bool(spec.outputs[0].attributes.get("sample_rate")) and len(spec.outputs[0].shape) == 2
