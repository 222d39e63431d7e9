"""Media files opened with care, and the one clock that all their streams are read on.

The clock starts at the recording's first presented instant: a transport stream that starts at
1.4 s starts at 0 here, and sound that starts 0.5 s after the pictures starts at 0.5.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition, Stream

from avkd.errors import MediaError

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
    if not Path(path).is_file():
        raise MediaError("decode_error", f"{path}: no such file")
    with (
        ffmpeg_errors(path),
        # Absolute, because a relative name with a colon would be taken for a protocol.
        av.open(
            str(Path(path).absolute()), options=_OPTIONS, metadata_errors="ignore"
        ) as container,
    ):
        yield container


@contextmanager
def ffmpeg_errors(path: str) -> Iterator[None]:
    """Turn what FFmpeg raises into a MediaError that names the file in one line."""
    try:
        yield
    except (FFmpegError, EOFError, OSError, ValueError) as error:
        what = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise MediaError("decode_error", f"{path}: {what.splitlines()[0]}") from error


def video_stream(container: InputContainer) -> av.VideoStream | None:
    """The stream a player would show; a cover picture is none."""
    stream = container.streams.best("video")
    if not isinstance(stream, av.VideoStream) or stream.disposition & Disposition.attached_pic:
        return None
    # Without a decoder in this build of FFmpeg there is no picture either.
    return stream if stream.codec_context is not None else None


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


def declared_end_seconds(container: InputContainer, stream: Stream) -> float | None:
    """When the stream ends on the recording's clock, if the container says so for the stream."""
    if stream.duration is not None and stream.time_base is not None:
        end = (stream.start_time or 0) + stream.duration
        return float(end * stream.time_base) - zero_seconds(container)
    return _tagged_duration_seconds(stream)


def _tagged_duration_seconds(stream: Stream) -> float | None:
    # Matroska keeps no duration of a stream; FFmpeg's muxer writes it as a tag, 00:00:10.381000000.
    parts = stream.metadata.get("DURATION", "").split(":")
    try:
        hours, minutes, seconds = (float(part) for part in parts)
    except ValueError:
        return None
    return 3600 * hours + 60 * minutes + seconds


def measured_end_seconds(path: str) -> float:
    """When the last packet of any stream ends on the recording's clock; reads the whole file."""
    with open_container(path) as container:
        streams = [found for found in (video_stream(container), audio_stream(container)) if found]
        ends = {stream.index: zero_seconds(container) for stream in streams}
        for packet in readable_packets(container, streams):
            # Bare streams have no times, only packets one after the other.
            start, index = packet.pts, packet.stream_index
            unit = float(packet.time_base or 0)
            begin = ends[index] if start is None else start * unit
            ends[index] = max(ends[index], begin + (packet.duration or 0) * unit)
        return max(ends.values(), default=0.0) - zero_seconds(container)


def readable_packets(
    container: InputContainer, streams: Iterable[Stream]
) -> Iterator["av.Packet[Stream]"]:
    """The packets up to the end or to where the file breaks off, the empty flushing one as well."""
    packets = container.demux(*streams)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, FFmpegError, EOFError, OSError):
            return
        yield packet
