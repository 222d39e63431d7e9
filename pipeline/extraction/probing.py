"""Durations of recordings; one that has none to tell gets a reason instead."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from avkd.errors import MediaError
from avkd.pipeline.extraction.plan import Failure
from avkd.pipeline.extraction.worker import lend_decode_pool
from avkd.stages.media.limits import DecodeLimits
from avkd.storage.schema import Recording

STREAMS_TO_PROBE = ("rgb", "audio")
"""These are asked first, then the other streams: the first that can be read tells the duration."""


@dataclass(frozen=True, kw_only=True)
class ProbedRecordings:
    """Recordings with the durations that could be told."""

    recordings: tuple[Recording, ...]
    unreadable: dict[str, Failure] = field(default_factory=dict)
    """By recording id."""


def probe_recordings(
    recordings: Sequence[Recording],
    *,
    num_workers: int,
    limits: DecodeLimits,
    on_recording: Callable[[int, int], None] = lambda num_done, num_total: None,
) -> ProbedRecordings:
    """Ask the files whose duration the corpus does not tell; keep the order of the corpus.

    Args:
        recordings: of the corpus.
        num_workers: decode children to ask with; they stay for the clips (worker.py). None
            is started when all durations are known.
        limits: of a child, a file and a recording's length.
        on_recording: told after each how many are done, of how many.
    """
    places = {each.recording_id: _list_paths(each) for each in recordings if not _is_known(each)}
    durations: dict[str, float] = {}
    unreadable = _refuse_long(recordings, limits)
    for turn in range(max(map(len, places.values()), default=0)):
        # A file that is missing or broken is one stream less, not a recording less.
        paths = {
            name: listed[turn]
            for name, listed in places.items()
            if turn < len(listed) and name not in durations
        }
        for recording_id, answer in _ask(paths, num_workers, limits):
            if isinstance(answer, MediaError):
                unreadable.setdefault(recording_id, (answer.status, answer.reason))
            else:
                durations[recording_id] = answer
                unreadable.pop(recording_id, None)
            if turn == 0:
                on_recording(len(durations) + len(unreadable), len(places))
    return ProbedRecordings(
        recordings=tuple(
            replace(each, duration_seconds=durations[each.recording_id])
            if each.recording_id in durations
            else each
            for each in recordings
        ),
        unreadable=unreadable,
    )


def _refuse_long(recordings: Sequence[Recording], limits: DecodeLimits) -> dict[str, Failure]:
    """The recordings that are longer than the limit by what the corpus says."""
    return {
        each.recording_id: (
            "decode_error",
            f"the corpus declares {each.duration_seconds:.6g} s, over the limit of "
            f"{limits.duration_seconds:g} s",
        )
        for each in recordings
        if _is_known(each) and (each.duration_seconds or 0) > limits.duration_seconds
    }


def _ask(
    paths: dict[str, str], num_workers: int, limits: DecodeLimits
) -> Iterator[tuple[str, float | MediaError]]:
    if not paths:
        return
    with lend_decode_pool(num_workers, limits) as pool:
        answers = pool.probe(paths.values())
        for recording_id, answer in zip(paths, answers, strict=True):
            if isinstance(answer, MediaError):
                yield recording_id, answer
            else:
                yield recording_id, answer.duration_seconds


def _is_known(recording: Recording) -> bool:
    seconds = recording.duration_seconds
    return seconds is not None and math.isfinite(seconds) and seconds > 0


def _list_paths(recording: Recording) -> tuple[str, ...]:
    streams = recording.streams
    first = [streams[name] for name in STREAMS_TO_PROBE if name in streams]
    return tuple(dict.fromkeys([*first, *streams.values()]))
