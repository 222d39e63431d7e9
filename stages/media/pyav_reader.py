"""Pictures of a recording by PyAV, front to back (docs/adr/0007 says why by that).

The reader jumps over what nobody wants. A jump must not show in the pictures: it counts only where
it lands on a whole key picture from which the wanted one is reached, else a longer one is tried,
and in the end the file is read from its start. Pictures that nobody leans on or wants are kept from
the decoder. Where it fails, or gives another one than was to come, all are decoded, and what is
asked for next is read as by a new reader.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from itertools import pairwise
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.error import FFmpegError
from av.packet import Packet
from av.video.reformatter import VideoReformatter

from avkd.errors import MediaError
from avkd.stages.media.container import (
    ffmpeg_errors,
    open_container,
    readable_packets,
    refuse_large_pictures,
    video_stream,
    zero_seconds,
)
from avkd.stages.media.damage import DamageLog, HoleWatch
from avkd.stages.media.decoded_frames import (
    GRAY16_FORMATS,
    TimedFrame,
    stamped_in_order,
    upright,
)
from avkd.stages.media.h264_pictures import PictureOrder
from avkd.stages.media.left_out import LeftOut
from avkd.stages.media.limits import limits_in_force
from avkd.stages.media.picture_end import PictureEnd, declared_pictures
from avkd.stages.media.progress import note_progress
from avkd.stages.media.sampling import END_TOLERANCE_SECONDS, SAME_INSTANT_SECONDS
from avkd.stages.media.unreadable import shown
from avkd.stages.types import Pictures, Pixels

# Longer than most groups of pictures: where no keys are known, a shorter jump would decode more.
_SEEK_AHEAD_SECONDS = 10.0
# What a jump costs: a search in the file, and pictures that a decoder holds back.
_LEAST_JUMP_SECONDS = 0.5
# Where a jump lands late, or behind the end of a file that breaks off, a longer one is tried.
_SEEK_MARGINS_SECONDS = (0.0, 2.0, 15.0, 120.0, 900.0)
# Elsewhere pictures carry no time of their own, or a jump is a guess; in MPEG program streams times
# are right only where every picture before was read.
_SEEKABLE_FORMATS = ("mov", "matroska", "mpegts")
# Of the container's units.
_TIME_STEP = 1e-3


class PyavReader:
    """An open recording that is asked for pictures in the order of time."""

    def __init__(
        self,
        path: str,
        pixels: Pixels = "rgb24",
        keys: npt.NDArray[np.float64] | None = None,
        order: PictureOrder | None = None,
    ) -> None:
        """Open the file and decode its first picture.

        Args:
            path: of the file.
            pixels: to give.
            keys: when there are key pictures to jump to, ascending; without them only long ways
                are jumped over.
            order: of the pictures, so that some need not be decoded; without it all are.

        Raises:
            MediaError: ``no_video``, or ``decode_error``, also where ``gray16`` is asked for and
                the file has other pictures.
        """
        self._path = path
        self._pixels = pixels
        self._keys = keys
        self._takes_short_jumps = True
        self._left_out: LeftOut | None = None
        self._leaves_out = order is not None
        self._is_settled = False
        self._failure: Exception | None = None
        self._damage = DamageLog()
        self._damage_given_up = DamageLog()
        self._reformatter = VideoReformatter()
        self._converted: tuple[av.VideoFrame, Pictures] | None = None
        self._closing = ExitStack()
        self._open()
        if self._shown is None and self._leaves_out:
            self._leaves_out = False
            self._begin_anew()
        if order is not None:
            self._left_out = LeftOut(order, self._unit, self._zero)
        self._seekable = self._is_seekable_format()
        if self._shown is None:
            self.close()
            raise MediaError("decode_error", f"{shown(path)}: no picture can be decoded")
        if pixels == "gray16" and self._shown[1].format.name not in GRAY16_FORMATS:
            self.close()
            raise MediaError(
                "decode_error",
                f"{shown(path)}: pictures are {self._shown[1].format.name}, not 16-bit gray",
            )

    def _open(self) -> None:
        self._container = self._closing.enter_context(open_container(self._path))
        stream = video_stream(self._container)
        if stream is None or stream.time_base is None:
            self.close()
            raise MediaError("no_video", f"{shown(self._path)}: no pictures in this file")
        context = stream.codec_context
        refuse_large_pictures(self._path, context.width, context.height)
        # FFmpeg keeps to it where pictures grow on the way, before it makes room for them.
        context.options = {"max_pixels": str(limits_in_force().num_pixels)}
        if self._leaves_out:
            # What is made up for broken pictures depends on all those before: it must not be.
            context.options |= {"err_detect": "explode"}
        context.thread_count = 1
        self._stream, self._unit = stream, stream.time_base
        self._zero = zero_seconds(self._container)
        self._declared_interval = 1 / float(stream.average_rate or stream.guessed_rate or 25)
        self._interval = self._declared_interval
        self._picture_end = PictureEnd(self._path, declared_pictures(self._container, stream))
        self._closing.callback(self._picture_end.close)
        self._start_with(self._timed_frames())

    def _start_with(self, frames: Iterator[TimedFrame]) -> None:
        self._frames = frames
        self._shown = next(frames, None)
        self._coming = next(frames, None)

    def read(self, instants: Sequence[float], *, anew: bool = False) -> Iterator[Pictures | None]:
        """The native upright picture (h, w, channels) on screen at each ascending instant.

        None where the recording has ended. A picture that repeats is the same object. ``anew``
        reads as if nothing had been read before, without short jumps, and leaves nothing out.

        Raises:
            ValueError: an instant lies before the one before it.
        """
        if any(later < earlier for earlier, later in pairwise(instants)):
            raise ValueError(f"instants {list(instants)} do not ascend; sort them")
        self._takes_short_jumps = not anew
        if self._left_out is not None:
            self._left_out.ask(instants)
        # What was damaged before must not show, nor that all had to be decoded for it.
        if anew or self._is_spoilt():
            self._read_again(leaves_out=self._left_out is not None and not anew)
        # A jump may lead past what failed, as it leads a new reader.
        elif self._failure is not None and self._seekable:
            self._begin_anew()
        self._damage_given_up = DamageLog()
        # Where no jump lands, a new reader comes by all that is damaged as well.
        self._is_settled = anew or (self._left_out is None and not self._seekable)
        for instant in instants:
            self._advance_or_fail(instant)
            with ffmpeg_errors(self._path):
                picture = self._picture(instant)
            yield picture

    def _begin_anew(self) -> None:
        self._closing.close()
        self._open()
        self._failure = None

    def _advance_or_fail(self, instant: float) -> None:
        # Decoding that broke off is over: what came after would look like the file's end.
        if self._failure is not None:
            raise self._failure
        try:
            with ffmpeg_errors(self._path):
                self._advance(instant)
                self._hold_against_order(instant)
        except Exception as error:
            self._failure = error
            raise

    def _advance(self, instant: float) -> None:
        reached = self._reached_seconds()
        if self._seekable and reached is not None:
            key = self._key_between(reached, instant)
            is_far = instant - reached > _SEEK_AHEAD_SECONDS
            if is_far or key is not None or self._is_over(instant):
                self._seek(instant, key)
        while self._coming and self._coming[0] <= instant + SAME_INSTANT_SECONDS:
            self._interval = self._coming[0] - self._shown[0] if self._shown else self._interval
            self._shown = self._coming
            self._coming = next(self._frames, None)

    def _reached_seconds(self) -> float | None:
        """When the next picture appears, whether it is decoded or left out."""
        if self._coming and self._shown and self._left_out is not None:
            after = self._left_out.seconds_after(self._shown[1].pts)
            return self._coming[0] if after is None else after
        reached = self._coming or self._shown
        return reached[0] if reached else None

    def _hold_against_order(self, instant: float) -> None:
        """Read again if a picture is broken or not the one that was to come, if need be all.

        First as a new reader would, which does not see what was on the way here.
        """
        for leaves_out in (True, False) if self._left_out is not None else (False,):
            if self._is_settled or self._is_right(instant):
                return
            self._read_again(leaves_out=leaves_out)
            self._advance(instant)
        self._is_settled = self._left_out is not None or not self._is_right(instant)

    def _is_spoilt(self) -> bool:
        if self._left_out is None:
            return self._seekable and self._damage.has_any()
        return not self._leaves_out or self._damage.has_any()

    def _is_right(self, instant: float) -> bool:
        if self._damage.has_any():
            return False
        return self._left_out is None or self._left_out.is_at(instant, self._shown)

    def _read_again(self, *, leaves_out: bool) -> None:
        self._damage_given_up.take_in(self._damage)
        self._damage = DamageLog()
        self._leaves_out = leaves_out
        self._seekable = self._is_seekable_format()
        self._begin_anew()

    def _is_seekable_format(self) -> bool:
        return self._container.format.name.startswith(_SEEKABLE_FORMATS)

    def _key_between(self, reached: float, instant: float) -> float | None:
        """The last key picture on the way to an instant, if it pays to jump there."""
        if self._keys is None or not self._takes_short_jumps:
            return None
        place = np.searchsorted(self._keys, instant, side="right") - 1
        if place < 0 or self._keys[place] - reached <= _LEAST_JUMP_SECONDS:
            return None
        return float(self._keys[place])

    def _is_over(self, instant: float) -> bool:
        """Whether reading came to its end, which a jump may find is not the end of the file."""
        end = self.end_seconds()
        return end is not None and instant > end + END_TOLERANCE_SECONDS

    def _seek(self, instant: float, key: float | None) -> None:
        if key is not None and self._lands(key, instant):
            return
        if self._lands_before(instant, instant):
            return
        # An index may tell of pictures that are not there: what there is, is found by its packets.
        end = self._picture_end.if_before(instant)
        is_near_end = end is not None and self._lands_before(end, instant)
        # From here, or from the start, it is read on.
        self._seekable = False
        if not is_near_end:
            self._begin_anew()

    def _lands_before(self, end: float, instant: float) -> bool:
        """Jump to before a time, further back each time that it fails."""
        for margin in _SEEK_MARGINS_SECONDS:
            if self._lands(max(0.0, end - margin), instant):
                return True
            if end <= margin:
                break
        return False

    def _lands(self, target: float, instant: float) -> bool:
        """Jump to before a target; gives whether an instant is reached from there as from afar."""
        log, self._damage = self._damage, DamageLog()
        try:
            is_whole = self._jump(target, instant) and not self._damage.has_any()
            if is_whole and self._leaves_out:
                # What was damaged before does not reach here, and is no reason to decode all.
                self._damage_given_up.take_in(log)
                log = DamageLog()
            if is_whole:
                log.take_in(self._damage)
            return is_whole
        finally:
            # What a decoder complains of where it was dropped says nothing of the file.
            self._damage = log

    def _jump(self, target: float, instant: float) -> bool:
        # A little more, for what becomes of a time of the file in seconds and back.
        time = math.floor(float((target + self._zero) / self._unit) + _TIME_STEP)
        try:
            self._container.seek(time, stream=self._stream)
            self._start_with(self._timed_frames(after_seek=True))
        except FFmpegError:
            return False
        # How long the last picture of a file is shown follows from the one before it.
        if self._shown is None or self._coming is None:
            return False
        return self._shown[0] <= instant + SAME_INSTANT_SECONDS and not self._shown[1].is_corrupt

    def _picture(self, instant: float) -> Pictures | None:
        end = self.end_seconds()
        if self._shown is None or (end is not None and instant > end + END_TOLERANCE_SECONDS):
            return None
        frame = self._shown[1]
        if self._converted is None or self._converted[0] is not frame:
            self._converted = frame, upright(frame, self._pixels, self._reformatter)
        return self._converted[1]

    def end_seconds(self) -> float | None:
        """When the last picture leaves the screen, once it was decoded."""
        if self._coming is not None or self._shown is None:
            return None
        time, frame = self._shown
        return time + max(float(frame.duration * self._unit), self._interval)

    def num_damaged(self, first_seconds: float, last_seconds: float) -> int:
        """Packets not to be decoded, or lost, and pictures that FFmpeg had to make up in part."""
        self._damage.take_in(self._damage_given_up)
        return self._damage.count(first_seconds, last_seconds)

    def shortfall(self, until_seconds: float) -> str:
        """What of the pictures until then the file declares and lacks, in words."""
        return self._picture_end.shortfall(until_seconds)

    def close(self) -> None:
        """Let go of the file."""
        self._closing.close()

    def _timed_frames(self, *, after_seek: bool = False) -> Iterator[TimedFrame]:
        frames = self._decoded_frames(after_seek=after_seek)
        if self._container.format.name == "avi":
            yield from stamped_in_order(frames, float(self._unit))
            return
        # After a jump, a picture without a time is nowhere until one with a time was seen.
        time = None if after_seek else -self._interval
        for frame in frames:
            if frame.pts is not None:
                time = self._seconds(frame.pts)
            elif time is not None:
                time += self._interval
            if time is not None:
                yield time, frame

    def _decoded_frames(self, *, after_seek: bool) -> Iterator[av.VideoFrame]:
        # Pictures that come before the first key picture after a jump lean on what was jumped over.
        waiting = after_seek
        for frame in self._all_frames(after_seek=after_seek):
            waiting = waiting and not frame.key_frame
            if not waiting:
                self._note(frame)
                yield frame

    def _note(self, frame: av.VideoFrame) -> None:
        note_progress()
        seconds = self._seconds(frame.pts or 0)
        if frame.key_frame:
            self._damage.note_key(seconds)
        if frame.is_corrupt:
            self._damage.note(seconds)

    def _seconds(self, pts: int) -> float:
        return float(pts * self._unit) - self._zero

    def _all_frames(self, *, after_seek: bool) -> Iterator[av.VideoFrame]:
        # After a jump, nobody knows what lies before its first packet.
        seconds = None if after_seek else 0.0
        for packet, is_after_hole in self._packets():
            if is_after_hole and seconds is not None:
                self._damage.note(self._loss_before(packet, seconds))
            seconds = seconds if packet.pts is None else self._seconds(packet.pts)
            if self._leaves_out and self._left_out and self._left_out.may_lack(packet.pts):
                continue
            try:
                yield from self._stream.decode(packet)
            except MemoryError:
                raise
            except FFmpegError:
                context = self._stream.codec_context
                refuse_large_pictures(self._path, context.width, context.height)
                self._damage.note(seconds or 0.0)
        # A file that breaks off brings no flushing packet: ask for what the decoder held back.
        with suppress(FFmpegError, EOFError):
            yield from self._stream.codec_context.decode(None)

    def _loss_before(self, packet: "Packet[Any]", last_seconds: float) -> float:
        """When the pictures of a hole were, the last packet before it having been then."""
        # What is missing began after the packet before, and spoils no key picture after it.
        begin = last_seconds + self._declared_interval
        key = self._seconds(packet.pts) if packet.is_keyframe and packet.pts is not None else begin
        return min(begin, (last_seconds + key) / 2) if key > last_seconds else begin

    def _packets(self) -> Iterator[tuple["Packet[Any]", bool]]:
        """The packets of the pictures, each with whether bytes are lost before it."""
        holes, is_lost = HoleWatch(self._container), False
        for packet in readable_packets(self._container, ()):
            is_lost |= holes.is_before(packet)
            # Not ``packet.stream_index``: that of the flushing packets is 0, whatever they flush.
            if packet.stream.index == self._stream.index:
                yield packet, is_lost
                is_lost = False
