"""Giving boxes of one recording their identities: tracking by detection.

A Kalman filter says where each track will be, and the Hungarian method gives each track one box, so
that their summed overlap is largest. As in ByteTrack (Zhang et al., ECCV 2022) boxes of high scores
choose first, boxes of low scores only continue what is left, and only high scores start tracks.
Overlap is the generalised IoU, which still tells near from far where a fast vehicle has left its
own box behind. The papers do not say how they associated boxes [U]: this is our choice.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from avkd.errors import InvalidValueError
from avkd.stages.metrics.boxes import FrameBoxes, generalised_box_iou, match_boxes
from avkd.stages.tracking.kalman import (
    BoxStates,
    Noise,
    correct_states,
    join_states,
    predict_states,
    start_states,
)

Ids = npt.NDArray[np.int64]
Times = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

NO_TRACK = -1


@dataclass(frozen=True, kw_only=True)
class TrackerSettings:
    """How boxes become tracks.

    Raises:
        InvalidValueError: A setting is outside the range said here.
    """

    high_score: float = 0.5
    """From here on a box chooses first, and may start a track."""
    low_score: float = 0.3
    """Below it a box is dropped."""
    min_overlap: float = -0.3
    """Generalised IoU, -1 to 1, that a box and where its track should be must exceed."""
    lost_seconds: float = 0.6
    """How long a track without a box is waited for."""
    min_boxes: int = 2
    """Tracks of fewer boxes are dropped when all frames are seen: most are false alarms."""
    noise: Noise = field(default_factory=Noise)

    def __post_init__(self) -> None:
        """Refuse settings that no box could meet."""
        if not 0 <= self.low_score <= self.high_score <= 1:
            raise InvalidValueError(
                f"low_score {self.low_score} and high_score {self.high_score} must ascend from 0 "
                "to 1, such as 0.3 and 0.5"
            )
        if not -1 <= self.min_overlap < 1:
            raise InvalidValueError(f"min_overlap {self.min_overlap} must be from -1 to below 1")
        if self.lost_seconds < 0 or self.min_boxes < 1:
            raise InvalidValueError(
                f"lost_seconds {self.lost_seconds} must be 0 or more, and min_boxes "
                f"{self.min_boxes} 1 or more"
            )


DEFAULT_SETTINGS = TrackerSettings()


@dataclass(frozen=True, kw_only=True)
class _Tracks:
    """The tracks that may still go on, at one time."""

    states: BoxStates
    ids: Ids
    seen_seconds: Times
    """When each was last given a box."""

    def take(self, places: Mask) -> "_Tracks":
        return _Tracks(
            states=self.states.take(places),
            ids=self.ids[places],
            seen_seconds=self.seen_seconds[places],
        )


def track_boxes(
    frames: Sequence[FrameBoxes], settings: TrackerSettings = DEFAULT_SETTINGS
) -> tuple[FrameBoxes, ...]:
    """The same frames with the boxes that belong to a track, and its id.

    Ids count from 0 in order of appearance. Boxes are left where they were detected; a track that
    misses a frame has none there. Classes are not told apart. Ids that frames already have are
    replaced.

    Raises:
        InvalidValueError: Frames do not ascend in time.
    """
    times = [frame.time_seconds for frame in frames]
    if any(later <= earlier for earlier, later in pairwise(times)):
        raise InvalidValueError("frames to track do not ascend in time; sort them")
    ids = list(_assign(frames, settings))
    return tuple(_keep_long_tracks(frames, ids, settings.min_boxes))


def _assign(frames: Sequence[FrameBoxes], settings: TrackerSettings) -> Iterator[Ids]:
    """The track (n,) of each box of each frame."""
    tracks, num_tracks = _no_tracks(), 0
    earlier = 0.0
    for frame in frames:
        now, noise = frame.time_seconds, settings.noise
        # Frames apart by rounding should not decide whether a track is still waited for.
        tracks = tracks.take(now - tracks.seen_seconds <= settings.lost_seconds + 1e-6)
        tracks = replace(tracks, states=predict_states(tracks.states, now - earlier, noise))
        places = _match(frame, tracks, settings)
        fresh = (places == NO_TRACK) & (frame.scores >= settings.high_score)
        ids = np.append(tracks.ids, NO_TRACK)[places]
        ids[fresh] = num_tracks + np.arange(fresh.sum())
        tracks = _go_on(tracks, frame, places, noise)
        tracks = _start(tracks, frame.take(fresh), ids[fresh], noise)
        num_tracks += int(fresh.sum())
        earlier = now
        yield ids


def _match(frame: FrameBoxes, tracks: _Tracks, settings: TrackerSettings) -> Ids:
    """(n,): the place of each box's track, or -1."""
    places = np.full(len(frame), NO_TRACK, dtype=np.int64)
    high = frame.scores >= settings.high_score
    expected = tracks.states.boxes
    for chosen in (high, ~high & (frame.scores >= settings.low_score)):
        free = np.setdiff1d(np.arange(len(expected)), places)
        boxes = np.flatnonzero(chosen)
        overlap = generalised_box_iou(frame.boxes[boxes], expected[free])
        rows, columns = match_boxes(overlap, settings.min_overlap)
        places[boxes[rows]] = free[columns]
    return places


def _go_on(tracks: _Tracks, frame: FrameBoxes, places: Ids, noise: Noise) -> _Tracks:
    """The tracks after the boxes that were given to them."""
    given = np.flatnonzero(places != NO_TRACK)
    continued = places[given]
    corrected = correct_states(tracks.states.take(continued), frame.boxes[given], noise)
    mean, covariance = tracks.states.mean.copy(), tracks.states.covariance.copy()
    mean[continued], covariance[continued] = corrected.mean, corrected.covariance
    seen = tracks.seen_seconds.copy()
    seen[continued] = frame.time_seconds
    states = BoxStates(mean=mean, covariance=covariance)
    return replace(tracks, states=states, seen_seconds=seen)


def _start(tracks: _Tracks, fresh: FrameBoxes, ids: Ids, noise: Noise) -> _Tracks:
    """The tracks, and those that start with these boxes."""
    return _Tracks(
        states=join_states(tracks.states, start_states(fresh.boxes, noise)),
        ids=np.append(tracks.ids, ids),
        seen_seconds=np.append(tracks.seen_seconds, np.full(len(ids), fresh.time_seconds)),
    )


def _no_tracks() -> _Tracks:
    return _Tracks(
        states=start_states(np.empty((0, 4)), Noise()),
        ids=np.empty(0, dtype=np.int64),
        seen_seconds=np.empty(0),
    )


def _keep_long_tracks(
    frames: Sequence[FrameBoxes], ids: Sequence[Ids], min_boxes: int
) -> Iterator[FrameBoxes]:
    """Frames with the boxes of tracks that are long enough, numbered anew."""
    every = np.concatenate([np.empty(0, dtype=np.int64), *ids])
    known, counts = np.unique(every[every != NO_TRACK], return_counts=True)
    kept = known[counts >= min_boxes]
    for frame, own in zip(frames, ids, strict=True):
        long = np.isin(own, kept)
        yield replace(frame.take(long), track_ids=np.searchsorted(kept, own[long]).astype(np.int64))
