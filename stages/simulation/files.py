"""Made-up recordings as real files: H.264 video and AAC sound in mp4.

Conventions: a file appears whole or not at all; equal input gives equal bytes on one machine.
"""

import os
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

_SOUND_FRAME = 1024
# One thread: x264's slices, and so its bytes, depend on the number of threads.
_VIDEO_OPTIONS = {"preset": "ultrafast", "crf": "24", "threads": "1"}
_SOUND_OPTIONS = {"aac_coder": "fast"}


def write_text(path: Path, text: str) -> None:
    """Write a text file in one step."""
    part = _part_of(path)
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def write_movie(
    path: Path,
    frames: Iterable[npt.NDArray[np.uint8]],
    waveform: npt.NDArray[np.float64],
    *,
    frame_size: tuple[int, int],
    frame_rate: int,
    sample_rate: int,
) -> None:
    """Encode frames (height, width, 3) and a mono waveform in [-1, 1] to an mp4 in one step."""
    part = _part_of(path)
    try:
        with av.open(str(part), "w", format="mp4") as container:
            video = container.add_stream("libx264", rate=frame_rate, options=_VIDEO_OPTIONS)
            video.width, video.height = frame_size
            video.pix_fmt = "yuv420p"
            video.thread_count = 1
            sound = container.add_stream(
                "aac", rate=sample_rate, layout="mono", options=_SOUND_OPTIONS
            )
            sound.bit_rate = 80_000
            for index, pixels in enumerate(frames):
                picture = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                picture.pts, picture.time_base = index, Fraction(1, frame_rate)
                container.mux(video.encode(picture))
            container.mux(video.encode(None))
            for start in range(0, len(waveform), _SOUND_FRAME):
                block = waveform[None, start : start + _SOUND_FRAME].astype(np.float32)
                samples = av.AudioFrame.from_ndarray(block, format="fltp", layout="mono")
                samples.sample_rate, samples.pts = sample_rate, start
                samples.time_base = Fraction(1, sample_rate)
                container.mux(sound.encode(samples))
            container.mux(sound.encode(None))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _part_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.part-{os.getpid()}")
