"""Files that real corpora hold and that decoders trip over, made of nothing but PyAV and bytes.

Every recording lasts four seconds unless its name says otherwise: pictures of noise that is lighter
every second, so that each has some bytes, and a tone.
"""

import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

SECONDS = 4.0
SAMPLE_RATE = 16_000
CANARY_SHADE = 200
"""Of all pictures of the file that baits point at; no other file is that bright."""

LARGEST_WIDTH = 1024
"""Of pictures, and their height: the files called huge, and one that grows, are beyond that."""

_LAYOUTS = {1: "mono", 2: "stereo", 8: "7.1"}
_NUM_FLIPS = 400


@dataclass(frozen=True, kw_only=True)
class Movie:
    """What to write into one file."""

    seconds: float = SECONDS
    width: int = 64
    height: int = 48
    rate: int = 10
    times: tuple[float, ...] = ()
    """Of its pictures, instead of ``rate`` a second."""
    codec: str | None = "libx264"
    pix_fmt: str = "yuv420p"
    rotation: int = 0
    shade: int = 40
    sound_codec: str | None = "aac"
    sample_rate: int = SAMPLE_RATE
    num_channels: int = 1
    sound_seconds: float | None = None
    late_seconds: float = 0.0
    options: tuple[tuple[str, str], ...] = ()


def write_movie(path: Path, movie: Movie) -> Path:
    """Write a file with pictures, sound, or both."""
    with av.open(str(path), "w", options=dict(movie.options)) as container:
        streams = []
        if movie.codec:
            streams.append((_add_pictures(container, movie), _pictures(movie)))
        if movie.sound_codec:
            streams.append((_add_sound(container, movie), _sound(movie)))
        packets = [
            packet
            for stream, frames in streams
            for frame in (*frames, None)
            for packet in stream.encode(frame)
            if packet.size
        ]
        for packet in sorted(packets, key=lambda each: float(each.dts * each.time_base)):
            container.mux(packet)
    return path


def _add_pictures(container: av.container.OutputContainer, movie: Movie) -> av.VideoStream:
    stream = container.add_stream(movie.codec, rate=movie.rate)
    assert isinstance(stream, av.VideoStream)
    stream.width, stream.height, stream.pix_fmt = movie.width, movie.height, movie.pix_fmt
    stream.codec_context.time_base = Fraction(1, 1000)
    stream.codec_context.gop_size = movie.rate
    stream.codec_context.thread_count = 1
    if movie.codec == "libx264":
        stream.codec_context.options = {"preset": "ultrafast", "crf": "20"}
    if movie.rotation:
        stream.set_display_rotation(movie.rotation)
    return stream


def _pictures(movie: Movie) -> Iterator[av.VideoFrame]:
    times = movie.times or [n / movie.rate for n in range(round(movie.seconds * movie.rate))]
    for number, time in enumerate(times):
        noise = np.random.default_rng(number).integers(0, 40, (movie.height, movie.width, 3))
        picture = (noise + movie.shade + 10 * int(time)).astype(np.uint8)
        frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format=movie.pix_fmt)
        frame.pts, frame.time_base = round(1000 * time), Fraction(1, 1000)
        yield frame


def _add_sound(container: av.container.OutputContainer, movie: Movie) -> av.AudioStream:
    stream = container.add_stream(movie.sound_codec, rate=movie.sample_rate)
    assert isinstance(stream, av.AudioStream)
    stream.layout = _LAYOUTS[movie.num_channels]
    return stream


def _sound(movie: Movie) -> Iterator[av.AudioFrame]:
    seconds = movie.seconds - movie.late_seconds
    if movie.sound_seconds is not None:
        seconds = movie.sound_seconds
    samples, late = tone(movie, seconds), round(movie.late_seconds * movie.sample_rate)
    for start in range(0, len(samples), 1024):
        piece = np.repeat(samples[start : start + 1024], movie.num_channels)[np.newaxis]
        frame = av.AudioFrame.from_ndarray(piece, "s16", _LAYOUTS[movie.num_channels])
        frame.sample_rate, frame.time_base = movie.sample_rate, Fraction(1, movie.sample_rate)
        frame.pts = start + late
        yield frame


def tone(movie: Movie, seconds: float) -> npt.NDArray[np.int16]:
    """A steady tone of 440 Hz."""
    times = np.arange(round(seconds * movie.sample_rate)) / movie.sample_rate
    return (8_000 * np.sin(2 * np.pi * 440 * times)).astype(np.int16)


