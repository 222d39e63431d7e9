"""Tiny recordings of many kinds, made once a session by PyAV.

Every picture carries its own number as 16 black or white blocks, so that a test can tell which
picture it got without trusting any reader's index.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
from av.stream import Disposition

BLOCK = 16


def draw_number(number: int, height: int, width: int) -> np.ndarray:
    """A picture with ``number`` in its upper rows, and a gradient with colour below."""
    picture = np.zeros((height, width, 3), dtype=np.uint8)
    for bit in range(16):
        row, column = divmod(bit, 8)
        if number >> bit & 1:
            picture[row * BLOCK : (row + 1) * BLOCK, column * BLOCK : (column + 1) * BLOCK] = 235
    below = picture[2 * BLOCK :]
    below[..., 0] = np.linspace(0, 255, width)
    below[..., 1] = (number * 5) % 256
    below[..., 2] = np.linspace(255, 0, width)
    return picture


def read_number(picture: np.ndarray) -> int:
    """The number that ``draw_number`` drew, from a native picture."""
    number = 0
    for bit in range(16):
        row, column = divmod(bit, 8)
        block = picture[row * BLOCK : (row + 1) * BLOCK, column * BLOCK : (column + 1) * BLOCK]
        number |= int(block[4:-4, 4:-4].mean() > 110) << bit
    return number


def make_sound(rate: int, seconds: float, channels: int = 1) -> np.ndarray:
    """A wailing tone that never repeats, quieter in every channel, float32 (channels, n)."""
    t = np.arange(round(rate * seconds)) / rate
    phase = 700 * t + 180 * np.sin(2 * np.pi * 0.37 * t) + 60 * np.sin(2 * np.pi * 0.83 * t)
    tone = 0.4 * np.sin(2 * np.pi * phase)
    return np.stack([tone / (1 + channel) for channel in range(channels)]).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class Video:
    """A video stream to write."""

    codec: str = "libx264"
    times: Sequence[float] = field(default_factory=lambda: [i / 25 for i in range(50)])
    rate: Fraction = Fraction(25)
    unit: Fraction = Fraction(1, 25)
    gop: int = 12
    b_frames: int = 2
    rotation: int = 0
    width: int = 8 * BLOCK
    height: int = 2 * BLOCK + 16
    pix_fmt: str = "yuv420p"
    options: tuple[tuple[str, str], ...] = ()
    """Of its encoder."""


@dataclass(frozen=True, kw_only=True)
class Sound:
    """A sound stream to write."""

    codec: str = "aac"
    rate: int = 48_000
    seconds: float = 2.0
    channels: int = 1
    late_seconds: float = 0.0


def write_media(
    path: Path,
    video: Video | None = None,
    sound: Sound | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """Write one recording."""
    with av.open(str(path), "w", options=options or {}) as container:
        streams = []
        if video:
            streams.append((_add_video(container, video), _pictures(video)))
        if sound:
            stream = container.add_stream(sound.codec, rate=sound.rate)
            stream.layout = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}[sound.channels]
            streams.append((stream, _sound_frames(stream, sound)))
        packets = []
        for stream, frames in streams:
            for frame in (*frames, None):
                packets += [packet for packet in stream.encode(frame) if packet.size]
        for packet in sorted(packets, key=lambda p: float(p.dts * p.time_base)):
            container.mux(packet)
    return path


def _add_video(container, video: Video):
    stream = container.add_stream(video.codec, rate=video.rate)
    stream.width, stream.height = video.width, video.height
    stream.pix_fmt = video.pix_fmt
    stream.bit_rate = 1_000_000
    context = stream.codec_context
    context.time_base = video.unit
    context.gop_size = video.gop
    context.thread_count = 1
    if video.codec == "libx264":
        plain = {"bf": str(video.b_frames), "preset": "ultrafast", "crf": "18"}
        context.options = {**plain, **dict(video.options)}
    elif video.options:
        context.options = dict(video.options)
    elif video.b_frames and video.codec in {"mpeg4", "mpeg1video", "mpeg2video"}:
        context.max_b_frames = video.b_frames
    if video.rotation:
        stream.set_display_rotation(video.rotation)
    return stream


def _pictures(video: Video):
    for number, time in enumerate(video.times):
        frame = av.VideoFrame.from_ndarray(
            draw_number(number, video.height, video.width), format="rgb24"
        )
        frame = frame.reformat(format=video.pix_fmt)
        frame.pts, frame.time_base = round(time / video.unit), video.unit
        yield frame


def _sound_frames(stream, sound: Sound):
    samples = make_sound(sound.rate, sound.seconds, sound.channels)
    context, layout = stream.codec_context, stream.layout.name
    late = round(sound.late_seconds * sound.rate)
    resampler = av.AudioResampler(format=context.format.name, layout=layout, rate=sound.rate)
    size = context.frame_size or 1024
    for start in range(0, samples.shape[1], size):
        piece = np.ascontiguousarray(samples[:, start : start + size].T).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(piece, format="flt", layout=layout)
        frame.sample_rate, frame.pts = sound.rate, start + late
        frame.time_base = Fraction(1, sound.rate)
        yield from resampler.resample(frame)


VFR_TIMES = [*(i / 25 for i in range(20)), *(0.8 + i * 0.2 for i in range(1, 8)), 2.3, 2.31, 2.9]


def _recipes() -> dict[str, tuple[Video | None, Sound | None]]:
    aac, opus = Sound(), Sound(codec="libopus")
    mp2, mp3 = Sound(codec="mp2"), Sound(codec="libmp3lame", rate=44_100)
    return {
        "h264.mp4": (Video(), aac),
        "vfr.mp4": (Video(times=VFR_TIMES, unit=Fraction(1, 1000)), None),
        "ntsc.mkv": (
            Video(
                times=[i * 1001 / 30000 for i in range(60)],
                rate=Fraction(30000, 1001),
                unit=Fraction(1001, 30000),
            ),
            opus,
        ),
        "vp8.webm": (Video(codec="libvpx"), opus),
        "mjpeg.avi": (Video(codec="mjpeg", b_frames=0, pix_fmt="yuvj420p"), None),
        "bframes.avi": (Video(codec="mpeg4"), mp3),
        "h264.ts": (Video(), mp2),
        "mpeg2.mpg": (Video(codec="mpeg2video"), mp2),
        "ten_bit.mkv": (Video(codec="ffv1", b_frames=0, pix_fmt="yuv420p10le"), None),
        "rotated90.mp4": (Video(rotation=90), None),
        "rotated180.mp4": (Video(rotation=180), None),
        "rotated270.mp4": (Video(rotation=-90), None),
        "late_sound.mp4": (Video(), Sound(late_seconds=0.5, seconds=1.5)),
        "late_sound.mkv": (Video(), Sound(late_seconds=0.5, seconds=1.5, codec="libopus")),
        "short_sound.mp4": (Video(), Sound(seconds=1.0)),
        "short_sound.webm": (Video(codec="libvpx"), Sound(codec="libopus", seconds=1.0)),
        "sound_only.m4a": (None, aac),
        "sound.wav": (None, Sound(codec="pcm_s16le", rate=44_100, channels=2)),
        "sound.flac": (None, Sound(codec="flac", rate=44_100)),
        "sound.mp3": (None, mp3),
        "sound.ogg": (None, opus),
        "surround.mkv": (None, Sound(codec="pcm_s16le", channels=6)),
    }


@pytest.fixture(scope="session")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of recordings; ``_recipes`` says what is in each."""
    folder = tmp_path_factory.mktemp("recordings")
    for name, (video, sound) in _recipes().items():
        write_media(folder / name, video, sound)
    _break(write_media(folder / "whole.mp4", Video(), Sound(), {"movflags": "faststart"}), folder)
    _cut_with_edit_list(folder / "h264.mp4", folder / "edit_list.mp4")
    target = folder / "h264.mp4"
    (folder / "playlist.mp4").write_text(
        f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{target}\n#EXT-X-ENDLIST\n"
    )
    (folder / "concat.mp4").write_text(f"ffconcat version 1.0\nfile {target}\n")
    (folder / "zeros.mp4").write_bytes(bytes(5000))
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "text.mp4").write_text("this is not a video\n" * 100)
    return folder


