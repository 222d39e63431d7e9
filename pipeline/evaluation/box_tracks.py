"""Which track each box of a recording belongs to."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from avkd.errors import InvalidValueError
from avkd.stages.metrics.boxes import FrameBoxes
from avkd.stages.tracking.tracker import NO_TRACK, TrackerSettings, track_boxes

Ids = npt.NDArray[np.int64]
ABOVE_MIN_SCORE = 0.2
"""A box starts a track from so much above the score from which it may continue one."""


def tracker_settings(min_score: float) -> TrackerSettings:
    """The tracker's own settings, for boxes that count from this score on.

    Raises:
        InvalidValueError: The score is not 0 to 1.
    """
    if not 0 <= min_score <= 1:
        raise InvalidValueError(f"min_score {min_score:g} must be from 0 to 1")
    return TrackerSettings(
        low_score=min_score, high_score=round(min(1.0, min_score + ABOVE_MIN_SCORE), 6)
    )


def follow_boxes(frames: Sequence[FrameBoxes], settings: TrackerSettings) -> tuple[Ids, ...]:
    """The track (n,) of each box of frames that ascend in time; ``NO_TRACK`` of what has none."""
    # The tracker leaves boxes out and does not look at classes: these tell which it kept.
    marked = [replace(each, classes=np.arange(len(each), dtype=np.int32)) for each in frames]
    return tuple(
        _spread(tracked, len(frame))
        for frame, tracked in zip(frames, track_boxes(marked, settings), strict=True)
    )


def take_tracked(frames: Sequence[FrameBoxes], ids: Sequence[Ids]) -> tuple[FrameBoxes, ...]:
    """The frames with the boxes that have a track, and its id."""
    return tuple(
        replace(frame.take(own != NO_TRACK), track_ids=own[own != NO_TRACK])
        for frame, own in zip(frames, ids, strict=True)
    )


def number_boxes(frame: FrameBoxes, ids: Ids) -> FrameBoxes:
    """All boxes of a frame with their tracks; those without one have -1, -2 and so on."""
    alone = ids == NO_TRACK
    return replace(frame, track_ids=np.where(alone, -np.cumsum(alone), ids))


def _spread(tracked: FrameBoxes, num_boxes: int) -> Ids:
    ids = np.full(num_boxes, NO_TRACK, dtype=np.int64)
    assert tracked.track_ids is not None  # the tracker gives them
    ids[tracked.classes] = tracked.track_ids
    return ids
