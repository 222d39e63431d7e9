"""Boxes of predictions and of a reference, frame by frame, as evaluation takes them.

Conventions: n boxes of a frame; a box is (x_min, y_min, x_max, y_max) in fractions of the picture,
origin at the top left. The reference is the truth, or what a teacher saw: numbers against the
latter tell agreement with the teacher, and are named so.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from avkd.errors import InvalidValueError

Boxes = npt.NDArray[np.floating]
Matrix = npt.NDArray[np.float64]
Places = npt.NDArray[np.integer] | npt.NDArray[np.bool_]
Reference = Literal["truth", "teacher"]

MIN_SCORE = 0.3
"""Of a box that counts where boxes are counted: paper 3's ``conf_threshold`` [S:MM-code]."""
CLOCK_TOLERANCE_SECONDS = 1e-3
GROUP_KEYS = ("light", "view_split")


@dataclass(frozen=True, kw_only=True)
class FrameBoxes:
    """The boxes of one frame.

    Raises:
        InvalidValueError: A shape or dtype is another than said here, a value is not finite or
            outside the picture, or one frame holds a track twice.
    """

    time_seconds: float
    """On the recording's clock."""
    boxes: npt.NDArray[np.float32]
    """(n, 4): clipped to the picture, 0 to 1."""
    scores: npt.NDArray[np.float32]
    """(n,): 0 to 1; 1 throughout for the truth."""
    classes: npt.NDArray[np.int32]
    """(n,): class numbers from 0."""
    track_ids: npt.NDArray[np.int64] | None = None
    """(n,): who it is, unique in a frame; None before tracking."""

    def __post_init__(self) -> None:
        """Refuse what no metric could take."""
        for name, (dtype, shape) in _layout(len(self.boxes)).items():
            values = getattr(self, name)
            if values is not None and (values.dtype != dtype or values.shape != shape):
                raise InvalidValueError(
                    f"{name} of the frame at {self.time_seconds} s are {values.dtype} "
                    f"{values.shape}, not {np.dtype(dtype)} {shape}; convert them"
                )
        _require_in_picture(self)
        if self.track_ids is not None and len(np.unique(self.track_ids)) < len(self.track_ids):
            raise InvalidValueError(
                f"the frame at {self.time_seconds} s holds a track twice; give each box its own"
            )

    def __len__(self) -> int:
        """How many boxes there are."""
        return len(self.boxes)

    def take(self, places: Places) -> "FrameBoxes":
        """The boxes at these places, or where a mask (n,) is true."""
        return replace(
            self,
            boxes=self.boxes[places],
            scores=self.scores[places],
            classes=self.classes[places],
            track_ids=None if self.track_ids is None else self.track_ids[places],
        )


@dataclass(frozen=True, kw_only=True)
class RecordingBoxes:
    """What was predicted for a recording beside its reference, at the same frames.

    Raises:
        InvalidValueError: The frames of the two differ in number or time, or do not ascend.
    """

    recording_id: str
    predicted: tuple[FrameBoxes, ...]
    reference: tuple[FrameBoxes, ...]
    groups: Mapping[str, str] = field(default_factory=dict)
    """What the recording is of, such as ``{"light": "night", "view_split": "unseen"}``."""

    def __post_init__(self) -> None:
        """Refuse frames that do not pair up."""
        if len(self.predicted) != len(self.reference):
            raise InvalidValueError(
                f"{self.recording_id} has {len(self.predicted)} predicted frames for "
                f"{len(self.reference)} of the reference; give frames without boxes as well"
            )
        times = [
            np.array([frame.time_seconds for frame in frames], dtype=np.float64)
            for frames in (self.predicted, self.reference)
        ]
        if (np.abs(times[0] - times[1]) > CLOCK_TOLERANCE_SECONDS).any():
            raise InvalidValueError(
                f"frames of {self.recording_id} differ in time from those of the reference; "
                "give both at the same instants, in their order"
            )
        if (np.diff(times[1]) <= 0).any():
            raise InvalidValueError(f"frames of {self.recording_id} do not ascend in time; sort")

    def pairs(self, min_score: float = 0.0) -> Iterator[tuple[FrameBoxes, FrameBoxes]]:
        """Predicted boxes from that score on, and the reference's, frame by frame."""
        for predicted, reference in zip(self.predicted, self.reference, strict=True):
            yield predicted.take(predicted.scores >= min_score), reference


