"""The corpus of the benchmarks, made by PyAV alone.

    python benchmarks/media.py corpus/ [--scale 0.25] [--sizes 1280x720] [--codecs h264]

Every combination of size, codec, distance of key pictures and constant or variable frame rate, with
sound; what is drawn follows from the seed and the kind of a clip, so that clips may be made apart.
Encoders of other versions give other bytes: raw rows carry the versions and a sha256 of each file.
"""

import argparse
import hashlib
import itertools
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.stream import VideoStream

Picture = npt.NDArray[np.uint8]

SIZES = ((320, 240), (1280, 720), (1920, 1080))
GOPS = (12, 60, 250)
CODECS = ("h264", "hevc", "vp9")
FRAME_RATE = 25
SAMPLE_RATE = 48_000

_ENCODERS = {"h264": "libx264", "hevc": "libx265", "vp9": "libvpx-vp9"}
_SOUND = {"h264": "aac", "hevc": "aac", "vp9": "libopus"}
_SUFFIX = {"h264": "mp4", "hevc": "mp4", "vp9": "mkv"}
_TICKS = 1000
"""Per second, of the timestamps: what Matroska keeps as well."""
_TEXTURE_MARGIN = 2


@dataclass(frozen=True, kw_only=True)
class ClipSpec:
    """One file of the corpus."""

    width: int
    height: int
    codec: str
    gop: int
    """Pictures from one key picture to the next."""
    has_variable_rate: bool
    seconds: float
    seed: int

    @property
    def name(self) -> str:
        """Of the file: other bytes have another name."""
        rate = "vfr" if self.has_variable_rate else "cfr"
        kind = f"{self.codec}-{self.width}x{self.height}-gop{self.gop}-{rate}"
        return f"{kind}-{round(1000 * self.seconds)}ms-{self.seed}.{_SUFFIX[self.codec]}"

    @property
    def random(self) -> np.random.Generator:
        """The clip's own stream of numbers."""
        return _stream(self.seed, self.name)


def plan_corpus(
    *,
    sizes: Sequence[tuple[int, int]] = SIZES,
    gops: Sequence[int] = GOPS,
    codecs: Sequence[str] = CODECS,
    seconds: tuple[float, float] = (10.0, 60.0),
    scale: float = 1.0,
    seed: int = 0,
    is_variable: Sequence[bool] = (False, True),
) -> tuple[ClipSpec, ...]:
    """List the files of a corpus.

    Args:
        sizes: width and height of pictures.
        gops: pictures from one key picture to the next.
        codecs: of ``CODECS``.
        seconds: the shortest and the longest clip.
        scale: of widths, heights and seconds alike; sizes stay even.
        seed: of all that is drawn.
        is_variable: constant frame rates, variable ones, or both.
    """
    return tuple(
        ClipSpec(
            width=_even(width * scale),
            height=_even(height * scale),
            codec=codec,
            gop=gop,
            has_variable_rate=varies,
            # Whole tenths: a name must mean the same file to the last bit.
            seconds=round(_draw_seconds(seconds, seed, width, codec, gop, varies) * scale, 1),
            seed=seed,
        )
        for (width, height), codec, gop, varies in itertools.product(
            sizes, codecs, gops, is_variable
        )
    )


def list_encoders(codecs: Sequence[str] = CODECS) -> tuple[str, ...]:
    """Say which of the codecs the FFmpeg that PyAV brings along can write."""
    return tuple(codec for codec in codecs if _has_encoder(_ENCODERS[codec], _SOUND[codec]))


def write_clip(spec: ClipSpec, folder: Path) -> Path:
    """Write one file; the same bytes each time with the same versions on one kind of processor."""
    path = folder / spec.name
    part = path.with_name(f"part-{path.name}")
    with av.open(str(part), "w", options={"fflags": "+bitexact"}) as container:
        pictures, sound = _add_streams(container, spec)
        samples = _draw_sound(spec)
        for ticks, picture in zip(_ticks(spec), _draw_pictures(spec), strict=False):
            # A second of sound before the pictures of that second, as cameras write them.
            while samples and (samples[0].pts or 0) * _TICKS <= ticks * SAMPLE_RATE:
                container.mux(sound.encode(samples.popleft()))
            container.mux(pictures.encode(_to_frame(picture, ticks)))
        container.mux(pictures.encode(None))
        for rest in (*samples, None):
            container.mux(sound.encode(rest))
    return part.replace(path)


