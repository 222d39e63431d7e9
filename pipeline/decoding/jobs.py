"""The clips of a shard as decode jobs, and what came of them, in row order."""

import itertools
import math
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Protocol, cast

import numpy as np

from avkd.pipeline.extraction.plan import Failure, planned_failure
from avkd.stages.media.local_files import is_local
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

# A job begins at the key picture before its first clip: half a group of pictures is decoded twice.
_JOB_SECONDS = 60.0
_TOLERANCE_SECONDS = 1e-6
# Of what is decoded in a job, so that many children may be ahead of the one whose turn it is.
_JOB_BYTES = 16 * 2**20
# Where a jump is cheap; by name, since nobody has opened the file yet. A wrong name costs time.
_JUMPABLE_SUFFIXES = frozenset(
    (".mp4", ".m4v", ".mov", ".3gp", ".mkv", ".webm", ".ts", ".mts", ".m2ts")
)


@dataclass(frozen=True, kw_only=True)
class View:
    """What is decoded in one job: the pictures of one stream, all of the same pixels, and sound."""

    stream: str = "rgb"
    frame_formats: tuple[FrameFormat, ...] = ()
    waveform: WaveformFormat | None = None
    more_waveforms: tuple[WaveformFormat, ...] = ()


class Decoder(Protocol):
    """Whoever decodes the clips of jobs, in their order: a ``DecodePool``."""

    def decode(self, jobs: Iterable[DecodeJob]) -> Iterator[DecodedClip]:
        """Give the clips."""
        ...


def decode_clips(
    pool: Decoder, clips: Sequence[ClipRow], policy: ClipPolicy, views: Sequence[View]
) -> Generator[tuple[ClipRow, View, DecodedClip], None, None]:
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
            more_waveforms=view.more_waveforms,
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
    more_waveforms: tuple[WaveformFormat, ...] = (),
    frame_stream: str = "rgb",
) -> Iterator[DecodeJob]:
    """Make jobs of every run of consecutive clips of one recording.

    What a clip holds does not depend on the other clips of its job, so children may share a long
    recording; where they could not jump to their part of it, or would each have to fetch it, the
    run is one job.
    """
    for _, group in itertools.groupby(clips, _recording_of):
        run = tuple(group)
        waveforms = (*([waveform] if waveform else []), *more_waveforms)
        job = DecodeJob(
            streams=run[0].streams,
            clips=tuple(_request_clip(clip, policy) for clip in run),
            clip_seconds=policy.clip_seconds,
            frame_formats=frame_formats,
            waveform=waveform,
            more_waveforms=more_waveforms,
            frame_stream=frame_stream,
            decoder=policy.decoder,
        )
        yield from _cut(job, waveforms) if _may_be_cut(job) else (job,)


def _may_be_cut(job: DecodeJob) -> bool:
    pictures = job.streams.get(job.frame_stream, "") if job.frame_formats else ""
    sound = job.streams.get(job.audio_stream, "") if job.waveform else ""
    is_jumpable = not pictures or PurePath(pictures).suffix.lower() in _JUMPABLE_SUFFIXES
    return is_jumpable and is_local(pictures) and is_local(sound)


def _cut(job: DecodeJob, waveforms: Sequence[WaveformFormat]) -> Iterator[DecodeJob]:
    """Cut a job where it gets too long, or too large."""
    picture_bytes = sum(
        math.prod(each.picture_shape) * np.dtype(each.dtype).itemsize for each in job.frame_formats
    )
    sound_bytes = sum(
        round(job.clip_seconds * each.sample_rate) * each.num_channels * 2 for each in waveforms
    )
    clips: list[ClipRequest] = []
    seconds = num_bytes = 0.0
    for clip in job.clips:
        seconds += clip.duration_seconds
        num_bytes += len(clip.instants) * picture_bytes + sound_bytes
        if clips and (seconds > _JOB_SECONDS + _TOLERANCE_SECONDS or num_bytes > _JOB_BYTES):
            yield replace(job, clips=tuple(clips))
            clips, seconds = [], clip.duration_seconds
            num_bytes = len(clip.instants) * picture_bytes + sound_bytes
        clips.append(clip)
    yield replace(job, clips=tuple(clips))


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