def _write_two_sizes(path: Path, width: int = 96, height: int = 64) -> None:
    """Two seconds of small pictures, then two of larger ones, in one stream."""
    small = Movie(seconds=2, sound_codec=None)
    with av.open(str(path), "w") as container:
        stream = _add_pictures(container, small)
        _mux_from(container, stream, stream.codec_context, small, 0.0)
        large = replace(small, width=width, height=height, shade=60)
        large = replace(large, rate=2) if width > LARGEST_WIDTH else large
        encoder = av.CodecContext.create("libx264", "w")
        assert isinstance(encoder, av.VideoCodecContext)
        encoder.width, encoder.height, encoder.pix_fmt = large.width, large.height, large.pix_fmt
        encoder.time_base, encoder.framerate = Fraction(1, 1000), Fraction(large.rate)
        encoder.options = {"preset": "ultrafast", "crf": "20"}
        _mux_from(container, stream, encoder, large, 2.0)


def _mux_from(
    container: av.container.OutputContainer,
    stream: av.VideoStream,
    encoder: av.VideoCodecContext,
    movie: Movie,
    start_seconds: float,
) -> None:
    for frame in (*_pictures(movie), None):
        if frame is not None:
            frame.pts += round(1000 * start_seconds)
        for packet in encoder.encode(frame):
            packet.stream = stream
            container.mux(packet)


def _write_growing(path: Path) -> None:
    """Pictures that grow, after two seconds, beyond any limit that a test sets."""
    _write_two_sizes(path, LARGEST_WIDTH + 16, LARGEST_WIDTH + 16)


def _write_empty_track(path: Path) -> None:
    """Pictures, and a track of sound into which nothing was ever put."""
    movie = Movie()
    with av.open(str(path), "w") as container:
        pictures, _ = _add_pictures(container, movie), _add_sound(container, movie)
        for frame in (*_pictures(movie), None):
            for packet in pictures.encode(frame):
                container.mux(packet)


def _write_hole(path: Path) -> None:
    """Sound that stops for two of its six seconds."""
    first, last = Movie(seconds=2), Movie(seconds=2, late_seconds=4, sound_seconds=2)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=SAMPLE_RATE)
        assert isinstance(stream, av.AudioStream)
        stream.layout = "mono"
        for frame in (*_sound(first), *_sound(last)):
            container.mux(stream.encode(frame))


def _write_endless(path: Path) -> None:
    """An AVI whose pictures are followed by four terabytes of nothing, in a hole on the disk.

    FFmpeg looks for the next picture byte by byte, in one call that comes back after days.
    """
    write_movie(path, Movie(seconds=1, codec="mpeg4", sound_codec=None))
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"idx1")])
    os.truncate(path, 1 << 42)


# How to make each file, by its name.


def _movie(**changes: object) -> Callable[[Path], object]:
    return lambda path: write_movie(path, Movie(**changes))  # type: ignore[arg-type]


def _cut(fraction_from: float, fraction_to: float, **changes: object) -> Callable[[Path], None]:
    """A whole file of which only a part is left."""

    def write(path: Path) -> None:
        content = write_movie(path, Movie(**changes)).read_bytes()  # type: ignore[arg-type]
        path.write_bytes(
            content[int(len(content) * fraction_from) : int(len(content) * fraction_to)]
        )

    return write


def _patched(patch: Callable[[bytearray], None], **changes: object) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        content = bytearray(write_movie(path, Movie(**changes)).read_bytes())  # type: ignore[arg-type]
        patch(content)
        path.write_bytes(bytes(content))

    return write