def write_corpus(specs: Sequence[ClipSpec], folder: Path, *, num_workers: int = 1) -> list[Path]:
    """Write those files that are not there yet, and give the paths of all."""
    folder.mkdir(parents=True, exist_ok=True)
    lacking = [spec for spec in specs if not (folder / spec.name).exists()]
    with ProcessPoolExecutor(num_workers, mp_context=get_context("spawn")) as pool:
        list(pool.map(write_clip, lacking, itertools.repeat(folder)))
    return [folder / spec.name for spec in specs]


def describe_corpus(paths: Sequence[Path]) -> Mapping[str, Any]:
    """What decides the bytes of files beside their names, and a sha256 of each."""
    libraries = {name: ".".join(map(str, number)) for name, number in av.library_versions.items()}
    return {
        "versions": {"av": av.__version__, "numpy": np.__version__, **libraries},
        "sha256": {path.name: _digest(path) for path in paths},
    }


def _add_streams(container: OutputContainer, spec: ClipSpec) -> tuple[VideoStream, AudioStream]:
    pictures = container.add_stream(
        _ENCODERS[spec.codec], rate=FRAME_RATE, options=_encoder_options(spec)
    )
    assert isinstance(pictures, VideoStream)
    pictures.width, pictures.height, pictures.pix_fmt = spec.width, spec.height, "yuv420p"
    pictures.codec_context.gop_size = spec.gop
    pictures.codec_context.time_base = Fraction(1, _TICKS)
    pictures.codec_context.thread_count = 1  # how many there are changes the bytes
    sound = container.add_stream(_SOUND[spec.codec], rate=SAMPLE_RATE, layout="stereo")
    assert isinstance(sound, AudioStream)
    sound.bit_rate = 96_000
    return pictures, sound


def _encoder_options(spec: ClipSpec) -> dict[str, str]:
    if spec.codec == "h264":
        return {"preset": "veryfast", "crf": "23", "x264-params": f"scenecut=0:keyint={spec.gop}"}
    if spec.codec == "hevc":
        keys = f"keyint={spec.gop}:min-keyint={spec.gop}:scenecut=0:open-gop=0"
        return {"preset": "ultrafast", "x265-params": f"{keys}:pools=none:log-level=none"}
    return {"deadline": "realtime", "cpu-used": "8", "crf": "33", "b": "0"}


def _to_frame(picture: Picture, ticks: int) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
    frame.pts, frame.time_base = ticks, Fraction(1, _TICKS)
    return frame


def _ticks(spec: ClipSpec) -> Iterator[int]:
    """When pictures appear: every one for a 25th of a second, or for one to three of them."""
    interval, end = _TICKS // FRAME_RATE, round(spec.seconds * _TICKS)
    random, ticks = spec.random, 0
    while ticks < end:
        yield ticks
        ticks += interval * (int(random.choice([1, 1, 1, 2, 3])) if spec.has_variable_rate else 1)


