"""When the pictures of a file end, held against when the file says that they do."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet

from avkd.stages.media.container import (
    open_container,
    readable_packets,
    video_stream,
    zero_seconds,
)
from avkd.stages.media.lengths import declared_end_seconds, measured_end_seconds
from avkd.stages.media.probe import describe
from avkd.stages.media.sampling import MISSING_TOLERANCE_SECONDS

# Nearer ones are walked to: a jump costs a search in the file.
_JUMP_SECONDS = 10.0
_JUMP_MARGIN_SECONDS = 2.0
_JUMPABLE_FORMATS = ("mov", "matroska")


@dataclass(frozen=True, kw_only=True)
class DeclaredPictures:
    """What a container says of its pictures."""

    end_seconds: float | None
    """None where it says nothing of them by themselves."""
    recording_seconds: float
    """0 where it says nothing at all."""
    interval_seconds: float


def declared_pictures(container: InputContainer, stream: av.VideoStream) -> DeclaredPictures:
    """Note what an open container says of the pictures in one of its streams."""
    recording = describe(container).duration_seconds
    end = declared_end_seconds(container, stream)
    return DeclaredPictures(
        end_seconds=min(end, recording) if end is not None and recording else end,
        recording_seconds=recording,
        interval_seconds=1 / float(stream.average_rate or 25),
    )


class PictureEnd:
    """Walks ahead in a file from packet to packet and decodes none; asked in the order of time."""

    def __init__(
        self, path: str, declared: DeclaredPictures, known_end_seconds: float | None = None
    ) -> None:
        """Look at the pictures of ``path``, whose end may be known already."""
        self._path = path
        self._declared = declared
        self._is_known = known_end_seconds is not None
        self._end = known_end_seconds or 0.0
        self._closing = ExitStack()
        self._packets: Iterator[Packet[Any]] | None = None

    def shortfall(self, until_seconds: float) -> str:
        """What of the pictures until then is declared and not there, in words; empty: nothing."""
        declared, whole = self._declared.end_seconds, self._declared.recording_seconds
        wanted = min(until_seconds, whole if declared is None else declared)
        wanted -= MISSING_TOLERANCE_SECONDS + self._declared.interval_seconds
        if wanted <= self._end or self._reaches(wanted):
            return ""
        if declared is None and not self._broke_off():
            return ""
        told = whole if declared is None else declared
        return f"pictures end at {self._end:.2f} s, the file declares {told:.2f} s"

    def if_before(self, seconds: float) -> float | None:
        """When the last picture there is ends, if that is before a time; else None."""
        return None if self._end >= seconds or self._reaches(seconds) else self._end

    def _broke_off(self) -> bool:
        """Whether all ends early: pictures alone may end before the sound does."""
        end = self._declared.recording_seconds - MISSING_TOLERANCE_SECONDS
        return measured_end_seconds(self._path) < end

    def close(self) -> None:
        """Let go of the file."""
        self._closing.close()

    def _open(self) -> None:
        self._closing.close()
        container = self._closing.enter_context(open_container(self._path))
        stream = video_stream(container)
        assert stream is not None, "a reader found pictures"
        self._container: InputContainer = container
        self._stream = stream
        self._unit = float(stream.time_base or 0)
        self._zero = zero_seconds(container)
        self._is_jumpable = container.format.name.startswith(_JUMPABLE_FORMATS)
        self._packets = readable_packets(container, [stream])

    def _reaches(self, seconds: float) -> bool:
        if self._is_known:
            return False
        if self._packets is None:
            self._open()
        if self._is_jumpable and seconds - self._end > _JUMP_SECONDS:
            if self._walk_to(seconds, self._jump_to(seconds)):
                return True
            # A jump behind the end of a file that broke off finds nothing.
            self._open()
        assert self._packets is not None, "it was opened"
        self._is_known = not self._walk_to(seconds, self._packets)
        return not self._is_known

    def _jump_to(self, seconds: float) -> "Iterator[Packet[Any]]":
        target = max(0.0, seconds - _JUMP_MARGIN_SECONDS) + self._zero
        try:
            self._container.seek(int(target / self._unit), stream=self._stream)
        except FFmpegError:
            return iter(())
        self._packets = readable_packets(self._container, [self._stream])
        return self._packets

    def _walk_to(self, seconds: float, packets: "Iterator[Packet[Any]]") -> bool:
        last: float | None = None
        for packet in packets:
            if packet.pts is None or not packet.size or packet.is_discard:
                continue
            begin = packet.pts * self._unit - self._zero
            gap = 0.0 if last is None else begin - last
            self._end = max(self._end, begin + max((packet.duration or 0) * self._unit, gap))
            last = begin
            if self._end >= seconds:
                return True
        return False
