"""The streams of a drive as real files: H.264 in mp4, 16-bit FFV1 in mkv, FLAC.

Conventions: a file appears whole or not at all; equal input gives equal bytes on one machine.
Depth, heat and sound come back to the last bit; AAC would bend the phase between microphones.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
import numpy.typing as npt

from avkd.errors import InvalidValueError

# One thread each: the encoders' slices, and so their bytes, depend on the number of threads.
_RGB_OPTIONS = {"preset": "veryfast", "crf": "20", "threads": "1"}
_GRAY_OPTIONS = {"level": "3", "slices": "4", "slicecrc": "1", "threads": "1"}
# Without it Matroska writes a random identity, and both the name of the library.
_CONTAINER_OPTIONS = {"fflags": "+bitexact"}
_SOUND_FRAME = 4096
_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}


def write_rgb(
    path: Path, frames: Iterable[npt.NDArray[np.uint8]], size: tuple[int, int], frame_rate: float
) -> None:
    """Encode pictures (height, width, 3) as H.264 in mp4; width and height are even."""
    _write_video(path, frames, size, frame_rate, "mp4", "libx264", "yuv420p", "rgb24")


def write_gray16(
    path: Path, frames: Iterable[npt.NDArray[np.uint16]], size: tuple[int, int], frame_rate: float
) -> None:
    """Encode pictures (height, width) as FFV1 in mkv, without loss."""
    _write_video(path, frames, size, frame_rate, "matroska", "ffv1", "gray16le", "gray16le")


def write_sound(path: Path, samples: npt.NDArray[np.int16], sample_rate: int) -> None:
    """Encode sound (num_channels, num_samples) as FLAC, without loss.

    Raises:
        InvalidValueError: FLAC has no more than eight channels.
    """
    num_channels = len(samples)
    if num_channels not in _LAYOUTS:
        message = f"{num_channels} microphones: FLAC holds 1 to 8 channels; take fewer microphones"
        raise InvalidValueError(message)
    layout = _LAYOUTS[num_channels]
    with (
        _whole(path) as part,
        av.open(str(part), "w", format="flac", options=_CONTAINER_OPTIONS) as container,
    ):
        stream = container.add_stream("flac", rate=sample_rate, layout=layout)
        stream.format = "s16"
        for start in range(0, samples.shape[1], _SOUND_FRAME):
            block = samples[:, start : start + _SOUND_FRAME]
            packed = np.ascontiguousarray(block.T).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(packed, format="s16", layout=layout)
            frame.sample_rate, frame.pts = sample_rate, start
            frame.time_base = Fraction(1, sample_rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _write_video(
    path: Path,
    frames: Iterable[npt.NDArray[np.uint8] | npt.NDArray[np.uint16]],
    size: tuple[int, int],
    frame_rate: float,
    container_format: str,
    codec: str,
    stored_as: str,
    drawn_as: str,
) -> None:
    rate = Fraction(frame_rate).limit_denominator(1000)
    options = _RGB_OPTIONS if codec == "libx264" else _GRAY_OPTIONS
    with (
        _whole(path) as part,
        av.open(str(part), "w", format=container_format, options=_CONTAINER_OPTIONS) as container,
    ):
        stream = cast(av.VideoStream, container.add_stream(codec, rate=rate, options=options))
        stream.width, stream.height = size
        stream.pix_fmt = stored_as
        stream.thread_count = 1
        for index, pixels in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(pixels, format=drawn_as)
            picture.pts, picture.time_base = index, 1 / rate
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A name beside a file, that becomes the file when all went well."""
    part = path.with_name(f".{path.name}.part-{os.getpid()}")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
