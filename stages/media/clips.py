"""The clips of one decode job, one after the other."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from typing import TypeVar, cast

import numpy as np

from avkd.errors import MediaError
from avkd.stages.media.audio import SoundReader, open_sound
from avkd.stages.media.container import open_container, video_stream
from avkd.stages.media.frames import FrameReader, open_frames, read_pictures
from avkd.stages.media.local_files import local_file
from avkd.stages.media.pyav_reader import GRAY16_FORMATS
from avkd.stages.media.wire import ClipRequest, DecodeJob
from avkd.stages.types import DecodedClip, Pixels, RowStatus

_T = TypeVar("_T")


def decode_clips(job: DecodeJob) -> Iterator[DecodedClip]:
    """Decode the clips of a job in order; what fails is told in the clip, not raised."""
    with ExitStack() as opened:
        files = _Files(job.streams, opened)
        pictures = sound = None
        if job.frame_formats:
            pixels = job.frame_formats[0].pixels
            pictures = _or_error(
                lambda: files.open(job.frame_stream, "no_video", lambda p: _open(p, pixels))
            )
        if job.waveform:
            sound = _or_error(lambda: files.open(job.audio_stream, "no_audio", open_sound))
        for clip in job.clips:
            decoded = DecodedClip(clip_id=clip.clip_id)
            if pictures is not None:
                decoded = _with_pictures(decoded, pictures, clip, job)
            if sound is not None:
                decoded = _with_sound(decoded, sound, clip, job)
            yield decoded


def _open(path: str, pixels: Pixels) -> AbstractContextManager[FrameReader]:
    """The pictures of a job; where 8 bits are asked for, not the upper ones of 16.

    Heat or depth in its own units is nearly one shade in these.
    """
    if pixels == "rgb24":
        with open_container(path) as container:
            stream = video_stream(container)
            if stream is not None and stream.codec_context.pix_fmt in GRAY16_FORMATS:
                raise MediaError(
                    "decode_error",
                    f"{path}: pictures are 16-bit gray; say which range to show, as "
                    "--stream STREAM:LOW:HIGH",
                )
    return open_frames(path, pixels)


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
        open_reader: Callable[[str], AbstractContextManager[_T]],
    ) -> _T:
        uri = self._streams.get(stream)
        if uri is None:
            raise MediaError(missing, f"the corpus names no {stream!r} stream of this recording")
        if uri not in self._paths:
            self._paths[uri] = self._opened.enter_context(local_file(uri))
        return self._opened.enter_context(open_reader(self._paths[uri]))


def _or_error(read: Callable[[], _T]) -> _T | MediaError:
    try:
        return read()
    except MediaError as error:
        return error
    # A decoder may raise anything on a hostile file: it costs the clip, not the job.
    except Exception as error:
        return MediaError("decode_error", f"{type(error).__name__}: {error}")


def _with_pictures(
    decoded: DecodedClip, reader: FrameReader | MediaError, clip: ClipRequest, job: DecodeJob
) -> DecodedClip:
    if isinstance(reader, MediaError):
        return replace(decoded, frames_status=_status(reader), frames_reason=reader.reason)
    read = _or_error(lambda: read_pictures(reader, clip.instants, job.frame_formats))
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
    waveform_format = job.waveform
    assert waveform_format is not None, "there is no reader without a format"
    if isinstance(reader, MediaError):
        return replace(decoded, waveform_status=_status(reader), waveform_reason=reader.reason)
    read = _or_error(
        lambda: reader.read(clip.start_seconds, clip.duration_seconds, waveform_format)
    )
    if isinstance(read, MediaError):
        return replace(decoded, waveform_status=_status(read), waveform_reason=read.reason)
    if read.is_lost:
        return replace(decoded, waveform_status="too_short", waveform_reason=read.damage)
    num_samples = round(job.clip_seconds * waveform_format.sample_rate)
    waveform = np.zeros((len(read.waveform), num_samples), dtype=np.int16)
    kept = read.waveform[:, :num_samples]
    waveform[:, : kept.shape[1]] = kept
    return replace(
        decoded,
        waveform_status="partial" if read.damage else "ok",
        waveform_reason=read.damage,
        waveform=waveform,
    )


def _status(error: MediaError) -> RowStatus:
    return cast(RowStatus, error.status)
