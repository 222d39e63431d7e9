"""Pictures by PyAV, front to back: the reader that every other one is held to."""

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from heapq import heappop, heappush

import av
import numpy as np
from av.error import FFmpegError
from av.video.reformatter import VideoReformatter

from avkd.errors import MediaError
from avkd.stages.media.container import (
    ffmpeg_errors,
    open_container,
    readable_packets,
    video_stream,
    zero_seconds,
)
from avkd.stages.media.sampling import END_TOLERANCE_SECONDS, SAME_INSTANT_SECONDS
from avkd.stages.types import Pictures, Pixels

# Longer than most groups of pictures: a jump shorter than that decodes more, not less.
_SEEK_AHEAD_SECONDS = 10.0
# Where a jump lands late, or behind the end of a file that breaks off, a longer one is tried.
_SEEK_MARGINS_SECONDS = (0.0, 2.0, 15.0, 120.0, 900.0)
# Elsewhere pictures carry no time of their own, or a jump is a guess.
_SEEKABLE_FORMATS = ("mov", "matroska", "mpegts", "mpeg")
# The most pictures that H.264 may hold back to put them in order.
_LONGEST_REORDER = 16
GRAY16_FORMATS = ("gray16le", "gray16be")
"""Fewer bits would be spread by a factor that a range in the file's own units does not know."""

_TimedFrame = tuple[float, av.VideoFrame]


class PyavReader:
    """Pictures of any file that FFmpeg decodes; see ``frames.FrameReader``."""

    def __init__(self, path: str, pixels: Pixels = "rgb24") -> None:
        """Open the file and decode its first picture.

        Raises:
            MediaError: ``no_video``, or ``decode_error``, also where ``gray16`` is asked for and
                the file has other pictures.
        """
        self._path = path
        self._pixels = pixels
        self._num_damaged = 0
        self._reformatter = VideoReformatter()
        self._converted: tuple[av.VideoFrame, Pictures] | None = None
        self._closing = ExitStack()
        self._open()
        self._seekable = self._container.format.name.startswith(_SEEKABLE_FORMATS)
        if self._shown is None:
            self.close()
            raise MediaError("decode_error", f"{path}: no picture can be decoded")
        if pixels == "gray16" and self._shown[1].format.name not in GRAY16_FORMATS:
            self.close()
            raise MediaError(
                "decode_error",
                f"{path}: pictures are {self._shown[1].format.name}, not 16-bit gray",
            )

    def _open(self) -> None:
        self._container = self._closing.enter_context(open_container(self._path))
        stream = video_stream(self._container)
        if stream is None or stream.time_base is None:
            self.close()
            raise MediaError("no_video", f"{self._path}: no pictures in this file")
        stream.codec_context.thread_count = 1
        self._stream, self._unit = stream, stream.time_base
        self._zero = zero_seconds(self._container)
        self._interval = 1 / float(stream.average_rate or stream.guessed_rate or 25)
        self._start_with(self._timed_frames())

    def _start_with(self, frames: Iterator[_TimedFrame]) -> None:
        self._frames = frames
        self._shown = next(frames, None)
        self._coming = next(frames, None)

    def read(self, instants: Sequence[float]) -> Iterator[Pictures | None]:
        """The picture at each instant, None after the end."""
        for instant in instants:
            with ffmpeg_errors(self._path):
                self._advance(instant)
                picture = self._picture(instant)
            yield picture

    def _advance(self, instant: float) -> None:
        reached = self._coming or self._shown
        if self._seekable and reached and instant - reached[0] > _SEEK_AHEAD_SECONDS:
            self._seek(instant)
        while self._coming and self._coming[0] <= instant + SAME_INSTANT_SECONDS:
            self._interval = self._coming[0] - self._shown[0] if self._shown else self._interval
            self._shown = self._coming
            self._coming = next(self._frames, None)

    def _seek(self, instant: float) -> None:
        for margin in _SEEK_MARGINS_SECONDS:
            target = max(0.0, instant - margin) + self._zero
            with suppress(FFmpegError):
                self._container.seek(int(target / self._unit), stream=self._stream)
                self._start_with(self._timed_frames(after_seek=True))
                if self._shown and self._shown[0] <= instant + SAME_INSTANT_SECONDS:
                    return
        self._seekable = False
        self._closing.close()
        self._open()

    def _picture(self, instant: float) -> Pictures | None:
        end = self.end_seconds()
        if self._shown is None or (end is not None and instant > end + END_TOLERANCE_SECONDS):
            return None
        frame = self._shown[1]
        if self._converted is None or self._converted[0] is not frame:
            self._converted = frame, self._upright(frame)
        return self._converted[1]

    def _upright(self, frame: av.VideoFrame) -> Pictures:
        num_quarter_turns = round(frame.rotation / 90) % 4
        if self._pixels == "gray16":
            gray = self._reformatter.reformat(frame, format="gray16le").to_ndarray()[..., None]
            return np.ascontiguousarray(np.rot90(gray, num_quarter_turns)).astype(np.uint16)
        rgb = self._reformatter.reformat(frame, format="rgb24").to_ndarray()
        return np.ascontiguousarray(np.rot90(rgb, num_quarter_turns)).astype(np.uint8, copy=False)

    def end_seconds(self) -> float | None:
        """When the last picture leaves the screen, once it was decoded."""
        if self._coming is not None or self._shown is None:
            return None
        time, frame = self._shown
        return time + max(float(frame.duration * self._unit), self._interval)

    def num_damaged(self) -> int:
        """Packets that could not be decoded and pictures that FFmpeg had to make up in part."""
        return self._num_damaged

    def close(self) -> None:
        """Let go of the file."""
        self._closing.close()

    def _timed_frames(self, *, after_seek: bool = False) -> Iterator[_TimedFrame]:
        frames = self._decoded_frames(after_seek=after_seek)
        if self._container.format.name == "avi":
            yield from _stamped_in_order(frames, float(self._unit))
            return
        time = -self._interval
        for frame in frames:
            if frame.pts is None:
                time += self._interval
            else:
                time = float(frame.pts * self._unit) - self._zero
            yield time, frame

    def _decoded_frames(self, *, after_seek: bool) -> Iterator[av.VideoFrame]:
        # Pictures that come before the first key picture after a jump lean on what was jumped over.
        waiting = after_seek
        for frame in self._all_frames():
            waiting = waiting and not frame.key_frame
            if not waiting:
                self._num_damaged += frame.is_corrupt
                yield frame

    def _all_frames(self) -> Iterator[av.VideoFrame]:
        for packet in readable_packets(self._container, [self._stream]):
            try:
                yield from self._stream.decode(packet)
            except FFmpegError:
                self._num_damaged += 1
        # A file that breaks off brings no flushing packet: ask for what the decoder held back.
        with suppress(FFmpegError, EOFError):
            yield from self._stream.codec_context.decode(None)


def _stamped_in_order(frames: Iterator[av.VideoFrame], unit: float) -> Iterator[_TimedFrame]:
    """AVI keeps the order of decoding only: its times are right as a set, not one by one."""
    waiting: deque[av.VideoFrame] = deque()
    stamps: list[int] = []
    first: int | None = None
    for frame in frames:
        waiting.append(frame)
        heappush(stamps, frame.pts or 0)
        if len(waiting) > _LONGEST_REORDER:
            first = stamps[0] if first is None else first
            yield (heappop(stamps) - first) * unit, waiting.popleft()
    for frame in waiting:
        first = stamps[0] if first is None else first
        yield (heappop(stamps) - first) * unit, frame
