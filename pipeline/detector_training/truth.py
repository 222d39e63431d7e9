"""The truth of a labelled corpus: which boxes are in which picture of which recording.

The table is that of the evaluation (``pipeline/evaluation/box_truth.py``), and means the same:
where it has rows with empty sides, only the pictures that it lists were labelled; else a picture
without a row, at the table's own rate, shows nothing.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avkd.errors import CorpusError
from avkd.pipeline.evaluation.box_truth import TrueBoxes, TruthTable, read_truth
from avkd.pipeline.picture_training.kinds import Kinds, choose_kinds
from avkd.pipeline.report.numbers import counted

SAME_INSTANT_SECONDS = 1e-3


@dataclass(frozen=True, kw_only=True)
class PictureTruth:
    """What is true of one picture."""

    time_seconds: float
    boxes: npt.NDArray[np.float32]
    """(m, 4): x_min, y_min, x_max, y_max, 0 to 1."""
    classes: npt.NDArray[np.int64]
    """(m,)"""
    is_ignored: npt.NDArray[np.bool_]
    """(m,): too little of it is visible."""
    has_row: bool = True
    """Whether the table lists the picture."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The instants of labelled pictures: the first, and the time from one to the next."""

    first_seconds: float
    every_seconds: float

    def instants(self, duration_seconds: float) -> list[float]:
        """Those of a recording of that length."""
        num = math.ceil((duration_seconds - self.first_seconds) / self.every_seconds)
        return [self.first_seconds + place * self.every_seconds for place in range(num)]


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What is true of a corpus."""

    class_names: tuple[str, ...]
    kinds: Mapping[str, tuple[str, ...]]
    """By class, the kinds of the table that it stands for."""
    pictures: Mapping[str, tuple[PictureTruth, ...]]
    """By recording, ascending in time; of the recordings that have any row."""
    grid: Grid | None
    """Of pictures that were labelled, with a row or without; None: only those with a row were."""


def read_labels(
    source: str, known: Sequence[str], classes: Sequence[str], min_visible: float
) -> Truth:
    """Read a table of boxes.

    Args:
        source: path or URL of the table.
        known: ids of all recordings of the corpus.
        classes: as ``DetectorData.classes`` has them.
        min_visible: boxes of which less is visible are ignored.

    Raises:
        CorpusError: the table is missing, lacks a column, names a recording or a kind that is not
            known, or a box is none.
    """
    table = read_truth(source)
    unknown = sorted(table.recordings.keys() - set(known))
    if unknown:
        raise CorpusError(
            f"{source} tells of {counted(len(unknown), 'recording')} that the corpus does not "
            f"have, the first {unknown[0]!r}; give the corpus that it is the truth of"
        )
    kinds = choose_kinds(source, table.kinds or ("",), _kinds_of_boxes(table), classes)
    return Truth(
        class_names=tuple(kinds.by_class),
        kinds=kinds.by_class,
        pictures={
            name: tuple(_list_pictures(boxes, kinds, min_visible))
            for name, boxes in table.recordings.items()
        },
        grid=None if table.lists_pictures else find_grid(table),
    )


def find_grid(table: TruthTable) -> Grid | None:
    """Give the grid that all instants of a table lie on; None where there is none."""
    if not math.isfinite(table.frame_seconds):
        return None
    longest = max((each.times_seconds for each in table.recordings.values()), key=np.ptp)
    # Times are rounded: the mean of many steps tells more than the shortest of them.
    every = float(np.ptp(longest) / np.rint(np.ptp(longest) / table.frame_seconds))
    times = np.concatenate([each.times_seconds for each in table.recordings.values()])
    places = times / every
    # The grid begins where the first instant comes to lie when whole steps are taken off.
    first = float(times[0] % every)
    off = np.abs(places - first / every - np.rint(places - first / every)) * every
    if (off > SAME_INSTANT_SECONDS).any():
        return None
    return Grid(first_seconds=first, every_seconds=every)


def show_nothing(time_seconds: float) -> PictureTruth:
    """Give the truth of a picture without boxes, and without a row."""
    return PictureTruth(
        time_seconds=time_seconds,
        boxes=np.zeros((0, 4), np.float32),
        classes=np.zeros(0, np.int64),
        is_ignored=np.zeros(0, np.bool_),
        has_row=False,
    )


def _kinds_of_boxes(table: TruthTable) -> list[str]:
    return sorted(table.box_kinds or {""})


def _list_pictures(rows: TrueBoxes, kinds: Kinds, min_visible: float) -> list[PictureTruth]:
    """Rows of one instant are one picture."""
    times = rows.times_seconds
    firsts = np.flatnonzero(np.diff(times, prepend=-np.inf) > SAME_INSTANT_SECONDS)
    stops = [*firsts[1:].tolist(), len(times)]
    # A box without area, as rounding may leave it, is nothing to find.
    has_area = np.asarray((rows.boxes[:, :2] < rows.boxes[:, 2:]).all(axis=1))
    classes = kinds.class_of[rows.kinds]
    is_ignored = rows.visible_fractions < min_visible
    pictures = []
    for first, stop in zip(firsts.tolist(), stops, strict=True):
        kept = first + np.flatnonzero(has_area[first:stop])
        pictures.append(
            PictureTruth(
                time_seconds=float(times[first]),
                boxes=rows.boxes[kept],
                classes=classes[kept],
                is_ignored=is_ignored[kept],
            )
        )
    return pictures
