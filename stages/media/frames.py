"""Pictures of a recording at given instants, scaled to what looks at them.

``open_reader`` is where it is chosen who decodes them.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from avkd.errors import MediaError
from avkd.stages.media.decord_reader import open_if_believed
from avkd.stages.media.file_look import look_at_file
from avkd.stages.media.pyav_reader import PyavReader
from avkd.stages.media.scaling import scale_to_formats
from avkd.stages.media.unreadable import shown
from avkd.stages.types import DecoderName, FrameFormat, Pictures, Pixels


class FrameReader(Protocol):
    """An open recording that is asked for pictures in the order of time."""

    def read(self, instants: Sequence[float], *, anew: bool = False) -> Iterator[Pictures | None]:
        """The native upright picture (h, w, channels) on screen at each ascending instant.

        None where the recording has ended. A picture that repeats is the same object. ``anew``
        reads as if nothing had been read before.
        """
        ...

    def end_seconds(self) -> float | None:
        """When the last picture leaves the screen, once that is known."""
        ...

    def num_damaged(self, first_seconds: float, last_seconds: float) -> int:
        """How many packets or pictures that a span leans on are known not to be whole."""
        ...

    def shortfall(self, until_seconds: float) -> str:
        """What of the pictures until then the file declares and lacks, in words."""
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


@dataclass(frozen=True, kw_only=True)
class PicturesRead:
    """The pictures of one clip."""

    frames: Mapping[FrameFormat, Pictures]
    """Per format (num_instants, height, width, channels), zeros from ``num_frames`` on."""
    num_frames: int
    damage: str
    """What is missing or broken, with numbers; empty when nothing is."""


def read_frames(
    path: str, instants: Sequence[float], formats: Sequence[FrameFormat]
) -> Mapping[FrameFormat, Pictures]:
    """Decode the pictures on screen at ascending instants and scale them to each format.

    Gives (num_instants, height, width, channels) per format; all formats have the same pixels.

    Raises:
        MediaError: ``no_video``, ``decode_error``, or ``partial`` when the recording ends before
            the last instant.
    """
    with open_frames(path, formats[0].pixels) as reader:
        pictures = read_pictures(reader, instants, formats)
    if pictures.num_frames < len(instants):
        raise MediaError("partial", f"{shown(path)}: {pictures.damage}")
    return pictures.frames


def read_pictures(
    reader: FrameReader,
    instants: Sequence[float],
    formats: Sequence[FrameFormat],
    *,
    until_seconds: float = 0.0,
) -> PicturesRead:
    """Read and scale the pictures of one clip, up to where the recording ends.

    Args:
        reader: of the recording.
        instants: ascending, and after those of the clips before.
        formats: to scale to.
        until_seconds: the end of the clip: a file that breaks off between its last instant and
            there is short as well.
    """
    frames, num_frames = _scaled(reader.read(instants), len(instants), formats)
    if len(instants) and reader.num_damaged(instants[0], instants[-1]):
        # What a decoder makes of broken pictures depends on all those before.
        frames, num_frames = _scaled(reader.read(instants, anew=True), len(instants), formats)
    damage = _damage(reader, instants, num_frames, until_seconds)
    return PicturesRead(frames=frames, num_frames=num_frames, damage=damage)


def _scaled(
    pictures: Iterator[Pictures | None], num_pictures: int, formats: Sequence[FrameFormat]
) -> tuple[dict[FrameFormat, Pictures], int]:
    """The pictures up to the first that is None, scaled, and their number."""
    frames: dict[FrameFormat, Pictures] = {
        each: np.zeros((num_pictures, *each.picture_shape), each.dtype) for each in formats
    }
    num_frames, last = 0, None
    for number, picture in enumerate(pictures):
        if picture is None:
            break
        if picture is last:
            for array in frames.values():
                array[number] = array[number - 1]
        else:
            for frame_format, scaled in scale_to_formats(picture, formats):
                frames[frame_format][number] = scaled
        num_frames, last = number + 1, picture
    return frames, num_frames


def _damage(
    reader: FrameReader, instants: Sequence[float], num_frames: int, until_seconds: float
) -> str:
    found = []
    num_damaged = reader.num_damaged(instants[0], instants[-1]) if len(instants) else 0
    if num_frames < len(instants):
        found.append(
            f"pictures end at {reader.end_seconds() or 0.0:.2f} s: "
            f"{len(instants) - num_frames} of {len(instants)} missing, "
            f"the last wanted at {instants[-1]:.2f} s"
        )
    elif short := reader.shortfall(until_seconds):
        found.append(short)
    if num_damaged:
        found.append(f"{num_damaged} damaged pictures on the way")
    return "; ".join(found)


@contextmanager
def open_frames(path: str, pixels: Pixels = "rgb24") -> Iterator[FrameReader]:
    """Open a recording's pictures.

    Raises:
        MediaError: ``no_video`` or ``decode_error``, also for ``gray16`` pictures that are none.
    """
    reader = open_reader(path, pixels)
    try:
        yield reader
    finally:
        reader.close()


def open_reader(path: str, pixels: Pixels, decoder: DecoderName = "pyav") -> FrameReader:
    """Open a recording's pictures; the caller closes the reader.

    Args:
        path: of the file.
        pixels: to give.
        decoder: of 8-bit pictures, where it can be believed.

    Raises:
        MediaError: as ``open_frames``.
    """
    if pixels == "gray16":
        return PyavReader(path, pixels)
    look = look_at_file(path)
    if (
        decoder == "decord"
        and look.keys is not None
        and (reader := open_if_believed(path)) is not None
    ):
        return reader
    return PyavReader(path, pixels, keys=look.keys, order=look.order)


def refuse_gray16(path: str) -> None:
    """Refuse 16-bit gray pictures where 8 bits are asked for.

    Not their upper bits: heat or depth in its own units is nearly one shade in these.

    Raises:
        MediaError: ``decode_error``, also when the file is no media file.
    """
    if look_at_file(path).is_gray16:
        raise MediaError(
            "decode_error",
            f"{shown(path)}: pictures are 16-bit gray; say which range to show, as "
            "--stream STREAM:LOW:HIGH",
        )
