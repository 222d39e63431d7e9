"""The clips of a shard as decode jobs, and what came of them, in row order."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True, kw_only=True)
class View:
    """What is decoded in one job: the pictures of one stream, all of the same pixels, and sound."""

    stream: str = "rgb"
    frame_formats: tuple[FrameFormat, ...] = ()
    waveform: WaveformFormat | None = None


def decode_clips(
    pool: DecodePool, clips: Sequence[ClipRow], policy: ClipPolicy, views: Sequence[View]
) -> Iterator[tuple[ClipRow, View, DecodedClip]]:
    """Give every clip in every view, with what was decoded of it.

    Rows ascend in each view; one view of a recording follows the other, so that a file that breaks
    its decoder costs its own view alone.
    """
    runs = [tuple(group) for _, group in itertools.groupby(clips, _recording_of)]
    jobs = (
        job
        for run in runs
        for view in views
        for job in decode_jobs(
            [clip for clip in run if planned_failure(clip) is None],
            policy,
            view.frame_formats,
            view.waveform,
            frame_stream=view.stream,
        )
    )
    decoded = iter(pool.decode(jobs))
    for run in runs:
        for view, clip in itertools.product(views, run):
            failure = planned_failure(clip)
            yield clip, view, _undecoded(clip, failure) if failure else next(decoded)
    assert next(decoded, None) is None, "more clips were decoded than asked for"


def _recording_of(clip: ClipRow) -> object:
    return clip.recording_id, clip.streams


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
    *,
    frame_stream: str = "rgb",
) -> Iterator[DecodeJob]:
    """Make one job of every run of consecutive clips of one recording."""
    for _, group in itertools.groupby(clips, _recording_of):
        run = tuple(group)
        yield DecodeJob(
            streams=run[0].streams,
            clips=tuple(_request_clip(clip, policy) for clip in run),
            clip_seconds=policy.clip_seconds,
            frame_formats=frame_formats,
            waveform=waveform,
            frame_stream=frame_stream,
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
