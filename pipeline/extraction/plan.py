"""What there is to compute, as data: recordings become rows, rows become shards. No I/O.

A recording that cannot be cut is a row as well, of no duration and one step, whose metadata say
why: every recording of a corpus is accounted for in the store.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from avkd.errors import InvalidValueError
from avkd.stages.media.sampling import cut_recording
from avkd.stages.types import ClipPolicy, ClipSpan
from avkd.storage.clips import clip_id
from avkd.storage.schema import SPARSE_TEMPERATURES, ClipRow, OutputSpec, ProducerSpec, Recording

FAILURE_STATUS = "failure_status"
FAILURE_REASON = "failure_reason"

Failure = tuple[str, str]
"""Status and reason of a row."""


def plan_clips(
    recordings: Iterable[Recording],
    policy: ClipPolicy | None,
    *,
    first_row: int,
    rows_per_shard: int,
    unreadable: Mapping[str, Failure] | None = None,
) -> tuple[ClipRow, ...]:
    """Cut recordings into clips and lay these on consecutive rows, in order.

    Args:
        recordings: with their durations, but for the unreadable ones.
        policy: how to cut; None for recordings without files, one row each.
        first_row: the first row of a shard.
        rows_per_shard: of the store.
        unreadable: by recording id, why there is no duration.
    """
    if first_row % rows_per_shard:
        raise InvalidValueError(
            f"first row {first_row} is not the start of a shard of {rows_per_shard} rows"
        )
    failures = unreadable or {}
    rows: list[ClipRow] = []
    for recording in recordings:
        for span, failure in _cut(recording, policy, failures):
            rows.append(_build_row(first_row + len(rows), recording, span, failure))
    return tuple(rows)


def planned_failure(clip: ClipRow) -> Failure | None:
    """Tell why a row failed at planning already, if it did."""
    status = clip.metadata.get(FAILURE_STATUS)
    return (str(status), str(clip.metadata.get(FAILURE_REASON))) if status else None


def count_shards(num_clips: int, rows_per_shard: int) -> int:
    """Count the shards that new clips fill, the last of them perhaps in part."""
    return math.ceil(num_clips / rows_per_shard)


def count_bytes(spec: ProducerSpec, num_clips: int) -> int:
    """Count the bytes that a producer's arrays take for clips, before compression."""
    return num_clips * sum(_bytes_per_row(output) for output in spec.outputs)


def _cut(
    recording: Recording, policy: ClipPolicy | None, unreadable: Mapping[str, Failure]
) -> Iterator[tuple[ClipSpan, Failure | None]]:
    nothing = ClipSpan(start_seconds=0.0, duration_seconds=0.0, num_steps=1)
    if policy is None:
        yield nothing, None
        return
    failure = unreadable.get(recording.recording_id)
    duration_seconds = recording.duration_seconds
    if failure or duration_seconds is None:
        yield nothing, failure or ("decode_error", "the duration is not known")
        return
    spans: Sequence[ClipSpan] = cut_recording(duration_seconds, policy)
    for span in spans:
        yield span, None
    if not spans:
        reason = f"{duration_seconds:g} s hold no clip of {policy.clip_seconds:g} s"
        yield nothing, ("too_short", f"{reason} with tail {policy.tail}")


def _build_row(row: int, recording: Recording, span: ClipSpan, failure: Failure | None) -> ClipRow:
    why = {FAILURE_STATUS: failure[0], FAILURE_REASON: failure[1]} if failure else {}
    return ClipRow(
        row=row,
        clip_id=clip_id(recording.recording_id, span.start_seconds, span.duration_seconds),
        recording_id=recording.recording_id,
        streams=recording.streams,
        start_seconds=span.start_seconds,
        duration_seconds=span.duration_seconds,
        num_steps=span.num_steps,
        metadata={**recording.metadata, **why},
    )


def _bytes_per_row(output: OutputSpec) -> int:
    if output.layout == "boxes":
        return 0
    if output.layout == "sparse_logits":
        num_vectors, num_classes = math.prod(output.shape[:-1]), output.shape[-1]
        id_bytes = 2 if num_classes <= 65_536 else 4
        return num_vectors * (output.num_kept * (2 + id_bytes) + 4 * len(SPARSE_TEMPERATURES))
    return math.prod(output.shape) * np.dtype(output.dtype).itemsize
