"""What predicted boxes are held to: the truth, or what a stored teacher found.

Against the truth numbers are accuracy. Against a teacher they are agreement with it, right or
wrong, and are called so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from avkd.pipeline.evaluation.box_said import SaidBoxes
from avkd.pipeline.evaluation.box_tracks import follow_boxes, take_tracked
from avkd.pipeline.evaluation.box_truth import TrueBoxes, TruthTable
from avkd.stages.metrics.boxes import Boxes, FrameBoxes, Reference
from avkd.stages.tracking.tracker import TrackerSettings

VEHICLE = "vehicle"
"""What everything is called where classes are not told apart."""


@dataclass(frozen=True, kw_only=True)
class ClassRule:
    """Which classes are told apart."""

    names: tuple[str, ...]
    """Those of the student, or one name for all."""
    is_merged: bool


@dataclass(frozen=True, kw_only=True)
class ReferenceFrame:
    """What should be found in one picture."""

    boxes: FrameBoxes
    followed: FrameBoxes
    """The boxes that have tracks, with them; without ids where it is not known who is who."""
    hidden: Boxes
    """(n, 4): need not be found."""


class BoxReference(Protocol):
    """What should be found."""

    @property
    def kind(self) -> Reference:
        """Whether it is true."""
        ...

    @property
    def has_tracks(self) -> bool:
        """Whether it tells who is who."""
        ...

    def at(self, recording_id: str, instants: Sequence[float]) -> list[ReferenceFrame | None]:
        """What should be found at ascending instants; None where that is not known."""
        ...


@dataclass(frozen=True, kw_only=True)
class TruthReference:
    """A table of true boxes."""

    table: TruthTable
    rule: ClassRule
    step_seconds: float
    min_visible: float
    """Vehicles that are seen to a smaller share are hidden."""

    @property
    def kind(self) -> Reference:
        """The truth."""
        return "truth"

    @property
    def has_tracks(self) -> bool:
        """Whether the table has them."""
        return self.table.has_tracks

    def at(self, recording_id: str, instants: Sequence[float]) -> list[ReferenceFrame | None]:
        """The boxes of the pictures on screen."""
        found = self.table.at(recording_id, instants, self.step_seconds)
        return [
            None if rows is None else self._frame(instant, rows)
            for instant, rows in zip(instants, found, strict=True)
        ]

    def _frame(self, instant: float, rows: TrueBoxes) -> ReferenceFrame:
        rows = rows.take(np.flatnonzero(rows.is_box))
        is_seen = rows.visible_fractions >= self.min_visible
        seen = rows.take(np.flatnonzero(is_seen))
        boxes = FrameBoxes(
            time_seconds=instant,
            boxes=seen.boxes,
            scores=np.ones(len(seen.boxes), np.float32),
            classes=self._classes(seen),
            track_ids=seen.tracks if self.table.has_tracks else None,
        )
        return ReferenceFrame(boxes=boxes, followed=boxes, hidden=rows.boxes[~is_seen])

    def _classes(self, rows: TrueBoxes) -> npt.NDArray[np.int32]:
        if self.rule.is_merged:
            return np.zeros(len(rows.kinds), np.int32)
        names = self.rule.names
        places = [names.index(kind) if kind in names else -1 for kind in self.table.kinds]
        return np.array(places, np.int32)[rows.kinds]


@dataclass(frozen=True, kw_only=True)
class TeacherReference:
    """What a stored teacher found, followed by the tracker that follows predictions."""

    frames: Mapping[str, Mapping[int, ReferenceFrame]]
    """By recording and microsecond."""

    @property
    def kind(self) -> Reference:
        """A teacher."""
        return "teacher"

    @property
    def has_tracks(self) -> bool:
        """By the tracker."""
        return True

    def at(self, recording_id: str, instants: Sequence[float]) -> list[ReferenceFrame | None]:
        """The boxes at those instants; None at those of a clip that the teacher did not see."""
        known = self.frames.get(recording_id, {})
        return [known.get(_microsecond(instant)) for instant in instants]


def settle_classes(class_names: tuple[str, ...], truth: TruthTable | None) -> ClassRule:
    """The student's classes, where the truth speaks of no others; else all are one.

    ``truth`` None is a teacher, whose boxes are of the student's classes.
    """
    kinds = set(class_names) if truth is None else truth.box_kinds
    if kinds and kinds <= set(class_names):
        return ClassRule(names=class_names, is_merged=False)
    return ClassRule(names=(VEHICLE,), is_merged=True)


def build_teacher_reference(said: SaidBoxes, tracker: TrackerSettings) -> TeacherReference:
    """A reference of what a teacher found."""
    nothing = np.empty((0, 4), np.float32)
    return TeacherReference(
        frames={
            name: {
                _microsecond(frame.time_seconds): ReferenceFrame(
                    boxes=frame, followed=tracked, hidden=nothing
                )
                for frame, tracked in zip(
                    frames, take_tracked(frames, follow_boxes(frames, tracker)), strict=True
                )
            }
            for name, frames in said.by_recording().items()
        }
    )


def _microsecond(seconds: float) -> int:
    """Of one store, so that equal instants are equal; those of clip ids count like this."""
    return round(seconds * 1_000_000)