def _break(whole: Path, folder: Path) -> None:
    content = whole.read_bytes()
    (folder / "half.mp4").write_bytes(content[: len(content) * 6 // 10])
    (folder / "no_index.mp4").write_bytes(content[:200])
    mkv = (folder / "ntsc.mkv").read_bytes()
    (folder / "half.mkv").write_bytes(mkv[: len(mkv) // 2])
    broken = bytearray(content)
    for position in np.random.default_rng(0).integers(len(content) // 2, len(content), 400):
        broken[position] ^= 0xFF
    (folder / "flipped.mp4").write_bytes(bytes(broken))


def _cut_with_edit_list(source: Path, target: Path) -> None:
    """What ``-ss 0.7 -c copy`` makes: pictures before the cut are there but not shown."""
    with (
        av.open(str(source)) as whole,
        av.open(str(target), "w", options={"avoid_negative_ts": "disabled"}) as cut,
    ):
        stream = whole.streams.video[0]
        copy = cut.add_stream_from_template(stream)
        for packet in whole.demux(stream):
            # The key picture before the cut is number 12, at 0.48 s.
            if packet.dts is None or packet.pts < 0.48 / stream.time_base:
                continue
            shift = round(0.7 / stream.time_base)
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            packet.stream = copy
            cut.mux(packet)


@pytest.fixture(scope="session")
def long_recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty seconds at five pictures a second, with a key picture every four seconds."""
    folder = tmp_path_factory.mktemp("long")
    times = [i / 5 for i in range(200)]
    video = Video(times=times, rate=Fraction(5), unit=Fraction(1, 5), gop=20)
    write_media(folder / "long.mp4", video, Sound(seconds=40))
    write_media(folder / "long.mkv", video, Sound(seconds=40, codec="libopus"))
    write_media(folder / "long.ts", video, Sound(seconds=40, codec="mp2"))
    # MPEG-2 knows no five pictures a second, and MPEG-4 in AVI is the one that cannot be jumped in.
    slow = replace(video, codec="mpeg2video", rate=Fraction(25), unit=Fraction(1, 25))
    slow = replace(slow, times=[i / 25 for i in range(1000)], gop=50)
    write_media(folder / "long.mpg", slow, Sound(seconds=40, codec="mp2"))
    write_media(folder / "long.avi", replace(video, codec="mpeg4"))
    write_media(folder / "long.flac", None, Sound(seconds=40, codec="flac", rate=44_100))
    write_media(folder / "long.mp3", None, Sound(seconds=40, codec="libmp3lame"))
    return folder


_SLOW = Video(times=[i / 10 for i in range(240)], rate=Fraction(10), unit=Fraction(1, 1000), gop=20)
_UNEVEN = [0.1 * i + (0.07 if i % 3 else 0.0) for i in range(240)]


def _open_gop(encoder: str) -> tuple[tuple[str, str], ...]:
    quiet = ":log-level=none" if encoder == "x265" else ""
    plain = (("preset", "ultrafast"), (f"{encoder}-params", f"open-gop=1:bframes=3{quiet}"))
    return (*plain, ("bf", "3")) if encoder == "x264" else plain


@pytest.fixture(scope="session")
def jumpy_recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty-four seconds of every kind of picture that may depend on where one jumps in."""
    folder = tmp_path_factory.mktemp("jumpy")
    aac, opus, mp2 = (Sound(codec=codec, seconds=24) for codec in ("aac", "libopus", "mp2"))
    mpeg2 = replace(_SLOW, codec="mpeg2video", rate=Fraction(25), unit=Fraction(1, 25), gop=30)
    refreshed = (("x264-params", "intra-refresh=1:bframes=0"),)
    recipes = {
        "long_gop.mp4": (replace(_SLOW, gop=130), aac),
        "open_gop.mp4": (replace(_SLOW, options=_open_gop("x264")), aac),
        "open_gop.mkv": (replace(_SLOW, options=_open_gop("x264")), opus),
        "open_gop_hevc.mp4": (replace(_SLOW, codec="libx265", options=_open_gop("x265")), None),
        "refreshed.mkv": (replace(_SLOW, options=refreshed), None),
        "uneven.mp4": (replace(_SLOW, times=_UNEVEN), None),
        "ten_bit.mkv": (replace(_SLOW, pix_fmt="yuv420p10le"), None),
        "h264.ts": (_SLOW, mp2),
        "mpeg2.mpg": (replace(mpeg2, times=[i / 25 for i in range(600)]), mp2),
        "mpeg2.ts": (replace(mpeg2, times=[i / 25 for i in range(600)]), mp2),
        "vp8.webm": (replace(_SLOW, codec="libvpx"), opus),
        "mpeg4.mp4": (replace(_SLOW, codec="mpeg4"), None),
        "mpeg4.avi": (replace(_SLOW, codec="mpeg4", unit=Fraction(1, 10)), None),
    }
    for name, (video, sound) in recipes.items():
        write_media(folder / name, video, sound)
    write_media(folder / "whole.mp4", _SLOW, aac, {"movflags": "faststart"})
    rng = np.random.default_rng(0)
    for name in ("whole.mp4", "open_gop.mkv"):
        content = bytearray((folder / name).read_bytes())
        middle, suffix = len(content) // 2, name[-3:]
        (folder / f"cut.{suffix}").write_bytes(content[: middle + middle // 5])
        garbled = bytearray(content)
        garbled[middle : middle + middle // 10] = rng.bytes(middle // 10)
        (folder / f"garbled.{suffix}").write_bytes(garbled)
        for place in rng.integers(middle, middle + middle // 2, 400):
            content[place] ^= 0xFF
        (folder / f"flipped.{suffix}").write_bytes(content)
    return folder


@pytest.fixture(scope="session")
def write() -> Callable[..., Path]:
    """Writes one more recording: ``write(path, Video(...), Sound(...))``."""
    return write_media


@pytest.fixture(scope="session")
def media() -> SimpleNamespace:
    """The descriptions that ``write`` takes, and what pictures and sound hold."""
    return SimpleNamespace(
        Video=Video,
        Sound=Sound,
        VFR_TIMES=VFR_TIMES,
        read_number=read_number,
        make_sound=make_sound,
    )


@pytest.fixture(scope="session")
def add_cover() -> Callable[[Path, Path], Path]:
    """Copies a sound file and gives the copy a cover picture."""
    return _add_cover


def _add_cover(source: Path, target: Path) -> Path:
    with av.open(str(source)) as whole, av.open(str(target), "w", format="mp4") as covered:
        copy = covered.add_stream_from_template(whole.streams.audio[0])
        cover = covered.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 128, 48, "yuvj420p"
        cover.disposition = Disposition.attached_pic
        picture = av.VideoFrame.from_ndarray(draw_number(1, 48, 128), format="rgb24")
        covered.mux(cover.encode(picture.reformat(format="yuvj420p")))
        for packet in whole.demux(whole.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = copy
                covered.mux(packet)
    return target


@pytest.fixture(scope="session")
def join_with_gap() -> Callable[..., Path]:
    """Writes a second of sound, a gap of nothing, and another second."""

    def write_gap(path: Path, gap_seconds: float) -> Path:
        with av.open(str(path), "w") as container:
            stream = container.add_stream("pcm_s16le", rate=48_000)
            stream.layout = "mono"
            sound = Sound(codec="pcm_s16le", seconds=1.0)
            for start in (0.0, 1.0 + gap_seconds):
                part = replace(sound, late_seconds=start)
                for frame in _sound_frames(stream, part):
                    container.mux(stream.encode(frame))
        return path

    return write_gap
