"""Media files opened with care, and the one clock that all their streams are read on.

The clock starts at the recording's first presented instant: a transport stream that starts at
1.4 s starts at 0 here, and sound that starts 0.5 s after the pictures starts at 0.5.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import av
from av.container import InputContainer
from av.error import ArgumentError, FFmpegError, InvalidDataError
from av.stream import Disposition, Stream

from avkd.errors import MediaError
from avkd.stages.media.limits import lack_of_memory, limits_in_force
from avkd.stages.media.progress import note_progress
from avkd.stages.media.unreadable import refuse_special_file, shown, tell_what_it_is

# Files that name other files (playlists, ffconcat, image sequences, SDP) are not on the list: a
# corpus must not be able to make a worker read something else. FFmpeg looks at content, not suffix.
_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,h264,hevc,m4v,ivf,flv,asf,"
    "ogg,wav,w64,flac,mp3,aac,ac3,eac3,aiff,caf,au,amr,mxf,nut,gif,dv,gxf,rm"
)
_OPTIONS = {"protocol_whitelist": "file", "format_whitelist": _FORMATS}

# Opus and AAC start a few hundredths before zero with samples that are never presented.
_LONGEST_CODEC_DELAY_SECONDS = 0.1


@contextmanager
def open_container(path: str) -> Iterator[InputContainer]:
    """Open a local file for reading; what it holds must be one of the known media formats.

    Raises:
        MediaError: ``decode_error``, also for what FFmpeg raises inside the ``with``.
    """
    refuse_special_file(path)
    with ffmpeg_errors(path), _open(path) as container:
        yield container


def _open(path: str) -> InputContainer:
    try:
        # Absolute, because a relative name with a colon would be taken for a protocol.
        return av.open(str(Path(path).absolute()), options=_OPTIONS, metadata_errors="ignore")
    except (InvalidDataError, ArgumentError) as error:
        what = tell_what_it_is(path) or str(error.strerror)
        raise MediaError("decode_error", f"{shown(path)}: {what}") from error


@contextmanager
def ffmpeg_errors(path: str) -> Iterator[None]:
    """Turn what FFmpeg raises into a MediaError that names the file in one line."""
    try:
        yield
    except MemoryError as error:
        raise MediaError("decode_error", f"{shown(path)}: {lack_of_memory()}") from error
    except (FFmpegError, EOFError, OSError, ValueError) as error:
        what = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise MediaError("decode_error", f"{shown(path)}: {what.splitlines()[0]}") from error


def video_stream(container: InputContainer) -> av.VideoStream | None:
    """The stream a player would show; a cover picture is none."""
    stream = container.streams.best("video")
    if not isinstance(stream, av.VideoStream) or stream.disposition & Disposition.attached_pic:
        return None
    # Without a decoder in this build of FFmpeg there is no picture either.
    return stream if stream.codec_context is not None else None


def refuse_large_pictures(path: str, width: int, height: int) -> None:
    """Refuse pictures that are larger than the limit, before room is made for one.

    Raises:
        MediaError: ``decode_error``.
    """
    num_pixels = limits_in_force().num_pixels
    if width * height > num_pixels:
        raise MediaError(
            "decode_error",
            f"{shown(path)}: pictures of {width} x {height} are over the limit of "
            f"{num_pixels} pixels",
        )


def audio_stream(container: InputContainer) -> av.AudioStream | None:
    """The stream a player would play."""
    stream = container.streams.best("audio")
    if not isinstance(stream, av.AudioStream) or stream.codec_context is None:
        return None
    return stream


def zero_seconds(container: InputContainer) -> float:
    """Where the recording's clock starts, in the container's own time."""
    start = (container.start_time or 0) / av.time_base
    return 0.0 if -_LONGEST_CODEC_DELAY_SECONDS < start < 0 else start


def readable_packets(
    container: InputContainer, streams: Iterable[Stream]
) -> Iterator["av.Packet[Stream]"]:
    """The packets up to the end or to where the file breaks off, the empty flushing one as well.

    Without ``streams``, those of all streams.
    """
    packets = container.demux(*streams)
    while True:
        try:
            packet = next(packets)
        except MemoryError:
            raise
        except (StopIteration, FFmpegError, EOFError, OSError):
            return
        note_progress()
        yield packet
