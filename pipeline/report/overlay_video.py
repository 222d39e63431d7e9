"""A video with boxes drawn on it, and the sound that they were heard in."""

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import numpy as np
from av.container import OutputContainer

from avkd.errors import InvalidValueError, MediaError, StoreUnwritableError
from avkd.pipeline.report.overlays import Picture, draw_boxes, shrink
from avkd.stages.media.audio import SoundReader, open_sound
from avkd.stages.media.frames import open_frames
from avkd.stages.media.local_files import local_file
from avkd.stages.media.probe import probe
from avkd.stages.metrics.boxes import FrameBoxes
from avkd.stages.types import WaveformFormat

USUAL_FRAME_RATE = 25.0
SMALLEST_WIDTH = 640
"""Narrower pictures are enlarged, so that numbers can be read."""
SOUND = WaveformFormat(sample_rate=44_100, num_channels=2, channels="all")
_OPTIONS = {"preset": "veryfast", "crf": "20", "threads": "1"}


@dataclass(frozen=True, kw_only=True)
class DrawnBoxes:
    """What is drawn on the pictures of one step."""

    said: FrameBoxes | None = None
    truth: FrameBoxes | None = None
    teachers: Sequence[FrameBoxes] = ()


@dataclass(frozen=True, kw_only=True)
class OverlayFormat:
    """How much of a video is written, and how large."""

    start_seconds: float = 0.0
    duration_seconds: float = math.inf
    """At most: to the end of the video."""
    largest_width: int | None = None
    """Wider pictures are made smaller."""
    bits_per_second: int | None = None
    """Of the pictures, at most; None is as many as they need."""


WHOLE = OverlayFormat()


def write_overlay(
    video: str,
    sound: str,
    out: str,
    frames: Sequence[FrameBoxes] | Sequence[DrawnBoxes],
    step_seconds: float,
    written: OverlayFormat = WHOLE,
) -> int:
    """Draw the boxes of each step on the pictures of its time; gives how many were written.

    Steps count from the start of the video, which is that of the sound. H.264 and AAC in mp4; of
    one microphone both channels are the same, of more the first two are heard.

    Raises:
        MediaError: A file cannot be decoded.
        InvalidValueError: ``out`` does not end in mp4.
        StoreUnwritableError: It cannot be written.
    """
    if Path(out).suffix.lower() != ".mp4":
        raise InvalidValueError(f"overlay {out} must end in .mp4")
    with local_file(video) as pictures, local_file(sound) as heard, _whole(Path(out)) as part:
        rate = Fraction(probe(pictures).frame_rate or USUAL_FRAME_RATE).limit_denominator(1_001)
        drawn = _draw(pictures, _complete(frames), step_seconds, float(rate), written)
        return _encode(part, drawn, heard, rate, written)


def _complete(frames: Sequence[FrameBoxes] | Sequence[DrawnBoxes]) -> list[DrawnBoxes]:
    return [each if isinstance(each, DrawnBoxes) else DrawnBoxes(said=each) for each in frames]


def _draw(
    path: str,
    frames: Sequence[DrawnBoxes],
    step_seconds: float,
    frame_rate: float,
    written: OverlayFormat,
) -> Iterator[Picture]:
    """Pictures to the end of the video; behind the last step without boxes."""
    left = probe(path).duration_seconds - written.start_seconds
    num_pictures = max(1, round(min(left, written.duration_seconds) * frame_rate))
    instants = written.start_seconds + (np.arange(num_pictures) + 0.5) / frame_rate
    with open_frames(path) as reader:
        for seconds, picture in zip(instants.tolist(), reader.read(instants.tolist()), strict=True):
            if picture is None:
                return
            step = int(seconds / step_seconds)
            boxes = frames[step] if step < len(frames) else DrawnBoxes()
            if written.largest_width is not None:
                picture = shrink(picture, written.largest_width)
            scale = -(-SMALLEST_WIDTH // picture.shape[1])
            drawn = draw_boxes(picture, boxes.said, boxes.truth, boxes.teachers, scale=scale)
            # H.264 halves both sides for colours.
            yield drawn[: drawn.shape[0] // 2 * 2, : drawn.shape[1] // 2 * 2]


def _encode(
    path: Path,
    pictures: Iterator[Picture],
    sound: str,
    frame_rate: Fraction,
    written: OverlayFormat,
) -> int:
    """Pictures, each after the sound before it; gives how many there were."""
    first = next(pictures, None)
    if first is None:
        raise MediaError("no_video", "the video has no picture to draw on")
    with (
        av.open(str(path), "w", format="mp4") as container,
        open_sound(sound) as reader,
    ):
        video = _add_video(container, first, frame_rate, written.bits_per_second)
        audio = container.add_stream("aac", rate=SOUND.sample_rate, layout="stereo")
        num_pictures = 0
        for pixels in chain([first], pictures):
            if num_pictures % round(frame_rate) == 0:
                second = num_pictures // round(frame_rate)
                container.mux(audio.encode(_read_second(reader, written.start_seconds, second)))
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            picture.pts, picture.time_base = num_pictures, 1 / frame_rate
            container.mux(video.encode(picture))
            num_pictures += 1
        container.mux(video.encode(None))
        container.mux(audio.encode(None))
    return num_pictures


def _add_video(
    container: OutputContainer,
    picture: Picture,
    frame_rate: Fraction,
    bits_per_second: int | None,
) -> av.VideoStream:
    most = str(bits_per_second)
    limits = {} if bits_per_second is None else {"maxrate": most, "bufsize": most}
    stream = container.add_stream("libx264", rate=frame_rate, options=_OPTIONS | limits)
    stream.height, stream.width = picture.shape[:2]
    stream.pix_fmt = "yuv420p"
    stream.thread_count = 1
    return stream


def _read_second(reader: SoundReader, start_seconds: float, second: int) -> av.AudioFrame:
    """The sound of one second from a start on; silence behind its end."""
    waveform = reader.read(start_seconds + second, 1.0, SOUND).waveform
    packed = np.ascontiguousarray(waveform.T).reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(packed, format="s16", layout="stereo")
    frame.sample_rate, frame.pts = SOUND.sample_rate, second * SOUND.sample_rate
    frame.time_base = Fraction(1, SOUND.sample_rate)
    return frame


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A name beside a file, that becomes the file when all went well."""
    part = path.with_name(f".{path.name}.part-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield part
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise StoreUnwritableError(
            f"{path} cannot be written: {error.strerror or error}; choose another place"
        ) from error
