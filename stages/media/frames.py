"""Pictures of a recording at given instants.

Two readers give the same pictures: decord, near the cost of decoding alone, where an independent
look at the packets vouches for its index; PyAV, front to back, everywhere else. Which one serves a
file depends on the file alone, so that the pictures do as well. 16-bit gray is PyAV's.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from avkd.errors import MediaError
from avkd.stages.media.decord_reader import DecordFailedError, DecordReader
from avkd.stages.media.pyav_reader import PyavReader
from avkd.stages.media.scaling import scale_picture
from avkd.stages.types import FrameFormat, Pictures, Pixels


class FrameReader(Protocol):
    """An open recording that is asked for pictures in the order of time."""

    def read(self, instants: Sequence[float]) -> Iterator[Pictures | None]:
        """The native upright picture (h, w, channels) on screen at each ascending instant.

        None where the recording has ended. A picture that repeats is the same object.
        """
        ...

    def end_seconds(self) -> float | None:
        """When the last picture leaves the screen, once that is known."""
        ...

    def num_damaged(self) -> int:
        """How many packets or pictures could not be decoded whole so far."""
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
        raise MediaError("partial", f"{path}: {pictures.damage}")
    return pictures.frames


def read_pictures(
    reader: FrameReader, instants: Sequence[float], formats: Sequence[FrameFormat]
) -> PicturesRead:
    """Read and scale the pictures of one clip, up to where the recording ends."""
    frames: dict[FrameFormat, Pictures] = {
        each: np.zeros((len(instants), *each.picture_shape), each.dtype) for each in formats
    }
    num_damaged_before = reader.num_damaged()
    num_frames, last = 0, None
    for number, picture in enumerate(reader.read(instants)):
        if picture is None:
            break
        for frame_format, array in frames.items():
            same = picture is last
            array[number] = array[number - 1] if same else scale_picture(picture, frame_format)
        num_frames, last = number + 1, picture
    damage = _damage(reader, instants, num_frames, reader.num_damaged() - num_damaged_before)
    return PicturesRead(frames=frames, num_frames=num_frames, damage=damage)


def _damage(
    reader: FrameReader, instants: Sequence[float], num_frames: int, num_damaged: int
) -> str:
    found = []
    if num_frames < len(instants):
        found.append(
            f"pictures end at {reader.end_seconds() or 0.0:.2f} s: "
            f"{len(instants) - num_frames} of {len(instants)} missing, "
            f"the last wanted at {instants[-1]:.2f} s"
        )
    if num_damaged:
        found.append(f"{num_damaged} damaged pictures on the way")
    return "; ".join(found)


@contextmanager
def open_frames(path: str, pixels: Pixels = "rgb24") -> Iterator[FrameReader]:
    """Open a recording's pictures with the reader that its timestamps allow.

    Raises:
        MediaError: ``no_video`` or ``decode_error``, also for ``gray16`` pictures that are none.
    """
    reader: FrameReader = _TrustedReader(path) if pixels == "rgb24" else PyavReader(path, pixels)
    try:
        yield reader
    finally:
        reader.close()


class _TrustedReader:
    """decord until it fails on this file, PyAV from then on."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._reader: FrameReader = DecordReader.open_if_sound(path) or PyavReader(path)

    def read(self, instants: Sequence[float]) -> Iterator[Pictures | None]:
        done = 0
        try:
            for picture in self._reader.read(instants):
                yield picture
                done += 1
        except DecordFailedError:
            # PyAV says what is wrong with the file, and reads around it.
            self._reader.close()
            self._reader = PyavReader(self._path)
            yield from self._reader.read(instants[done:])

    def end_seconds(self) -> float | None:
        return self._reader.end_seconds()

    def num_damaged(self) -> int:
        return self._reader.num_damaged()

    def close(self) -> None:
        self._reader.close()
