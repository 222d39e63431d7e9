"""What was heard in a sound: boxes and tracks over time."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from avkd.pipeline.report_json import report_to_json
from avkd.stages.metrics.boxes import FrameBoxes

DIGITS = 5


@dataclass(frozen=True, kw_only=True)
class BoxTrack:
    """One thing that was followed."""

    track_id: int
    class_name: str
    """That of most of its boxes."""
    start_seconds: float
    end_seconds: float
    """Of its last box."""
    num_boxes: int
    mean_score: float


@dataclass(frozen=True, kw_only=True)
class HeardBoxes:
    """What was said of a sound."""

    run: str
    sound: str
    duration_seconds: float
    step_seconds: float
    class_names: tuple[str, ...]
    min_score: float
    frames: tuple[FrameBoxes, ...]
    """One a step; track ids below 0 are of boxes without a track."""
    notes: tuple[str, ...]

    @property
    def tracks(self) -> tuple[BoxTrack, ...]:
        """By id, which is the order of their start."""
        times = [frame.time_seconds for frame in self.frames for _ in frame.scores]
        rows = zip(
            times,
            *(
                np.concatenate([np.empty(0), *(getattr(each, name) for each in self.frames)])
                for name in ("track_ids", "classes", "scores")
            ),
            strict=True,
        )
        found: dict[int, list[tuple[float, int, float]]] = {}
        for time, track, number, score in rows:
            if track >= 0:
                found.setdefault(int(track), []).append((time, int(number), float(score)))
        return tuple(self._describe(track, found[track]) for track in sorted(found))

    def _describe(self, track: int, boxes: Sequence[tuple[float, int, float]]) -> BoxTrack:
        classes = [number for _, number, _ in boxes]
        return BoxTrack(
            track_id=track,
            class_name=self.class_names[max(sorted(set(classes)), key=classes.count)],
            start_seconds=boxes[0][0],
            end_seconds=boxes[-1][0],
            num_boxes=len(boxes),
            mean_score=float(np.mean([score for *_, score in boxes])),
        )

    def to_json(self) -> str:
        """Indented JSON: every step with its boxes, and the tracks."""
        return report_to_json(
            {
                "run": self.run,
                "sound": self.sound,
                "duration_seconds": self.duration_seconds,
                "step_seconds": self.step_seconds,
                "class_names": self.class_names,
                "min_score": self.min_score,
                "box": "x_min, y_min, x_max, y_max in fractions of the picture",
                "frames": [
                    {"time_seconds": round(frame.time_seconds, DIGITS), "boxes": self._list(frame)}
                    for frame in self.frames
                ],
                "tracks": [asdict(track) for track in self.tracks],
                "notes": self.notes,
            }
        )

    def _list(self, frame: FrameBoxes) -> list[dict[str, object]]:
        assert frame.track_ids is not None  # every frame is numbered
        columns = (frame.boxes, frame.scores, frame.classes, frame.track_ids)
        return [
            {
                "box": [round(side, DIGITS) for side in box],
                "score": round(score, DIGITS),
                "class": self.class_names[number],
                "track_id": track if track >= 0 else None,
            }
            for box, score, number, track in zip(*(each.tolist() for each in columns), strict=True)
        ]
