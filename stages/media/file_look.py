"""What one look at a file tells of its pictures: of which kind they are, and where one may jump to.

None is decoded. A file is looked at once in a process, until it changes.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import numpy.typing as npt
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet

from avkd.stages.media.container import (
    open_container,
    readable_packets,
    refuse_large_pictures,
    video_stream,
    zero_seconds,
)
from avkd.stages.media.damage import HoleWatch
from avkd.stages.media.decoded_frames import GRAY16_FORMATS
from avkd.stages.media.file_identity import KnownFiles, identify
from avkd.stages.media.h264_pictures import (
    CodedPicture,
    PictureOrder,
    look_at_h264,
    order_pictures,
)
from avkd.stages.media.picture_packets import (
    SizeWatch,
    is_hidden_picture,
    is_key_picture,
)

# Their index tells where key pictures are, and each packet when its picture appears.
_INDEXED_FORMATS = ("mov", "matroska")
# All packets of a larger file are too many to read for a few clips; its index is believed.
_LARGEST_BYTES = 256 * 2**20
# Codecs whose key pictures lean on nothing before them, and whose decoder says which those are.
# Others are jumped in as well, but over long ways only; see ``pyav_reader``.
_KEYED_CODECS = ("h264", "hevc", "vp8", "vp9", "mjpeg", "prores", "dnxhd")
_MOST_KEYS = 1_000_000

Seconds = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class FileLook:
    """What one look at a file told."""

    is_gray16: bool = False
    keys: Seconds | None = None
    """When there are key pictures to jump to; None where that is not known."""
    order: PictureOrder | None = None
    """None where it is not known which pictures nobody leans on."""


class PicturePacket(NamedTuple):
    """A packet of a picture, in the container's units."""

    pts: int
    duration: int
    is_key: bool
    is_hidden: bool
    coded: CodedPicture | None = None
    """Of H.264, where that is plain."""


_looks: KnownFiles[FileLook] = KnownFiles()


def look_at_file(path: str) -> FileLook:
    """Look at a file, or remember what a look at it told.

    Raises:
        MediaError: ``decode_error`` when the file is no media file, or its pictures are too large.
    """
    identity = identify(path)
    look = _looks.get(identity)
    if look is None:
        look = _look(path)
        _looks.note(identity, look)
    return look


def _look(path: str) -> FileLook:
    with open_container(path) as container:
        stream = video_stream(container)
        if stream is None:
            return FileLook()
        context = stream.codec_context
        if context.pix_fmt in GRAY16_FORMATS:
            return FileLook(is_gray16=True)
        is_indexed = container.format.name.startswith(_INDEXED_FORMATS)
        if not is_indexed or stream.time_base is None or context.name not in _KEYED_CODECS:
            return FileLook()
        refuse_large_pictures(path, context.width, context.height)
        if may_look_at_packets(path, context.name):
            return _look_at_pictures(container, stream)
        return FileLook(keys=_indexed_keys(container, stream))


def may_look_at_packets(path: str, codec_name: str) -> bool:
    """Whether ``picture_packets`` knows what to look for, and they are not too many."""
    return SizeWatch.can_watch(codec_name) and Path(path).stat().st_size <= _LARGEST_BYTES


def _look_at_pictures(container: InputContainer, stream: av.VideoStream) -> FileLook:
    """What all packets tell; nothing if one of these is not what it should be.

    Where the pictures' description changes on the way, a jump might lead past it.
    """
    pictures = list_pictures(container, stream)
    keys = [each.pts for each in pictures if each.is_key]
    if not keys:
        return FileLook()
    unit, zero = float(stream.time_base or 0), zero_seconds(container)
    return FileLook(
        keys=np.sort(np.array(keys, dtype=np.float64)) * unit - zero,
        order=_order(pictures, stream.codec_context.reorder_depth),
    )


def _order(pictures: Sequence[PicturePacket], reorder_depth: int) -> PictureOrder | None:
    # After a jump into an open group, a decoder misses what its first pictures lean on.
    if not all(each.coded and each.coded.is_whole for each in pictures if each.is_key):
        return None
    coded, pts = [each.coded for each in pictures], [each.pts for each in pictures]
    return order_pictures(coded, pts, reorder_depth)


def list_pictures(container: InputContainer, stream: av.VideoStream) -> Sequence[PicturePacket]:
    """The packets of the pictures, in order of decoding; none if one is not what it should be."""
    found: list[PicturePacket] = []
    codec, holes = stream.codec_context.name, HoleWatch(container)
    header = stream.codec_context.extradata or b""
    sizes = SizeWatch(codec, header)
    h264 = look_at_h264(header) if codec == "h264" else None
    for packet in readable_packets(container, ()):
        if holes.is_before(packet):
            return ()
        if packet.stream_index != stream.index or not packet.size:
            continue
        if not _is_plainly_shown(packet) or packet.has_sidedata("new_extradata"):
            return ()
        if packet.is_keyframe:
            content = bytes(packet)
            if sizes.has_changed(content) or not is_key_picture(codec, content):
                return ()
        found.append(
            PicturePacket(
                pts=packet.pts or 0,
                duration=packet.duration or 0,
                is_key=packet.is_keyframe,
                is_hidden=is_hidden_picture(codec, memoryview(packet)),
                coded=h264.read(memoryview(packet)) if h264 else None,
            )
        )
    return found


def _is_plainly_shown(packet: "Packet[Any]") -> bool:
    is_dated = packet.pts is not None and packet.pts >= 0
    return is_dated and not (packet.is_discard or packet.is_corrupt)


def _indexed_keys(container: InputContainer, stream: av.VideoStream) -> Seconds | None:
    """When there are key pictures, by the container's index; its packets are not read."""
    # Matroska's index lies at the end of the file, and is read for the first jump.
    with suppress(FFmpegError):
        container.seek(0, stream=stream)
    entries = stream.index_entries
    if not 0 < len(entries) <= _MOST_KEYS:
        return None
    unit, zero = float(stream.time_base or 0), zero_seconds(container)
    keys = [each.timestamp for each in entries if each.is_keyframe]
    # MP4 says when a picture is decoded, all key pictures some time before they are shown.
    first = entries[0].timestamp
    delay = 0 if stream.start_time is None else stream.start_time - first
    return np.sort(np.array(keys, dtype=np.float64) + delay) * unit - zero
