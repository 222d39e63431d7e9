"""Decoded sound of a span at the file's own rate, laid out by its timestamps."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import av
import numpy as np
import numpy.typing as npt
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet

from avkd.errors import MediaError
from avkd.stages.media.container import (
    audio_stream,
    open_container,
    readable_packets,
    zero_seconds,
)
from avkd.stages.media.file_identity import FileIdentity, KnownFiles, identify
from avkd.stages.types import WaveformFormat

# What decoders need to settle after a jump: MP3 looks back 10 frames, Opus 80 ms.
_PREROLL_SECONDS = 0.5
# Where a jump lands late a longer one is tried; in the end the file is read from its start.
_LONGER_PREROLL_SECONDS = 10.0
# Timestamps wander by a millisecond in Matroska; a gap of that length is one.
_GAP_SECONDS = 0.1
# Codecs for speech send a packet every 0.4 s while nobody speaks.
_LONGEST_PAUSE_SECONDS = 0.5

Samples = npt.NDArray[np.float32]
Stretch: TypeAlias = tuple[float, float]
"""First native sample and the one after the last."""


@dataclass(frozen=True, kw_only=True)
class NativeSound:
    """A span of sound at its native rate, zeros where there is none."""

    samples: Samples
    """(num_channels, stop - start) in [-1, 1]."""
    end: int
    """The native sample after the last that was decoded, on the way as well; 0 when none was."""
    reached_end: bool
    """Whether the stream ended before the span did."""
    broken: Sequence[Stretch]
    """Packets that could not be decoded."""
    gaps: Sequence[Stretch]
    """Where nothing is between one sample and the next, for too long to be a pause."""
    has_any: bool
    """Whether any sound at all was decoded on the way."""


@dataclass(frozen=True, kw_only=True)
class _Piece:
    """One decoded frame of sound."""

    position: float
    """Of its first sample by its timestamp, in native samples."""
    samples: Samples


_endings: KnownFiles[NativeSound] = KnownFiles()
"""What was found where all sound of a file lies before the span that was asked for."""


def read_native(
    path: str, start: int, stop: int | None, waveform_format: WaveformFormat
) -> NativeSound:
    """Decode the native samples from ``start`` to ``stop``, or to the end of the sound.

    Raises:
        MediaError: ``decode_error`` when the file lacks channels that are asked for.
    """
    identity = identify(path)
    ending = _endings.get(identity)
    if ending is None or stop is None or not _is_behind(ending, start, stop):
        return _read(path, start, stop, waveform_format, identity)
    # That took a reading of the whole file, and so would this.
    silence = np.zeros((waveform_format.num_channels, stop - start), dtype=np.float32)
    return replace(ending, samples=silence)


def _is_behind(ending: NativeSound, start: int, stop: int) -> bool:
    """Whether a reading of a span would meet all that is known of the file, and nothing else."""
    return ending.end <= start and all(begin < stop for begin, _ in ending.broken)


def _read(
    path: str,
    start: int,
    stop: int | None,
    waveform_format: WaveformFormat,
    identity: FileIdentity | None,
) -> NativeSound:
    for preroll in (_PREROLL_SECONDS, _LONGER_PREROLL_SECONDS, None):
        # A decoder keeps something of all it has decoded (AAC the state of its noise), even over a
        # jump: a new one each time makes a clip's samples depend on the clip alone.
        with open_container(path) as container:
            reading = _Reading(container, waveform_format)
            pieces = reading.pieces(start, stop, preroll)
        if reading.is_from_start or (pieces and pieces[0].position <= start):
            break
    tolerance = reading.time_base_samples / 2
    runs = _runs(pieces, tolerance, _GAP_SECONDS * reading.rate)
    end = max((first + samples.shape[1] for first, samples in runs), default=reading.end)
    native = NativeSound(
        samples=_lay_out(runs, start, end if stop is None else stop, waveform_format.num_channels),
        end=end,
        reached_end=reading.reached_end,
        broken=reading.broken,
        gaps=reading.gaps,
        has_any=reading.has_any,
    )
    if not pieces and reading.is_from_start and reading.reached_end:
        _endings.note(identity, replace(native, samples=native.samples[:, :0]))
    return native


class _Reading:
    """One pass over a span: what it met beside the samples."""

    def __init__(self, container: InputContainer, waveform_format: WaveformFormat) -> None:
        stream = audio_stream(container)
        assert stream is not None, "SoundReader found one"
        assert stream.time_base is not None, "streams of a container have one"
        stream.codec_context.thread_count = 1
        self._container, self._stream, self._unit = container, stream, stream.time_base
        self._format = waveform_format
        self._zero = zero_seconds(container)
        self.rate = stream.codec_context.sample_rate
        self.time_base_samples = float(self._unit) * self.rate
        self.is_from_start = False
        self.reached_end = True
        self.broken: list[Stretch] = []
        self.gaps: list[Stretch] = []
        self.has_any = False
        self.end = 0
        self._last_end: float | None = None

    def pieces(self, start: int, stop: int | None, preroll: float | None) -> list[_Piece]:
        """The pieces that touch the span, after a jump to ``preroll`` before it."""
        self._jump(start, preroll)
        # The first piece after a jump lacks what its decoder would have kept from before.
        is_settled = self.is_from_start
        pieces: list[_Piece] = []
        for piece in self._decode(stop):
            self.has_any = True
            self._note_place(piece)
            if stop is not None and piece.position >= stop:
                self.reached_end = False
                break
            if is_settled and piece.position + piece.samples.shape[1] > start:
                pieces.append(piece)
            is_settled = True
        return pieces

    def _note_place(self, piece: _Piece) -> None:
        last_end, self._last_end = self._last_end, piece.position + piece.samples.shape[1]
        self.end = max(self.end, round(self._last_end))
        if last_end is not None and piece.position - last_end > _LONGEST_PAUSE_SECONDS * self.rate:
            self.gaps.append((last_end, piece.position))

    def _jump(self, start: int, preroll: float | None) -> None:
        target = 0.0 if preroll is None else start / self.rate - preroll
        self.is_from_start = target <= 0
        if not self.is_from_start:
            # A track without a packet cannot be searched; it is read from the start in the end.
            with suppress(FFmpegError):
                self._container.seek(int((target + self._zero) / self._unit), stream=self._stream)

    def _decode(self, stop: int | None) -> Iterator[_Piece]:
        # Packed: PyAV counts nine planes in a planar frame of eight channels, and reads past them.
        packed = av.AudioResampler(format="flt")
        unit, position = float(self._unit), 0.0
        for frame in self._decoded_frames(stop):
            if frame.sample_rate != self.rate:
                raise MediaError("decode_error", f"sound changes its rate to {frame.sample_rate}")
            if frame.pts is not None:
                position = (frame.pts * unit - self._zero) * self.rate
            for part in packed.resample(frame):
                channels = part.to_ndarray().reshape(-1, part.layout.nb_channels).T
                samples = choose_channels(channels.astype(np.float32), self._format)
                yield _Piece(position=position, samples=samples)
                position += samples.shape[1]

    def _decoded_frames(self, stop: int | None) -> Iterator[av.AudioFrame]:
        for packet in readable_packets(self._container, [self._stream]):
            try:
                frames = packet.decode()
            except MemoryError:
                raise
            except (FFmpegError, EOFError):
                self.broken.append(self._place(packet))
                if stop is not None and self.broken[-1][0] >= stop:
                    self.reached_end = False
                    return
                continue
            for frame in frames:
                if isinstance(frame, av.AudioFrame) and frame.samples:
                    yield frame

    def _place(self, packet: "Packet[Any]") -> Stretch:
        if packet.pts is None:
            begin = self._last_end or 0.0
        else:
            begin = (packet.pts * float(self._unit) - self._zero) * self.rate
        return begin, begin + max(1.0, (packet.duration or 0) * float(self._unit) * self.rate)


def choose_channels(samples: Samples, waveform_format: WaveformFormat) -> Samples:
    """Native channels (channels, samples) to those that the format asks for.

    Raises:
        MediaError: ``decode_error`` when there are fewer than ``all`` asks for; one channel alone
            may stand for many.
    """
    num_wanted = waveform_format.num_channels
    if len(samples) == num_wanted == 1:
        return samples
    if waveform_format.channels == "first":
        chosen = samples[:1]
    elif waveform_format.channels == "mix":
        chosen = samples.mean(axis=0, keepdims=True, dtype=np.float32)
    else:
        chosen = samples[:num_wanted]
    if len(chosen) not in (1, num_wanted):
        raise MediaError("decode_error", f"{len(chosen)} channels of sound, {num_wanted} asked for")
    return np.broadcast_to(chosen, (num_wanted, samples.shape[1])).astype(np.float32)


def _runs(pieces: list[_Piece], tolerance: float, gap: float) -> list[tuple[int, Samples]]:
    """Pieces that follow one another, joined: first native sample and samples of each run."""
    runs: list[list[_Piece]] = []
    expected = 0.0
    for piece in pieces:
        if not runs or abs(piece.position - expected) > gap:
            runs.append([])
            expected = piece.position
        runs[-1].append(piece)
        expected += piece.samples.shape[1]
    return [
        (_run_start(run, tolerance), np.concatenate([p.samples for p in run], 1)) for run in runs
    ]


def _run_start(run: list[_Piece], tolerance: float) -> int:
    """The first sample of a run, from all its timestamps.

    Each was rounded to its time base (a millisecond in Matroska, 44 samples); together they leave
    a sample or so of doubt, so that a jump to the middle counts like a reading from the start.
    """
    lengths = np.cumsum([0, *(piece.samples.shape[1] for piece in run[:-1])])
    starts = np.array([piece.position for piece in run]) - lengths
    # The very first piece is cut by the encoder's delay and rounded anew.
    starts = starts[1:] if len(starts) > 2 else starts
    lowest, highest = starts.max() - tolerance, starts.min() + tolerance
    return round(float((lowest + highest) / 2 if lowest <= highest else np.median(starts)))


def _lay_out(runs: list[tuple[int, Samples]], start: int, stop: int, num_channels: int) -> Samples:
    samples = np.zeros((num_channels, max(0, stop - start)), dtype=np.float32)
    for first, run in runs:
        begin, end = max(first, start), min(first + run.shape[1], stop)
        if begin < end:
            samples[:, begin - start : end - start] = run[:, begin - first : end - first]
    return samples
