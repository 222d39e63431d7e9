"""What goes over the pipes between the pool and a decode child.

A message is a little header (JSON, with its length before it) and then the raw bytes of the arrays
that the header lists. JSON and bytes, not pickle: a child that went mad must not be able to make
its parent run anything.
"""

import json
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from avkd.errors import MediaError
from avkd.stages.types import DecodedClip, FrameFormat, MediaInfo, WaveformFormat

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
    frame_stream: str = "rgb"
    audio_stream: str = "audio"


def write_message(
    pipe: IO[bytes], header: Mapping[str, Any], arrays: Sequence[npt.NDArray[Any]] = ()
) -> None:
    """Write one message and flush it."""
    listed = [{"dtype": array.dtype.name, "shape": array.shape} for array in arrays]
    encoded = json.dumps({**header, "arrays": listed}).encode()
    pipe.write(_LENGTH.pack(len(encoded)) + encoded)
    for array in arrays:
        pipe.write(np.ascontiguousarray(array).data)
    pipe.flush()


def read_message(pipe: IO[bytes]) -> tuple[dict[str, Any], list[npt.NDArray[Any]]] | None:
    """Read one message: its header and arrays; None where the pipe has closed."""
    length = _read_exactly(pipe, _LENGTH.size, _LENGTH.size)
    encoded = length and _read_exactly(pipe, _LENGTH.unpack(length)[0], _LONGEST_HEADER)
    if not encoded:
        return None
    header: dict[str, Any] = json.loads(encoded)
    arrays = []
    for listed in header.pop("arrays"):
        shape, dtype = tuple(listed["shape"]), _checked_dtype(listed["dtype"])
        content = _read_exactly(pipe, dtype.itemsize * math.prod(shape), _LONGEST_ARRAY)
        if content is None:
            return None
        arrays.append(np.ndarray(shape, dtype, buffer=content))
    return header, arrays


def _checked_dtype(name: str) -> np.dtype[Any]:
    if name not in _ALLOWED_DTYPES:
        raise ValueError(f"array of {name} in a message, not one of {_ALLOWED_DTYPES}")
    return np.dtype(name)


def _read_exactly(pipe: IO[bytes], num_bytes: int, most: int) -> bytearray | None:
    if not 0 <= num_bytes <= most:
        raise ValueError(f"a message part of {num_bytes} bytes is none that avkd writes")
    content = bytearray(num_bytes)
    view, num_read = memoryview(content), 0
    while num_read < num_bytes:
        received = pipe.readinto(view[num_read:])  # type: ignore[attr-defined]
        if not received:
            return None
        num_read += received
    return content


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
    }
    return header, [*clip.frames.values(), *([] if clip.waveform is None else [clip.waveform])]


def decode_clip(header: Mapping[str, Any], arrays: Sequence[npt.NDArray[Any]]) -> DecodedClip:
    """The clip in a message that ``encode_clip`` made."""
    fields = dict(header)
    formats = [FrameFormat(**each) for each in fields.pop("formats")]
    rest = arrays[len(formats) :]
    return DecodedClip(
        frames=dict(zip(formats, arrays, strict=False)),
        waveform=rest[0] if rest else None,
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
