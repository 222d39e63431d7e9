"""Which pictures of which recordings are learned from, as data: no file is opened."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from avkd.errors import InvalidValueError
from avkd.pipeline.detector_training.recipe import DetectorData
from avkd.pipeline.detector_training.truth import (
    SAME_INSTANT_SECONDS,
    PictureTruth,
    Truth,
    show_nothing,
)
from avkd.pipeline.picture_training.pictures import count_thinning
from avkd.storage.schema import Recording


@dataclass(frozen=True, kw_only=True)
class RecordingPlan:
    """The pictures of one recording."""

    recording: Recording
    pictures: tuple[PictureTruth, ...]
    """Ascending in time."""


@dataclass(frozen=True, kw_only=True)
class PicturePlan:
    """All pictures to decode, and what is left out."""

    recordings: tuple[RecordingPlan, ...]
    num_without_truth: int
    """Recordings that the truth has no row of."""
    num_without_stream: int
    every: int
    """1, or every how manyth picture is taken for want of memory."""

    @property
    def num_pictures(self) -> int:
        """Of all recordings."""
        return sum(len(each.pictures) for each in self.recordings)


def plan_pictures(recordings: Sequence[Recording], truth: Truth, data: DetectorData) -> PicturePlan:
    """Choose the pictures of recordings that have the stream and any row of truth.

    Raises:
        InvalidValueError: none has both.
    """
    labelled = [each for each in recordings if each.recording_id in truth.pictures]
    seen = [each for each in labelled if data.stream in each.streams]
    if not seen:
        raise InvalidValueError(
            f"of {len(recordings)} recordings {len(labelled)} have truth, and none of these has "
            f"the stream {data.stream!r}; give the truth of this corpus, or name the files in a "
            f"column {data.stream!r}"
            if labelled
            else f"none of the {len(recordings)} recordings has truth; give the table of this "
            "split, or another --split"
        )
    listed = [list_pictures(each, truth) for each in seen]
    every = count_thinning(sum(map(len, listed)), data.frame_format, data.max_gigabytes)
    return PicturePlan(
        recordings=tuple(
            RecordingPlan(recording=recording, pictures=tuple(pictures[::every]))
            for recording, pictures in zip(seen, listed, strict=True)
        ),
        num_without_truth=len(recordings) - len(labelled),
        num_without_stream=len(labelled) - len(seen),
        every=every,
    )


def list_pictures(recording: Recording, truth: Truth) -> Sequence[PictureTruth]:
    """Give the pictures that were labelled: those with rows and, on a grid, those between."""
    pictures = truth.pictures[recording.recording_id]
    if truth.grid is None:
        return pictures
    # Of a recording of unknown length, up to its last row.
    seconds = recording.duration_seconds or pictures[-1].time_seconds
    times = np.array([each.time_seconds for each in pictures])
    empty = [
        show_nothing(instant)
        for instant in truth.grid.instants(seconds)
        if np.abs(times - instant).min() > SAME_INSTANT_SECONDS
    ]
    return sorted([*pictures, *empty], key=lambda each: each.time_seconds)
