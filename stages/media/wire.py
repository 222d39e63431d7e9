"""What goes over the pipes between the pool and a decode child.

A message is a little header (JSON, with its length before it) and then the raw bytes of the arrays
that the header lists, unless these lie in shared memory (``shared_region``). JSON and bytes, not
pickle: a child that went mad must not be able to make its parent run anything.
"""

import json
import math
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from avkd.errors import MediaError
from avkd.stages.media.limits import DecodeLimits
from avkd.stages.media.shared_region import RegionWriter, SharedRegion
from avkd.stages.types import (
    DecodedClip,
    DecodedSound,
    DecoderName,
    FrameFormat,
    MediaInfo,
    WaveformFormat,
)

_LENGTH = struct.Struct(">I")
_LONGEST_HEADER = 2**26
_LONGEST_ARRAY = 2**32
_ALLOWED_DTYPES = ("uint8", "uint16", "int16")


@dataclass(frozen=True, kw_only=True)
class ClipRequest:
    """One clip that a job asks for."""

    clip_id: str
    start_seconds: float
    duration_seconds: float
    instants: tuple[float, ...]
    """When its pictures are taken: ascending, recording seconds (``sampling.step_instants``)."""


@dataclass(frozen=True, kw_only=True)
class DecodeJob:
    """Consecutive clips of one recording: the file is opened once and read forward."""

    streams: Mapping[str, str]
    """Stream name to URI, as in the corpus."""
    clips: tuple[ClipRequest, ...]
    clip_seconds: float
    """Of a full clip: every waveform is that long, zeros after the clip's own duration."""
    frame_formats: tuple[FrameFormat, ...] = ()
    """All of the same pixels."""
    waveform: WaveformFormat | None = None
    more_waveforms: tuple[WaveformFormat, ...] = ()
    """Others of the same sound; only beside ``waveform``."""
    frame_stream: str = "rgb"
    audio_stream: str = "audio"
    decoder: DecoderName = "pyav"
    """Of pictures; see ``frames.open_reader``."""


def write_message(
    pipe: IO[bytes],
    header: Mapping[str, Any],
    arrays: Sequence[npt.NDArray[Any]] = (),
    region: RegionWriter | None = None,
) -> None:
    """Write one message and flush it; its arrays go through ``region`` if they fit there."""
    listed: list[dict[str, Any]]
    listed = [{"dtype": array.dtype.name, "shape": array.shape} for array in arrays]
    places = region.put(arrays) if region is not None else None
    if places is not None:
        listed = [{**each, "place": place} for each, place in zip(listed, places, strict=True)]
    encoded = json.dumps({**header, "arrays": listed}).encode()
    pipe.write(_LENGTH.pack(len(encoded)) + encoded)
    for array in arrays if places is None else ():
        pipe.write(np.ascontiguousarray(array).data)
    pipe.flush()


def read_message(
    pipe: IO[bytes], region: SharedRegion | None = None, on_taken: Callable[[], None] | None = None
) -> tuple[dict[str, Any], list[npt.NDArray[Any]]] | None:
    """Read one message: its header and arrays; None where the pipe has closed.

    Args:
        pipe: that the message comes from.
        region: that its arrays may lie in.
        on_taken: called when arrays were copied out of ``region``.
    """
    length = _read_exactly(pipe, _LENGTH.size, _LENGTH.size)
    encoded = length and _read_exactly(pipe, _LENGTH.unpack(length)[0], _LONGEST_HEADER)
    if not encoded:
        return None
    header: dict[str, Any] = json.loads(bytes(encoded))
    arrays, is_shared = [], False
    for listed in header.pop("arrays"):
        shape, dtype = tuple(listed["shape"]), _checked_dtype(listed["dtype"])
        num_bytes = dtype.itemsize * math.prod(shape)
        content: memoryview | None
        if "place" in listed:
            content, is_shared = _copy_out(region, listed["place"], num_bytes), True
        else:
            content = _read_exactly(pipe, num_bytes, _LONGEST_ARRAY)
        if content is None:
            return None
        arrays.append(np.ndarray(shape, dtype, buffer=content))
    if is_shared and on_taken is not None:
        on_taken()
    return header, arrays


def _copy_out(region: SharedRegion | None, place: object, num_bytes: int) -> memoryview:
    if region is None or not isinstance(place, int):
        raise ValueError("an array lies in shared memory that nobody gave")
    return region.copy_out(place, num_bytes)


