"""Labelled pictures, decoded once and kept in memory for all epochs.

Conventions: F pictures, by recording in the order asked for, then by time; h and w of what the
network looks at, c channels; uint8 RGB or uint16 gray, as extraction shows them to the teacher.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from avkd.errors import TooManyFailuresError
from avkd.pipeline.cores import default_decode_workers
from avkd.pipeline.decoding.pool import DecodePool
from avkd.pipeline.training.examples import is_held_out
from avkd.stages.media.wire import ClipRequest, DecodeJob
from avkd.stages.types import FrameFormat, Pictures
from avkd.storage.schema import Recording

PICTURES_AT_ONCE = 32
"""In one message of a decode child."""

TruthT = TypeVar("TruthT")


@dataclass(frozen=True, kw_only=True)
class PicturesAsked:
    """Pictures of one recording."""

    recording: Recording
    times_seconds: Sequence[float]
    """Ascending."""


@dataclass(frozen=True, kw_only=True)
class DecodedPictures:
    """What came of the pictures asked for."""

    memory: Pictures
    """(F, h, w, c); zeros where one could not be decoded."""
    is_there: npt.NDArray[np.bool_]
    """(F,)"""
    reason: str
    """Why the first of those that are not there is not; empty where all are."""

    def require_any(self) -> None:
        """Refuse to learn from nothing.

        Raises:
            TooManyFailuresError: not one could be decoded.
        """
        if not self.is_there.any():
            raise TooManyFailuresError(
                f"not one of {len(self.is_there)} pictures could be decoded, the first because "
                f"{self.reason}"
            )


@dataclass(frozen=True, kw_only=True)
class LabelledPictures(Generic[TruthT]):
    """Pictures with what is true of each; some of them share memory with all of them."""

    memory: Pictures
    """(decoded, h, w, c)"""
    places: npt.NDArray[np.int64]
    """(F,): of each picture in memory."""
    truth: tuple[TruthT, ...]
    """F"""
    recordings: tuple[Recording, ...]
    """F: of each picture."""

    def __len__(self) -> int:
        """F."""
        return len(self.truth)

    @property
    def num_recordings(self) -> int:
        """Of those that any picture is of."""
        return len({each.recording_id for each in self.recordings})

    def frames(self, numbers: npt.NDArray[np.int64] | slice) -> Pictures:
        """A copy (n, h, w, c) of some pictures, by their numbers below F."""
        return np.asarray(self.memory[self.places[numbers]])

    def take(self, is_taken: npt.NDArray[np.bool_]) -> "LabelledPictures[TruthT]":
        """Some of the pictures, by a mask (F,)."""
        numbers = np.flatnonzero(is_taken).tolist()
        return LabelledPictures(
            memory=self.memory,
            places=self.places[is_taken],
            truth=tuple(self.truth[number] for number in numbers),
            recordings=tuple(self.recordings[number] for number in numbers),
        )


def decode_asked(
    asked: Sequence[PicturesAsked],
    frame_format: FrameFormat,
    stream: str,
    *,
    on_picture: Callable[[int, int], None] = lambda num_done, num_total: None,
) -> DecodedPictures:
    """Decode pictures; ``on_picture`` is told how many are done, of how many."""
    num = sum(len(each.times_seconds) for each in asked)
    memory = np.zeros((num, *frame_format.picture_shape), frame_format.dtype)
    is_there = np.zeros(num, np.bool_)
    first, reason = 0, ""
    with DecodePool(default_decode_workers(num_workers=1)) as pool:
        decoded = pool.decode(_build_job(each, frame_format, stream) for each in asked)
        for num_wanted, clip in zip(_clip_sizes(asked), decoded, strict=True):
            if clip.num_frames:
                memory[first : first + num_wanted] = clip.frames[frame_format]
                is_there[first : first + clip.num_frames] = True
            reason = reason or clip.frames_reason
            first += num_wanted
            on_picture(first, num)
    return DecodedPictures(memory=memory, is_there=is_there, reason=reason)


def label_pictures(
    decoded: DecodedPictures, pairs: Sequence[tuple[Recording, TruthT]]
) -> LabelledPictures[TruthT]:
    """Give the pictures that are there; ``pairs`` are F, in the order asked for."""
    return LabelledPictures(
        memory=decoded.memory,
        places=np.arange(len(decoded.is_there)),
        truth=tuple(truth for _, truth in pairs),
        recordings=tuple(recording for recording, _ in pairs),
    ).take(decoded.is_there)


def split_pictures(
    pictures: LabelledPictures[TruthT], fraction: float
) -> tuple[LabelledPictures[TruthT], LabelledPictures[TruthT]]:
    """Pictures to learn from and those held out, by recording."""
    is_out = np.array([is_held_out(r.recording_id, fraction) for r in pictures.recordings], bool)
    return pictures.take(~is_out), pictures.take(is_out)


def count_thinning(num_pictures: int, frame_format: FrameFormat, max_gigabytes: float) -> int:
    """1, or every how manyth picture fits into memory."""
    num_bytes = num_pictures * math.prod(frame_format.picture_shape)
    num_bytes *= np.dtype(frame_format.dtype).itemsize
    return max(1, math.ceil(num_bytes / (max_gigabytes * 1e9)))


def _clip_sizes(asked: Sequence[PicturesAsked]) -> Iterator[int]:
    for each in asked:
        for start in range(0, len(each.times_seconds), PICTURES_AT_ONCE):
            yield len(each.times_seconds[start : start + PICTURES_AT_ONCE])


def _build_job(asked: PicturesAsked, frame_format: FrameFormat, stream: str) -> DecodeJob:
    times = asked.times_seconds
    return DecodeJob(
        streams=asked.recording.streams,
        clips=tuple(
            ClipRequest(
                clip_id=f"{asked.recording.recording_id}/{start}",
                start_seconds=times[start],
                duration_seconds=0.0,
                instants=tuple(times[start : start + PICTURES_AT_ONCE]),
            )
            for start in range(0, len(times), PICTURES_AT_ONCE)
        ),
        clip_seconds=0.0,
        frame_formats=(frame_format,),
        frame_stream=stream,
    )
