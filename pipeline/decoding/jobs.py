"""The clips of a shard as decode jobs, and what came of them, in row order."""

import itertools
from collections.abc import Iterator, Sequence
from typing import cast

from avkd.pipeline.decoding.pool import DecodePool
from avkd.pipeline.extraction.plan import Failure, planned_failure
from avkd.stages.media.sampling import step_instants
from avkd.stages.media.wire import ClipRequest, DecodeJob
from avkd.stages.types import (
    ClipPolicy,
    ClipSpan,
    DecodedClip,
    FrameFormat,
    RowStatus,
    WaveformFormat,
)
from avkd.storage.schema import ClipRow


def decode_clips(
    pool: DecodePool,
    clips: Sequence[ClipRow],
    policy: ClipPolicy,
    frame_formats: tuple[FrameFormat, ...],
    waveform: WaveformFormat | None,
) -> Iterator[tuple[ClipRow, DecodedClip]]:
    """Give every clip with what was decoded of it, in row order."""
    readable = [clip for clip in clips if planned_failure(clip) is None]
    decoded = iter(pool.decode(decode_jobs(readable, policy, frame_formats, waveform)))
    for clip in clips:
        failure = planned_failure(clip)
        yield clip, _undecoded(clip, failure) if failure else next(decoded)
    assert next(decoded, None) is None, "more clips were decoded than asked for"


def _undecoded(clip: ClipRow, failure: Failure) -> DecodedClip:
    status, reason = failure
    return DecodedClip(
        clip_id=clip.clip_id,
        frames_status=cast(RowStatus, status),
        frames_reason=reason,
        waveform_status=cast(RowStatus, status),
        waveform_reason=reason,
    )


def decode_jobs(
    clips: Sequence[ClipRow],
    policy: ClipPolicy,
    frame_formats: tuple[FrameFormat, ...],
    waveform: WaveformFormat | None,
) -> Iterator[DecodeJob]:
    """Make one job of every run of consecutive clips of one recording."""
    for _, group in itertools.groupby(clips, lambda clip: (clip.recording_id, clip.streams)):
        run = tuple(group)
        yield DecodeJob(
            streams=run[0].streams,
            clips=tuple(_request_clip(clip, policy) for clip in run),
            clip_seconds=policy.clip_seconds,
            frame_formats=frame_formats,
            waveform=waveform,
        )


def _request_clip(clip: ClipRow, policy: ClipPolicy) -> ClipRequest:
    span = ClipSpan(
        start_seconds=clip.start_seconds,
        duration_seconds=clip.duration_seconds,
        num_steps=clip.num_steps,
    )
    return ClipRequest(
        clip_id=clip.clip_id,
        start_seconds=clip.start_seconds,
        duration_seconds=clip.duration_seconds,
        instants=tuple(step_instants(span, policy).tolist()),
    )