def _checked_dtype(name: str) -> np.dtype[Any]:
    if name not in _ALLOWED_DTYPES:
        raise ValueError(f"array of {name} in a message, not one of {_ALLOWED_DTYPES}")
    return np.dtype(name)


def _read_exactly(pipe: IO[bytes], num_bytes: int, most: int) -> memoryview | None:
    if not 0 <= num_bytes <= most:
        raise ValueError(f"a message part of {num_bytes} bytes is none that avkd writes")
    view, num_read = np.empty(num_bytes, np.uint8).data, 0
    while num_read < num_bytes:
        received = pipe.readinto(view[num_read:])  # type: ignore[attr-defined]
        if not received:
            return None
        num_read += received
    return view


def encode_limits(limits: DecodeLimits, region: SharedRegion | None = None) -> dict[str, Any]:
    """Limits, and the memory to write into, as a message's header."""
    shared = None if region is None else [region.descriptor, region.num_bytes]
    return {"kind": "limits", "limits": asdict(limits), "region": shared}


def encode_taken() -> dict[str, Any]:
    """That the arrays of the oldest message were copied out of shared memory, as a header."""
    return {"kind": "taken"}


def decode_limits(header: Mapping[str, Any]) -> DecodeLimits:
    """The limits in a header that ``encode_limits`` made."""
    return DecodeLimits(**header["limits"])


def encode_job(job: DecodeJob) -> dict[str, Any]:
    """A job as a message's header."""
    return {"kind": "decode", "job": asdict(replace(job, streams=dict(job.streams)))}


def decode_job(header: Mapping[str, Any]) -> DecodeJob:
    """The job in a header that ``encode_job`` made."""
    job = dict(header["job"])
    waveform = job.pop("waveform")
    return DecodeJob(
        clips=tuple(
            ClipRequest(**{**clip, "instants": tuple(clip["instants"])})
            for clip in job.pop("clips")
        ),
        frame_formats=tuple(FrameFormat(**each) for each in job.pop("frame_formats")),
        waveform=WaveformFormat(**waveform) if waveform else None,
        more_waveforms=tuple(WaveformFormat(**each) for each in job.pop("more_waveforms")),
        **job,
    )


def encode_clip(clip: DecodedClip) -> tuple[dict[str, Any], list[npt.NDArray[Any]]]:
    """A decoded clip as a message: header and arrays."""
    header: dict[str, Any] = {
        "clip_id": clip.clip_id,
        "frames_status": clip.frames_status,
        "frames_reason": clip.frames_reason,
        "num_frames": clip.num_frames,
        "waveform_status": clip.waveform_status,
        "waveform_reason": clip.waveform_reason,
        "formats": [asdict(frame_format) for frame_format in clip.frames],
        "has_waveform": clip.waveform is not None,
        "more_sound": [
            [asdict(waveform_format), sound.status, sound.reason, sound.waveform is not None]
            for waveform_format, sound in clip.more_sound.items()
        ],
    }
    waveforms = [clip.waveform, *(sound.waveform for sound in clip.more_sound.values())]
    return header, [*clip.frames.values(), *(each for each in waveforms if each is not None)]


def decode_clip(header: Mapping[str, Any], arrays: Sequence[npt.NDArray[Any]]) -> DecodedClip:
    """The clip in a message that ``encode_clip`` made."""
    fields = dict(header)
    formats = [FrameFormat(**each) for each in fields.pop("formats")]
    rest = iter(arrays[len(formats) :])
    return DecodedClip(
        frames=dict(zip(formats, arrays, strict=False)),
        waveform=next(rest, None) if fields.pop("has_waveform") else None,
        more_sound={
            WaveformFormat(**waveform_format): DecodedSound(
                status=status, reason=reason, waveform=next(rest, None) if has_waveform else None
            )
            for waveform_format, status, reason, has_waveform in fields.pop("more_sound")
        },
        **fields,
    )


def encode_probe(answer: MediaInfo | MediaError) -> dict[str, Any]:
    """What a probe found as a message's header."""
    if isinstance(answer, MediaError):
        return {"error": [answer.status, answer.reason]}
    return {"info": asdict(answer)}


def decode_probe(header: Mapping[str, Any]) -> MediaInfo | MediaError:
    """What ``encode_probe`` put into a header."""
    if "error" in header:
        return MediaError(*header["error"])
    return MediaInfo(**header["info"])
