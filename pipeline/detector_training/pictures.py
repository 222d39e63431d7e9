"""Labelled pictures, decoded once and kept in memory for all epochs.

Conventions: F pictures, by recording in the order of the plan, then by time; h and w of what the
network looks at, c channels; uint8 RGB or uint16 gray, as extraction shows them to the detector.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avkd.errors import TooManyFailuresError
from avkd.pipeline.cores import default_decode_workers
from avkd.pipeline.decoding.pool import DecodePool
from avkd.pipeline.detector_training.planning import PicturePlan, RecordingPlan
from avkd.pipeline.detector_training.recipe import DetectorData
from avkd.pipeline.detector_training.truth import PictureTruth
from avkd.stages.media.wire import ClipRequest, DecodeJob
from avkd.stages.types import Pictures
from avkd.storage.schema import Recording

PICTURES_AT_ONCE = 32
"""In one message of a decode child."""


@dataclass(frozen=True, kw_only=True)
class LabelledPictures:
    """Pictures with what is true of each; some of them share memory with all of them."""

    memory: Pictures
    """(decoded, h, w, c)"""
    places: npt.NDArray[np.int64]
    """(F,): of each picture in memory."""
    truth: tuple[PictureTruth, ...]
    """F"""
    recordings: tuple[Recording, ...]
    """F: of each picture."""

    def __len__(self) -> int:
        """F."""
        return len(self.truth)

    def frames(self, numbers: npt.NDArray[np.int64] | slice) -> Pictures:
        """A copy (n, h, w, c) of some pictures, by their numbers below F."""
        return np.asarray(self.memory[self.places[numbers]])

    def take(self, is_taken: npt.NDArray[np.bool_]) -> "LabelledPictures":
        """Some of the pictures, by a mask (F,)."""
        numbers = np.flatnonzero(is_taken).tolist()
        return LabelledPictures(
            memory=self.memory,
            places=self.places[is_taken],
            truth=tuple(self.truth[number] for number in numbers),
            recordings=tuple(self.recordings[number] for number in numbers),
        )


def decode_pictures(
    plan: PicturePlan,
    data: DetectorData,
    *,
    on_picture: Callable[[int, int], None] = lambda num_done, num_total: None,
) -> LabelledPictures:
    """Decode the pictures of a plan; ``on_picture`` is told how many are done, of how many.

    Raises:
        TooManyFailuresError: not one could be decoded.
    """
    num = plan.num_pictures
    frame_format = data.frame_format
    memory = np.zeros((num, *frame_format.picture_shape), frame_format.dtype)
    is_there = np.zeros(num, np.bool_)
    first, reason = 0, ""
    with DecodePool(default_decode_workers(num_workers=1)) as pool:
        decoded = pool.decode(_build_job(each, data) for each in plan.recordings)
        for num_wanted, clip in zip(_clip_sizes(plan), decoded, strict=True):
            if clip.num_frames:
                memory[first : first + num_wanted] = clip.frames[frame_format]
                is_there[first : first + clip.num_frames] = True
            reason = reason or clip.frames_reason
            first += num_wanted
            on_picture(first, num)
    if not is_there.any():
        raise TooManyFailuresError(
            f"not one of {num} pictures could be decoded, the first because {reason}"
        )
    pairs = [(each.recording, picture) for each in plan.recordings for picture in each.pictures]
    return LabelledPictures(
        memory=memory,
        places=np.arange(num),
        truth=tuple(picture for _, picture in pairs),
        recordings=tuple(recording for recording, _ in pairs),
    ).take(is_there)


def _clip_sizes(plan: PicturePlan) -> Iterator[int]:
    for each in plan.recordings:
        for start in range(0, len(each.pictures), PICTURES_AT_ONCE):
            yield len(each.pictures[start : start + PICTURES_AT_ONCE])


def _build_job(plan: RecordingPlan, data: DetectorData) -> DecodeJob:
    times = [each.time_seconds for each in plan.pictures]
    return DecodeJob(
        streams=plan.recording.streams,
        clips=tuple(
            ClipRequest(
                clip_id=f"{plan.recording.recording_id}/{start}",
                start_seconds=times[start],
                duration_seconds=0.0,
                instants=tuple(times[start : start + PICTURES_AT_ONCE]),
            )
            for start in range(0, len(times), PICTURES_AT_ONCE)
        ),
        clip_seconds=0.0,
        frame_formats=(data.frame_format,),
        frame_stream=data.stream,
    )