def _draw_pictures(spec: ClipSpec) -> Iterator[Picture]:
    """A textured ground that the camera wanders over, boxes that cross it, and grain.

    Motion that a codec must follow, detail that it must keep: a still or a plain ground would be
    decoded faster than anything a camera takes.
    """
    random = spec.random
    ground = _draw_ground(spec, random)
    grains = random.integers(-4, 5, (4, spec.height, spec.width, 1), np.int16)
    speeds = random.uniform(-1.5, 1.5, (6, 2)) * (spec.width, spec.height) / (2 * FRAME_RATE)
    starts = random.uniform(0, 1, (6, 2)) * (spec.width, spec.height)
    colours = random.integers(0, 256, (6, 3), np.uint8)
    side = max(4, spec.height // 6)
    for number in itertools.count():
        left, top = (
            round((0.5 + 0.5 * np.sin(number / rate)) * (room - shown))
            for rate, room, shown in (
                (90.0, ground.shape[1], spec.width),
                (61.0, ground.shape[0], spec.height),
            )
        )
        picture = ground[top : top + spec.height, left : left + spec.width].copy()
        for start, speed, colour in zip(starts, speeds, colours, strict=True):
            x, y = ((start + number * speed) % (spec.width, spec.height)).astype(int)
            picture[y : y + side, x : x + side] = colour
        yield np.clip(picture + grains[number % len(grains)], 0, 255).astype(np.uint8)


def _draw_ground(spec: ClipSpec, random: np.random.Generator) -> npt.NDArray[np.int16]:
    """Octaves of coarse to fine noise, larger than a picture so that there is room to wander."""
    height, width = (_TEXTURE_MARGIN * each for each in (spec.height, spec.width))
    ground = np.full((height, width, 3), 128.0, np.float32)
    for cell, strength in ((64, 60.0), (16, 40.0), (4, 20.0)):
        coarse = random.uniform(-1, 1, (-(-height // cell), -(-width // cell), 3))
        ground += strength * coarse.repeat(cell, 0).repeat(cell, 1)[:height, :width]
    return np.clip(ground, 0, 255).astype(np.int16)


def _draw_sound(spec: ClipSpec) -> deque[av.AudioFrame]:
    """A tone that rises, with noise, in stereo, a second a frame."""
    num_samples = round(spec.seconds * SAMPLE_RATE)
    times = np.arange(num_samples) / SAMPLE_RATE
    tone = 0.3 * np.sin(2 * np.pi * (200 + 20 * times) * times)
    noise = 0.05 * spec.random.standard_normal((2, num_samples))
    samples = np.ascontiguousarray((32767 * np.clip(tone + noise, -1, 1)).astype(np.int16).T)
    frames = deque[av.AudioFrame]()
    for first in range(0, num_samples, SAMPLE_RATE):
        part = samples[first : first + SAMPLE_RATE].reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(part, format="s16", layout="stereo")
        frame.sample_rate, frame.pts = SAMPLE_RATE, first
        frame.time_base = Fraction(1, SAMPLE_RATE)
        frames.append(frame)
    return frames


def _has_encoder(*names: str) -> bool:
    try:
        return all(av.codec.Codec(name, "w") for name in names)
    except av.codec.codec.UnknownCodecError:
        return False


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _even(length: float) -> int:
    return max(16, 2 * round(length / 2))


def _stream(seed: int, name: str) -> np.random.Generator:
    return np.random.default_rng(list(hashlib.sha256(f"{seed} {name}".encode()).digest()))


def _draw_seconds(between: tuple[float, float], seed: int, *kind: object) -> float:
    return float(_stream(seed, " ".join(map(str, kind))).uniform(*between))


def _parse_size(text: str) -> tuple[int, int]:
    """Read ``1280x720``."""
    width, height = (int(part) for part in text.split("x"))
    return width, height


def main() -> None:
    """Make a corpus."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sizes", type=_parse_size, nargs="+", default=SIZES)
    parser.add_argument("--gops", type=int, nargs="+", default=GOPS)
    parser.add_argument("--codecs", choices=CODECS, nargs="+", default=CODECS)
    parser.add_argument("--seconds", type=float, nargs=2, default=(10.0, 60.0))
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    asked = parser.parse_args()
    specs = plan_corpus(
        sizes=asked.sizes,
        gops=asked.gops,
        codecs=list_encoders(asked.codecs),
        seconds=tuple(asked.seconds),
        scale=asked.scale,
        seed=asked.seed,
    )
    write_corpus(specs, asked.folder, num_workers=asked.workers)
    print(f"{len(specs)} files in {asked.folder}")


if __name__ == "__main__":
    main()
