"""The clips of one decode job, one after the other."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from typing import TypeVar, cast

import numpy as np

from avkd.errors import MediaError
from avkd.stages.media.audio import SoundReader, open_sound
from avkd.stages.media.frames import FrameReader, read_pictures
from avkd.stages.media.kept_reader import lend_frames
from avkd.stages.media.limits import lack_of_memory
from avkd.stages.media.local_files import is_local, local_file
from avkd.stages.media.unreadable import in_a_line
from avkd.stages.media.wire import ClipRequest, DecodeJob
from avkd.stages.types import DecodedClip, DecodedSound, RowStatus, WaveformFormat

_T = TypeVar("_T")


def decode_clips(job: DecodeJob) -> Iterator[DecodedClip]:
    """Decode the clips of a job in order; what fails is told in the clip, not raised."""
    with ExitStack() as opened:
        files = _Files(job.streams, opened)
        pictures = sound = None
        if job.frame_formats:
            pixels = job.frame_formats[0].pixels
            pictures = _or_error(
                lambda: files.open(
                    job.frame_stream,
                    "no_video",
                    lambda path, is_own: lend_frames(
                        path, pixels, job.decoder, *_span(job.clips), may_keep=is_own
                    ),
                )
            )
        if job.waveform:
            sound = _or_error(
                lambda: files.open(job.audio_stream, "no_audio", lambda path, _: open_sound(path))
            )
        for clip in job.clips:
            decoded = DecodedClip(clip_id=clip.clip_id)
            if pictures is not None:
                decoded = _with_pictures(decoded, pictures, clip, job)
            if sound is not None:
                decoded = _with_sound(decoded, sound, clip, job)
            yield decoded


def _span(clips: Sequence[ClipRequest]) -> tuple[float, float]:
    """When the first of some clips begins and the last ends."""
    if not clips:
        return 0.0, 0.0
    return clips[0].start_seconds, clips[-1].start_seconds + clips[-1].duration_seconds


class _Files:
    """The streams of a recording, each file fetched once."""

    def __init__(self, streams: Mapping[str, str], opened: ExitStack) -> None:
        self._streams = streams
        self._opened = opened
        self._paths: dict[str, str] = {}

    def open(
        self,
        stream: str,
        missing: RowStatus,
        open_reader: Callable[[str, bool], AbstractContextManager[_T]],
    ) -> _T:
        uri = self._streams.get(stream)
        if uri is None:
            raise MediaError(missing, f"the corpus names no {stream!r} stream of this recording")
        if uri not in self._paths:
            self._paths[uri] = self._opened.enter_context(local_file(uri))
        # A copy is gone with the job.
        is_own = is_local(uri)
        return self._opened.enter_context(open_reader(self._paths[uri], is_own))


def _or_error(read: Callable[[], _T]) -> _T | MediaError:
    try:
        return read()
    except MediaError as error:
        return error
    except MemoryError:
        return MediaError("decode_error", lack_of_memory())
    # A decoder may raise anything on a hostile file: it costs the clip, not the job.
    except Exception as error:
        return MediaError("decode_error", in_a_line(error))


def _with_pictures(
    decoded: DecodedClip, reader: FrameReader | MediaError, clip: ClipRequest, job: DecodeJob
) -> DecodedClip:
    if isinstance(reader, MediaError):
        return replace(decoded, frames_status=_status(reader), frames_reason=reader.reason)
    end_seconds = clip.start_seconds + clip.duration_seconds
    read = _or_error(
        lambda: read_pictures(reader, clip.instants, job.frame_formats, until_seconds=end_seconds)
    )
    if isinstance(read, MediaError):
        return replace(decoded, frames_status=_status(read), frames_reason=read.reason)
    if read.num_frames == 0:
        return replace(decoded, frames_status="too_short", frames_reason=read.damage)
    return replace(
        decoded,
        frames_status="partial" if read.damage else "ok",
        frames_reason=read.damage,
        frames=read.frames,
        num_frames=read.num_frames,
    )


def _with_sound(
    decoded: DecodedClip, reader: SoundReader | MediaError, clip: ClipRequest, job: DecodeJob
) -> DecodedClip:
    assert job.waveform is not None, "there is no reader without a format"
    if isinstance(reader, MediaError):
        return replace(decoded, waveform_status=_status(reader), waveform_reason=reader.reason)
    first = _read_sound(reader, clip, job.waveform, job.clip_seconds)
    # Each format is read anew: where a reading begins follows from its rate, and a decoder's last
    # bits from where it began. Samples of one must not depend on who else listens.
    more = {each: _read_sound(reader, clip, each, job.clip_seconds) for each in job.more_waveforms}
    return replace(
        decoded,
        waveform_status=first.status,
        waveform_reason=first.reason,
        waveform=first.waveform,
        more_sound=more,
    )


def _read_sound(
    reader: SoundReader, clip: ClipRequest, waveform_format: WaveformFormat, clip_seconds: float
) -> DecodedSound:
    """The sound of a clip, laid into a full one."""
    read = _or_error(
        lambda: reader.read(clip.start_seconds, clip.duration_seconds, waveform_format)
    )
    if isinstance(read, MediaError):
        return DecodedSound(status=_status(read), reason=read.reason)
    if read.is_lost:
        return DecodedSound(status="too_short", reason=read.damage)
    num_samples = round(clip_seconds * waveform_format.sample_rate)
    waveform = np.zeros((len(read.waveform), num_samples), dtype=np.int16)
    kept = read.waveform[:, :num_samples]
    waveform[:, : kept.shape[1]] = kept
    return DecodedSound(
        status="partial" if read.damage else "ok", reason=read.damage, waveform=waveform
    )


def _status(error: MediaError) -> RowStatus:
    return cast(RowStatus, error.status)
