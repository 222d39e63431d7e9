"""When the streams of a file end: by what it declares, and by its packets."""

from pathlib import Path

from av.container import InputContainer
from av.stream import Stream

from avkd.stages.media.container import (
    audio_stream,
    open_container,
    readable_packets,
    video_stream,
    zero_seconds,
)

_HEAD_BYTES = 1 << 16
# Programs that write into a pipe, or died, leave a size near the largest there is.
_ENDLESS = 0x7FFF_0000


def declared_end_seconds(container: InputContainer, stream: Stream) -> float | None:
    """When the stream ends on the recording's clock, if the container says so for the stream."""
    riff = declared_riff_seconds(container, stream)
    # FFmpeg gives a track of Matroska that has no duration that of the file.
    told = riff if riff is not None else _tagged_duration_seconds(stream)
    if told is not None:
        return told
    if stream.duration is not None and stream.time_base is not None:
        end = (stream.start_time or 0) + stream.duration
        return float(end * stream.time_base) - zero_seconds(container)
    return None


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
            start, index = packet.pts, packet.stream.index
            unit = float(packet.time_base or 0)
            begin = ends[index] if start is None else start * unit
            ends[index] = max(ends[index], begin + (packet.duration or 0) * unit)
        return max(ends.values(), default=0.0) - zero_seconds(container)


def declared_riff_seconds(container: InputContainer, stream: Stream) -> float | None:
    """When a stream of a WAV or AVI file that lacks its end was to end; None for all others.

    Of these FFmpeg tells how long they are, not how long they were.
    """
    if container.format.name not in ("wav", "avi") or stream.time_base is None:
        return None
    path = Path(container.name)
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    num_bytes = path.stat().st_size
    if head[:4] != b"RIFF" or not num_bytes < _size_at(head, 4) + 8 < _ENDLESS:
        return None
    if container.format.name == "avi":
        # Of AVI, FFmpeg keeps the declared length as the number of frames, in the stream's unit.
        return float(stream.frames * stream.time_base) or None
    data = head.find(b"data")
    num_present = num_bytes - data - 8
    if data < 0 or num_present <= 0 or stream.duration is None:
        return None
    return float(stream.duration * stream.time_base) * _size_at(head, data + 4) / num_present


def _size_at(head: bytes, place: int) -> int:
    return int.from_bytes(head[place : place + 4], "little")
