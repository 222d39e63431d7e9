"""When the pictures of a file appear, by its packets alone: what decord's index is held against."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import av
import numpy as np
import numpy.typing as npt
from av.container import InputContainer

from avkd.stages.media.container import open_container, video_stream, zero_seconds
from avkd.stages.media.file_look import PicturePacket, list_pictures, may_look_at_packets
from avkd.stages.media.picture_end import DeclaredPictures, declared_pictures

_FORMATS = ("mov", "matroska")
# Of others it is not known here which of their pictures are never shown.
_CODECS = ("h264", "hevc", "vp8")
# Beyond 8-bit 4:2:0 decord and PyAV round differently.
_PIXELS = ("yuv420p", "yuvj420p")


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """When pictures appear."""

    seconds: npt.NDArray[np.float64]
    end: float
    """Of the last."""
    key_places: npt.NDArray[np.int64]
    """Which pictures are key pictures, counted in the order of decoding, ascending."""
    declared: DeclaredPictures


def plain_timeline(path: str) -> Timeline | None:
    """Look at all packets of a file; None where they do not plainly tell when which picture is on.

    That is so where a group of pictures is open, or one is never shown.

    Raises:
        MediaError: ``decode_error`` when the file is no media file.
    """
    with open_container(path) as container:
        stream = video_stream(container)
        if stream is None or stream.time_base is None:
            return None
        context = stream.codec_context
        is_trusted = (
            container.format.name.startswith(_FORMATS)
            and context.name in _CODECS
            and context.pix_fmt in _PIXELS
        )
        if not is_trusted or not may_look_at_packets(path, context.name):
            return None
        packets = list_pictures(container, stream)
        return _lay_out(packets, container, stream) if _are_plain(packets) else None


def _are_plain(packets: Sequence[PicturePacket]) -> bool:
    """Whether each packet is one picture of its own time, and its group needs no other."""
    is_each_shown = not any(each.is_hidden for each in packets)
    is_each_apart = len({each.pts for each in packets}) == len(packets)
    return bool(packets) and is_each_shown and is_each_apart and not _has_open_group(packets)


def _has_open_group(packets: Sequence[PicturePacket]) -> bool:
    """Whether a picture comes after a key picture and is shown before it."""
    key_time = packets[0].pts
    for each in packets:
        key_time = each.pts if each.is_key else key_time
        if each.pts < key_time:
            return True
    return False


def _lay_out(
    packets: Sequence[PicturePacket], container: InputContainer, stream: av.VideoStream
) -> Timeline:
    unit, zero = float(stream.time_base or 0), zero_seconds(container)
    shown = sorted(packets)
    times = np.array([each.pts for each in shown], dtype=np.float64) * unit - zero
    *_, before_last = 0, *(later.pts - each.pts for each, later in pairwise(shown))
    return Timeline(
        seconds=times,
        end=float(times[-1]) + max(shown[-1].duration, before_last) * unit,
        key_places=np.flatnonzero([each.is_key for each in packets]),
        declared=declared_pictures(container, stream),
    )