def _flip_in_mdat(content: bytearray) -> None:
    start = content.index(b"mdat") + 4
    size = int.from_bytes(content[start - 8 : start - 4], "big") - 8
    for place in np.random.default_rng(0).choice(size // 2, _NUM_FLIPS, replace=False):
        content[start + size // 2 + int(place)] ^= 0xFF


def _garbage_in_the_middle(content: bytearray) -> None:
    begin, end = len(content) * 2 // 5, len(content) * 3 // 5
    content[begin:end] = np.random.default_rng(0).bytes(end - begin)


def _claim_huge_pictures(content: bytearray) -> None:
    """65,535 x 65,535 where the sample description of an MP4 says 64 x 48."""
    place = content.index(b"mp4v") + 28
    content[place : place + 4] = b"\xff" * 4


def _claim_huge_avi(content: bytearray) -> None:
    """12,000 x 12,000 in the header of an AVI, which is all that FFV1 goes by."""
    place = content.index(b"strf") + 12
    content[place : place + 8] = (12_000).to_bytes(4, "little") * 2


def _claim_centuries(content: bytearray) -> None:
    """Ten thousand million seconds, which a Matroska file keeps as a number of milliseconds."""
    place = content.index(b"\x44\x89\x88") + 3
    content[place : place + 8] = struct.pack(">d", 1e13)


def _claim_years(content: bytearray) -> None:
    """The greatest duration there is, in each of an MP4's headers that has one."""
    for name, offset in ((b"mvhd", 20), (b"tkhd", 24), (b"mdhd", 20)):
        place = 0
        while (place := content.find(name, place + 1)) > 0:
            content[place + offset : place + offset + 4] = b"\x7f\xff\xff\xff"


def _claim_a_rate(content: bytearray) -> None:
    """Two thousand million samples a second, of a WAV file."""
    content[24:28] = (2_000_000_000).to_bytes(4, "little")


_FASTSTART = (("movflags", "faststart"),)
_LOSSLESS = {"codec": None, "sound_codec": "pcm_s16le"}
_VARIABLE = (*(n / 10 for n in range(10)), *(1 + n / 2 for n in range(1, 5)), 3.1, 3.2, 3.9)

MAKERS: dict[str, Callable[[Path], object]] = {
    "good.mp4": _movie(),
    "good.mkv": _movie(),
    "same_a.mp4": _movie(shade=90),
    "same_b.mp4": _movie(shade=90),
    "video_only.mp4": _movie(sound_codec=None),
    "audio_only.m4a": _movie(codec=None),
    "short_0.2s.mp4": _movie(seconds=0.2),
    "variable_rate.mp4": _movie(times=_VARIABLE, options=_FASTSTART),
    "rotated.mp4": _movie(rotation=90),
    "odd_size.mkv": _movie(width=67, height=43, codec="ffv1", pix_fmt="yuv444p"),
    "eight_channels.mkv": _movie(num_channels=8, sound_codec="pcm_s16le"),
    "stereo.mp4": _movie(num_channels=2),
    "eight_khz.mp4": _movie(sample_rate=8_000),
    "ten_bit.mkv": _movie(codec="ffv1", pix_fmt="yuv420p10le"),
    "one_frame.mp4": _movie(times=(0.0,), seconds=0.1, sound_codec=None),
    "late_sound.mp4": _movie(late_seconds=1.5),
    "two_sizes.ts": _write_two_sizes,
    "two_sizes.mkv": _write_two_sizes,
    "growing.mkv": _write_growing,
    "empty_track.mkv": _write_empty_track,
    "sound_with_a_hole.mkv": _write_hole,
    "cut_head.mp4": _cut(0.2, 1.0),
    "cut_middle.mp4": _cut(0.0, 0.5),
    "cut_tail.mp4": _cut(0.0, 0.97),
    "cut_head_faststart.mp4": _cut(0.2, 1.0, options=_FASTSTART),
    "cut_middle_faststart.mp4": _cut(0.0, 0.55, options=_FASTSTART),
    "cut_tail_faststart.mp4": _cut(0.0, 0.86, options=_FASTSTART),
    "cut_middle.mkv": _cut(0.0, 0.55),
    "cut_tail.mkv": _cut(0.0, 0.9),
    "cut_middle.avi": _cut(0.0, 0.55, codec="mpeg4", sound_codec="pcm_s16le"),
    "cut_middle.ts": _cut(0.0, 0.55, sound_codec="mp2"),
    "cut_middle.flac": _cut(0.0, 0.55, codec=None, sound_codec="flac"),
    "cut_middle.wav": _cut(0.0, 0.55, **_LOSSLESS),
    "flipped.mp4": _patched(_flip_in_mdat),
    "flipped_sound.m4a": _patched(_flip_in_mdat, codec=None),
    "garbage_inside.mkv": _patched(_garbage_in_the_middle),
    "garbage_inside.mp4": _patched(_garbage_in_the_middle, options=_FASTSTART),
    "garbage_inside.ts": _patched(_garbage_in_the_middle, sound_codec="mp2"),
    "huge_pictures.avi": _patched(_claim_huge_avi, codec="ffv1", sound_codec="pcm_s16le"),
    "huge_pictures.mp4": _patched(_claim_huge_pictures, codec="mpeg4", sound_codec=None),
    "huge_duration.mkv": _patched(_claim_centuries),
    "huge_duration.mp4": _patched(_claim_years),
    "huge_sample_rate.wav": _patched(_claim_a_rate, **_LOSSLESS),
    "empty.mp4": lambda path: path.write_bytes(b""),
    "zeros.mp4": lambda path: path.write_bytes(bytes(20_000)),
    "text.mp4": lambda path: path.write_text("this is not a film\n" * 500),
    "hanging.avi": _write_endless,
}
"""Name to what writes the file of that name."""


def write_all(folder: Path) -> None:
    """Write every file of ``MAKERS``."""
    for name, make in MAKERS.items():
        make(folder / name)
