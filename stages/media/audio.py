"""Sound of a recording, sample by sample, by PyAV.

Conventions: *native* samples are those of the file's own rate, counted on the recording's clock.
A clip is always read in the same way, whatever was read before it: jump to a little before it,
decode, put what was decoded where its timestamps say, resample, cut. Only a clip and its margins
are in memory.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from av.container import InputContainer

from avkd.errors import MediaError
from avkd.stages.media.container import (
    audio_stream,
    ffmpeg_errors,
    open_container,
)
from avkd.stages.media.lengths import declared_end_seconds, measured_end_seconds
from avkd.stages.media.native_sound import NativeSound, Stretch, read_native
from avkd.stages.media.probe import describe
from avkd.stages.media.resampling import resample, resampling_window
from avkd.stages.media.sampling import MISSING_TOLERANCE_SECONDS
from avkd.stages.media.unreadable import shown
from avkd.stages.types import WaveformFormat

# Two packets of AAC. More than that beyond the declared end is sound, and the header is wrong.
_LONGEST_PADDING_SECONDS = 0.1
# Of bats; a header that claims more would have room made for what is not there.
_HIGHEST_RATE = 1_000_000


@dataclass(frozen=True, kw_only=True)
class SoundRead:
    """The sound of one clip."""

    waveform: npt.NDArray[np.int16]
    """(num_channels, round(duration_seconds * sample_rate)), zeros where there is no sound."""
    damage: str
    """What is missing or broken, with numbers; empty when nothing is."""
    is_lost: bool
    """Nothing of the clip is there although the file, or the corpus, says that it should be."""


def read_waveform(
    path: str, start_seconds: float, duration_seconds: float, waveform_format: WaveformFormat
) -> npt.NDArray[np.int16]:
    """Decode a span of a recording's sound, resampled; see ``SoundRead.waveform``.

    Raises:
        MediaError: ``no_audio``, ``decode_error``, or ``partial`` when sound is missing that the
            file declares.
    """
    with open_sound(path) as sound:
        read = sound.read(start_seconds, duration_seconds, waveform_format)
    if read.damage:
        raise MediaError("partial", f"{shown(path)}: {read.damage}")
    return read.waveform


def read_audio_file(path: str, waveform_format: WaveformFormat) -> npt.NDArray[np.int16]:
    """Decode the whole sound of a local file: (num_channels, num_samples).

    Raises:
        MediaError: ``no_audio``, ``decode_error``, or ``partial`` when sound is missing that the
            file declares.
    """
    with open_sound(path) as sound:
        return sound.read_all(waveform_format)


@contextmanager
def open_sound(path: str) -> Iterator["SoundReader"]:
    """Open a recording's sound.

    Raises:
        MediaError: ``no_audio`` or ``decode_error``.
    """
    with open_container(path) as container:
        reader = SoundReader(path, container)
    yield reader


class SoundReader:
    """An open recording whose sound is read clip by clip."""

    def __init__(self, path: str, container: InputContainer) -> None:
        """Note what ``container``, opened from ``path``, declares of its sound.

        Raises:
            MediaError: ``no_audio``, or ``decode_error`` for a rate that cannot be.
        """
        stream = audio_stream(container)
        if stream is None or not stream.codec_context.sample_rate:
            raise MediaError("no_audio", f"{shown(path)}: no sound in this file")
        if stream.codec_context.sample_rate > _HIGHEST_RATE:
            raise MediaError(
                "decode_error",
                f"{shown(path)}: sound of {stream.codec_context.sample_rate} samples a second is "
                f"over the limit of {_HIGHEST_RATE}",
            )
        self._path = path
        self._rate = stream.codec_context.sample_rate
        self._declared_end = declared_end_seconds(container, stream)
        self._recording_end = describe(container).duration_seconds or None
        self._measured_end: float | None = None

    def read(
        self, start_seconds: float, duration_seconds: float, waveform_format: WaveformFormat
    ) -> SoundRead:
        """Read one clip's sound.

        Raises:
            MediaError: ``decode_error`` when the file cannot be read on, ``no_audio`` when its
                track of sound is empty.
        """
        num_samples = round(duration_seconds * waveform_format.sample_rate)
        first_sample = round(start_seconds * waveform_format.sample_rate)
        window = resampling_window(
            first_sample, num_samples, self._rate, waveform_format.sample_rate
        )
        with ffmpeg_errors(self._path):
            native = read_native(self._path, window.start, window.stop, waveform_format)
        samples = resample(native.samples, self._rate, waveform_format.sample_rate)
        samples = samples[:, window.num_skipped : window.num_skipped + num_samples]
        end_seconds = start_seconds + duration_seconds
        missing = self._missing(native, start_seconds, end_seconds)
        if not (missing or native.has_any):
            raise self._emptiness(native)
        span = start_seconds * self._rate, end_seconds * self._rate
        is_behind_end = bool(missing) and native.end / self._rate <= start_seconds
        is_in_gap = any(begin <= span[0] and span[1] <= end for begin, end in native.gaps)
        return SoundRead(
            waveform=_to_int16(samples, num_samples),
            damage="; ".join(filter(None, (missing, self._damage_within(native, *span)))),
            is_lost=is_behind_end or is_in_gap,
        )

    def read_all(self, waveform_format: WaveformFormat) -> npt.NDArray[np.int16]:
        """Read everything from the start of the recording to the end of its sound.

        Raises:
            MediaError: ``decode_error`` or ``partial``.
        """
        with ffmpeg_errors(self._path):
            native = read_native(self._path, 0, None, waveform_format)
        if not native.samples.shape[1]:
            raise MediaError("decode_error", f"{shown(self._path)}: no sound can be decoded")
        damage = self._missing(native, 0.0, self._declared_end or self._end_of_recording())
        damage = damage or self._damage_within(native, 0.0, math.inf)
        if damage:
            raise MediaError("partial", f"{shown(self._path)}: {damage}")
        num_samples = round(self._without_padding(native.end) * waveform_format.sample_rate)
        return _to_int16(
            resample(native.samples, self._rate, waveform_format.sample_rate), num_samples
        )

    def _emptiness(self, native: NativeSound) -> MediaError:
        """Why there is no sound at all although nothing of it is said to be missing."""
        if native.broken:
            return MediaError(
                "decode_error",
                f"{shown(self._path)}: no sound can be decoded, "
                f"{len(native.broken)} broken packets",
            )
        return MediaError(
            "no_audio", f"{shown(self._path)}: the track of sound in this file is empty"
        )

    def _damage_within(self, native: NativeSound, start: float, stop: float) -> str:
        """What is broken or missing between two native samples, in words; empty when nothing."""
        gaps = [_overlap(gap, start, stop) for gap in native.gaps]
        num_broken = sum(_overlap(packet, start, stop) > 0 for packet in native.broken)
        found = []
        if seconds := sum(gaps) / self._rate:
            found.append(f"{seconds:.2f} s of sound are missing in between")
        if num_broken:
            found.append(f"{num_broken} broken packets of sound")
        return "; ".join(found)

    def _without_padding(self, num_native: int) -> float:
        """Seconds of sound, without what a codec added to fill its last packet."""
        got = num_native / self._rate
        declared = self._declared_end or got
        return declared if declared < got <= declared + _LONGEST_PADDING_SECONDS else got

    def _missing(self, native: NativeSound, start_seconds: float, end_seconds: float) -> str:
        """What the clip lacks of the sound that is declared, in words; empty when nothing."""
        got = native.end / self._rate
        if not native.reached_end or got >= end_seconds - MISSING_TOLERANCE_SECONDS:
            return ""
        recording_end = self._end_of_recording()
        if recording_end < end_seconds - MISSING_TOLERANCE_SECONDS:
            return f"the recording ends at {recording_end:.2f} s, the clip at {end_seconds:.2f} s"
        declared = self._declared_end
        if declared is None:
            # Sound may be shorter than the pictures; where they end early too, the file broke off.
            broke_off = self._measure() < recording_end - MISSING_TOLERANCE_SECONDS
            declared = recording_end if broke_off else got
        if (
            got >= min(end_seconds, declared) - MISSING_TOLERANCE_SECONDS
            or declared <= start_seconds
        ):
            return ""
        wanted = round((end_seconds - start_seconds) * self._rate)
        lacking = round((min(end_seconds, declared) - max(got, start_seconds)) * self._rate)
        return (
            f"sound ends at {got:.2f} s, the file declares {declared:.2f} s: "
            f"{lacking} of {wanted} samples missing"
        )

    def _end_of_recording(self) -> float:
        if self._recording_end is None:
            self._recording_end = self._measure()
        return self._recording_end

    def _measure(self) -> float:
        if self._measured_end is None:
            self._measured_end = measured_end_seconds(self._path)
        return self._measured_end


def _overlap(stretch: Stretch, start: float, stop: float) -> float:
    return max(0.0, min(stretch[1], stop) - max(stretch[0], start))


def _to_int16(samples: npt.NDArray[np.float32], num_samples: int) -> npt.NDArray[np.int16]:
    whole = np.zeros((samples.shape[0], num_samples), dtype=np.int16)
    kept = samples[:, :num_samples]
    whole[:, : kept.shape[1]] = np.clip(np.rint(kept * 32768.0), -32768, 32767).astype(np.int16)
    return whole
