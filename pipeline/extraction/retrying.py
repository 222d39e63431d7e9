"""Failed clips planned once more: new rows of the same clips, with the next attempt.

A clip is failed where any producer has no data of it in any attempt, and the last of these is
committed. Its new row is for the producers that lack it; those that have it, and that nobody who
lacks it looks at, are named in the row's metadata and leave it ``skipped``, so that nothing is
computed twice and what went well stays as it is. A producer that is declared later computes both
rows.

What lacks a vector of the corpus is not tried again, as no attempt can change the numbers that its
rows carry: neither is the vector, nor a trained teacher that looks at it.

A recording that could not be cut, mostly because its file could not be opened, is probed again. If
it can be cut by now, it becomes its clips, and the row that stood for it counts no more.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from avkd.pipeline.extraction.buffers import ShardContent
from avkd.pipeline.extraction.plan import (
    FAILURE_REASON,
    FAILURE_STATUS,
    Failure,
    plan_clips,
    planned_failure,
)
from avkd.pipeline.extraction.vectors import is_vector
from avkd.stages.types import ClipPolicy, DecodedClip
from avkd.storage.schema import DATA_STATUSES, STATUSES, ClipRow, Recording
from avkd.storage.states import PENDING, STATES, ClipStates, find_states
from avkd.storage.store import Store

FAILED_STATUSES = tuple(status for status in STATUSES if status not in DATA_STATUSES)
"""What is tried again unless told otherwise; a ``partial`` clip holds what there was."""
HELD_BY = "retry_held_by"
_HELD: tuple[Literal["skipped"], str] = ("skipped", "an earlier attempt at the clip holds it")


@dataclass(frozen=True, kw_only=True)
class FailedClip:
    """A clip to try again."""

    clip: ClipRow
    """Of the last attempt."""
    held_by: tuple[str, ...]
    """Producers that need not look at it again."""


def find_failed(store: Store, statuses: Collection[str]) -> tuple[FailedClip, ...]:
    """Find the clips that any producer has in one of some states, and could have in another.

    Args:
        store: to look at.
        statuses: of ``STATUSES``.
    """
    states, looks_at = find_states(store), _find_inputs(store)
    wanted = [place for place, state in enumerate(STATES) if state in statuses]
    is_failed = np.zeros(len(states.rows), bool)
    is_vectorless = _find_vectorless(store, states, looks_at)
    for name, codes in states.codes.items():
        is_failed |= np.isin(codes, wanted) & ~is_vectorless(name)
    failed: dict[int, tuple[str, ...]] = {}
    for place in np.flatnonzero(is_failed).tolist():
        found = {name: int(codes[place]) for name, codes in states.codes.items()}
        good = {name for name, code in found.items() if STATES[code] in DATA_STATUSES}
        held = {name for name in good if found[name] not in wanted}
        failed[int(states.rows[place])] = tuple(sorted(_spare_inputs(held, found, looks_at)))
    shards = sorted({row // store.rows_per_shard for row in failed})
    clips = (clip for shard in shards for clip in store.read_clips(shard))
    return tuple(
        FailedClip(clip=clip, held_by=failed[clip.row]) for clip in clips if clip.row in failed
    )


def recordings_to_probe(failed: Sequence[FailedClip]) -> tuple[Recording, ...]:
    """Give the recordings that could not be cut, without what was known of their length."""
    return tuple(
        Recording(
            recording_id=each.clip.recording_id,
            streams=each.clip.streams,
            metadata=_plain_metadata(each.clip),
        )
        for each in failed
        if planned_failure(each.clip)
    )


def plan_again(
    failed: Sequence[FailedClip],
    recordings: Sequence[Recording],
    unreadable: Mapping[str, Failure],
    policy: ClipPolicy | None,
    *,
    first_row: int,
    rows_per_shard: int,
) -> tuple[ClipRow, ...]:
    """Lay failed clips on new rows, in their order.

    Args:
        failed: the clips.
        recordings: ``recordings_to_probe`` with their durations, but for the unreadable ones.
        unreadable: by recording id, why there is no duration.
        policy: of the store.
        first_row: the first row of a shard.
        rows_per_shard: of the store.
    """
    probed = {each.recording_id: each for each in recordings}
    rows: list[ClipRow] = []
    for each in failed:
        clips: Sequence[ClipRow] = [_repeat(each)]
        if planned_failure(each.clip):
            clips = plan_clips(
                [probed[each.clip.recording_id]],
                policy,
                first_row=first_row,
                rows_per_shard=rows_per_shard,
                unreadable=unreadable,
            )
        for clip in clips:
            attempt = each.clip.attempt + 1
            rows.append(replace(clip, row=first_row + len(rows), attempt=attempt))
    return tuple(rows)


def stored_recordings(store: Store) -> tuple[Recording, ...]:
    """Give every recording of a store once, as its rows tell of it."""
    found: dict[str, Recording] = {}
    for shard in store.shards():
        for clip in store.read_clips(shard):
            if clip.recording_id not in found:
                found[clip.recording_id] = Recording(
                    recording_id=clip.recording_id,
                    streams=clip.streams,
                    metadata=_plain_metadata(clip),
                )
    return tuple(found.values())


def show_held(name: str, clip: ClipRow, decoded: DecodedClip) -> DecodedClip:
    """Give what a producer is shown of a clip: nothing, where an earlier attempt holds it."""
    if name not in held_by(clip):
        return decoded
    status, reason = _HELD
    return DecodedClip(
        clip_id=clip.clip_id,
        frames_status=status,
        frames_reason=reason,
        waveform_status=status,
        waveform_reason=reason,
    )


def held_places(name: str, clips: Sequence[ClipRow], rows_per_shard: int) -> frozenset[int]:
    """Give the places of a shard that a producer holds by an earlier attempt."""
    return frozenset(clip.row % rows_per_shard for clip in clips if name in held_by(clip))


def skip_held(content: ShardContent, places: Collection[int]) -> ShardContent:
    """Give a shard without what an earlier attempt holds, whatever was computed of it."""
    if not places:
        return content
    failures = {**content.failures, **dict.fromkeys(places, _HELD)}
    return replace(content, failures=dict(sorted(failures.items())))


def held_by(clip: ClipRow) -> Collection[str]:
    """Give the producers that an earlier attempt at a clip is enough for."""
    names = clip.metadata.get(HELD_BY, ())
    return names if isinstance(names, list | tuple) else ()


def _find_inputs(store: Store) -> dict[str, tuple[str, ...]]:
    """By trained teacher, the producers whose data of the same row it looks at."""
    specs = store.producers()
    inputs = {name: spec.fingerprint.get("inputs") for name, spec in specs.items()}
    return {
        name: tuple(stream for stream in streams if stream in specs)
        for name, streams in inputs.items()
        if isinstance(streams, Mapping)
    }


def _find_vectorless(
    store: Store, states: ClipStates, looks_at: Mapping[str, Sequence[str]]
) -> Callable[[str], npt.NDArray[np.bool_]]:
    """Tell, by producer, which clips lack a vector that it is, or looks at."""
    specs = store.producers()
    vectors = {name for name in states.codes if is_vector(specs[name])}
    without_data = [
        place
        for place, state in enumerate(STATES)
        if state not in DATA_STATUSES and place != PENDING
    ]

    def find(name: str) -> npt.NDArray[np.bool_]:
        if name in vectors:
            return np.isin(states.codes[name], without_data)
        found = np.zeros(len(states.rows), np.bool_)
        for stream in looks_at.get(name, ()):
            found |= find(stream)
        return found

    return find


def _spare_inputs(
    held: set[str], known: Collection[str], looks_at: Mapping[str, Sequence[str]]
) -> Iterator[str]:
    """What nobody who computes the row has to look at in it."""
    needed: set[str] = set()
    to_visit = [name for name in known if name not in held]
    while to_visit:
        for stream in looks_at.get(to_visit.pop(), ()):
            if stream in held and stream not in needed:
                needed.add(stream)
                to_visit.append(stream)
    yield from held - needed


def _repeat(failed: FailedClip) -> ClipRow:
    metadata = _plain_metadata(failed.clip)
    held = {HELD_BY: list(failed.held_by)} if failed.held_by else {}
    return replace(failed.clip, metadata={**metadata, **held})


def _plain_metadata(clip: ClipRow) -> dict[str, object]:
    """What the corpus said, without what planning noted."""
    noted = (FAILURE_STATUS, FAILURE_REASON, HELD_BY)
    return {name: value for name, value in clip.metadata.items() if name not in noted}