def group_recordings(
    recordings: Sequence[RecordingBoxes], keys: Sequence[str] = GROUP_KEYS
) -> dict[str, tuple[RecordingBoxes, ...]]:
    """All recordings as ``all``, then those of each value of a key, such as ``light=night``.

    A recording without a key is in none of its groups.
    """
    groups: dict[str, tuple[RecordingBoxes, ...]] = {"all": tuple(recordings)}
    for key in keys:
        for value in sorted({each.groups[key] for each in recordings if key in each.groups}):
            groups[f"{key}={value}"] = tuple(
                each for each in recordings if each.groups.get(key) == value
            )
    return groups


def metric_name(metric: str, reference: Reference) -> str:
    """What to call a metric: against a teacher it is agreement, never accuracy."""
    return metric if reference == "truth" else f"{metric} (agreement with teacher)"


def box_iou(first: Boxes, second: Boxes) -> Matrix:
    """(n, m): intersection over union; 0 where both boxes are empty."""
    overlap, union, _ = _areas(first, second)
    return np.divide(overlap, union, out=np.zeros_like(union), where=union > 0)


def generalised_box_iou(first: Boxes, second: Boxes) -> Matrix:
    """(n, m): -1 to 1, and below 0 the farther apart boxes lie (Rezatofighi et al., CVPR 2019)."""
    overlap, union, hull = _areas(first, second)
    iou = np.divide(overlap, union, out=np.zeros_like(union), where=union > 0)
    gap = np.divide(hull - union, hull, out=np.zeros_like(union), where=hull > 0)
    return np.asarray(iou - gap)


def match_boxes(quality: Matrix, least: float) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Rows and columns of the one-to-one pairs above ``least`` whose summed quality is largest."""
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(np.maximum(quality - least, 0), maximize=True)
    paired = quality[rows, columns] > least
    return rows[paired], columns[paired]


def _areas(first: Boxes, second: Boxes) -> tuple[Matrix, Matrix, Matrix]:
    """(n, m) each: of the overlap, of the union, and of the smallest box around both."""
    one, other = first.astype(np.float64)[:, None], second.astype(np.float64)[None]
    low, high = np.maximum(one, other)[..., :2], np.minimum(one, other)[..., 2:]
    overlap = np.prod(np.maximum(high - low, 0), axis=-1)
    around = np.maximum(one, other)[..., 2:] - np.minimum(one, other)[..., :2]
    sizes = [np.prod(each[..., 2:] - each[..., :2], axis=-1) for each in (one, other)]
    return overlap, sizes[0] + sizes[1] - overlap, np.prod(around, axis=-1)


def _layout(num_boxes: int) -> dict[str, tuple[type[np.generic], tuple[int, ...]]]:
    return {
        "boxes": (np.float32, (num_boxes, 4)),
        "scores": (np.float32, (num_boxes,)),
        "classes": (np.int32, (num_boxes,)),
        "track_ids": (np.int64, (num_boxes,)),
    }


def _require_in_picture(frame: FrameBoxes) -> None:
    boxes, scores = frame.boxes, frame.scores
    # Written so that values that are not numbers fail as well.
    inside = (boxes >= 0) & (boxes <= 1)
    if not (inside.all() and (boxes[:, :2] <= boxes[:, 2:]).all()):
        raise InvalidValueError(
            f"a box of the frame at {frame.time_seconds} s is not x_min, y_min, x_max, y_max "
            "within 0 and 1; give fractions of the picture, clipped to it"
        )
    if not ((scores >= 0) & (scores <= 1)).all():
        raise InvalidValueError(
            f"a score of the frame at {frame.time_seconds} s is not 0 to 1; give probabilities"
        )
