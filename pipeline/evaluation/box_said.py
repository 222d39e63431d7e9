"""Boxes that somebody said of stored clips, step by step, on the clock of their recordings.

A step's boxes are those of its middle, which is the instant whose picture a teacher saw.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from avkd.errors import InvalidValueError
from avkd.pipeline.extraction.policy import read_policy
from avkd.pipeline.training.examples import Examples
from avkd.pipeline.training.stored_boxes import RowBoxes
from avkd.stages.media.sampling import step_instants
from avkd.stages.metrics.boxes import FrameBoxes
from avkd.stages.types import ClipPolicy, ClipSpan
from avkd.storage.schema import ClipRow
from avkd.storage.store import Store

Instants = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ClipFrames:
    """What was said of one clip."""

    recording_id: str
    frames: tuple[FrameBoxes, ...]
    """One a real step."""


@dataclass(frozen=True, kw_only=True)
class SaidBoxes:
    """What was said of some rows."""

    clips: Mapping[str, ClipFrames]
    """By clip id."""
    class_names: tuple[str, ...]
    """What the class numbers of the frames mean."""
    num_left_out: int
    """Wanted rows that lack something, so that nothing was said of them."""

    def __len__(self) -> int:
        return len(self.clips)

    def by_recording(self) -> dict[str, tuple[FrameBoxes, ...]]:
        """The frames of each recording over all its clips, in the order of time."""
        found: dict[str, list[FrameBoxes]] = {}
        for clip in self.clips.values():
            found.setdefault(clip.recording_id, []).extend(clip.frames)
        return {
            name: tuple(sorted(frames, key=lambda frame: frame.time_seconds))
            for name, frames in sorted(found.items())
        }


def read_clips(store: Store, examples: Examples) -> dict[str, ClipRow]:
    """The rows of the clip table that describe examples, by clip id."""
    wanted = set(examples.clip_rows.tolist())
    shards = sorted({row // store.rows_per_shard for row in wanted})
    clips = (clip for shard in shards for clip in store.read_clips(shard))
    return {clip.clip_id: clip for clip in clips if clip.row in wanted}


def require_policy(store: Store) -> ClipPolicy:
    """How the store's recordings were cut.

    Raises:
        InvalidValueError: They were not.
    """
    policy = read_policy(store)
    if policy is None:
        raise InvalidValueError(
            f"the rows of {store.url} are not cut into steps, so that they have no pictures; "
            "evaluate boxes on a store of recordings"
        )
    return policy


def clip_instants(clip: ClipRow, policy: ClipPolicy) -> Instants:
    """(num_steps,): the middle of every real step, on the recording's clock."""
    span = ClipSpan(
        start_seconds=clip.start_seconds,
        duration_seconds=clip.duration_seconds,
        num_steps=clip.num_steps,
    )
    return step_instants(span, replace(policy, frames_per_step=1))


def build_clip(clip: ClipRow, policy: ClipPolicy, boxes: RowBoxes) -> ClipFrames:
    """A clip with its boxes, in which every real step is a frame."""
    instants = clip_instants(clip, policy)
    return ClipFrames(recording_id=clip.recording_id, frames=build_frames(instants.tolist(), boxes))


def build_frames(instants: Sequence[float], boxes: RowBoxes) -> tuple[FrameBoxes, ...]:
    """A frame an instant; steps of the boxes count the instants, and others are left out."""
    # A network may leave the picture by a rounding.
    corners = np.clip(boxes.boxes, 0.0, 1.0)
    starts, stops = (
        np.searchsorted(boxes.steps, np.arange(len(instants)), side=side)
        for side in ("left", "right")
    )
    return tuple(
        FrameBoxes(
            time_seconds=instant,
            boxes=corners[start:stop],
            scores=boxes.scores[start:stop],
            classes=boxes.classes[start:stop],
        )
        for instant, start, stop in zip(instants, starts.tolist(), stops.tolist(), strict=True)
    )
