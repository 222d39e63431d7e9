"""A table of true boxes: what was in the pictures, kept apart from what is learned from.

One row a vehicle and picture: ``recording_id``, ``frame_time_seconds`` (the middle of the picture's
time, on the recording's clock), ``x_min``, ``y_min``, ``x_max``, ``y_max`` (fractions of the
picture); where known ``track_id``, ``kind`` and ``visible_fraction``. A row whose four sides are
empty says that a picture was looked at and shows nothing. Where a table has such rows, only the
pictures that it lists are judged; else a picture without a row is one without vehicles.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from avkd.errors import CorpusError
from avkd.stages.metrics.boxes import CLOCK_TOLERANCE_SECONDS
from avkd.storage.tables import read_table

if TYPE_CHECKING:
    import pyarrow

Column = npt.NDArray[np.float64]

SIDES = ("x_min", "y_min", "x_max", "y_max")
REQUIRED = ("recording_id", "frame_time_seconds", *SIDES)
TEXTS = ("recording_id", "track_id", "kind")
SAME_INSTANT_SECONDS = 1e-6
ROUNDING = 1e-4
"""By which a side may leave the picture."""
SPARSEST = 1.5
"""Pictures of the truth may be that many steps apart before steps between them are in doubt."""


@dataclass(frozen=True, kw_only=True)
class TrueBoxes:
    """Some rows of the table."""

    times_seconds: Column
    """(n,): ascending."""
    boxes: npt.NDArray[np.float32]
    """(n, 4); NaN where a row says that there is nothing."""
    tracks: npt.NDArray[np.int64]
    """(n,): 0 where the table has none."""
    kinds: npt.NDArray[np.int32]
    """(n,): places in the names of the kinds; 0 where the table has none."""
    visible_fractions: Column
    """(n,): 1 where the table does not say."""

    def take(self, places: npt.NDArray[np.int64] | slice) -> "TrueBoxes":
        """The rows at these places."""
        return TrueBoxes(
            times_seconds=self.times_seconds[places],
            boxes=self.boxes[places],
            tracks=self.tracks[places],
            kinds=self.kinds[places],
            visible_fractions=self.visible_fractions[places],
        )

    @cached_property
    def is_box(self) -> npt.NDArray[np.bool_]:
        """(n,): whether a row is of a vehicle."""
        return np.asarray(np.isfinite(self.boxes).all(axis=1))


@dataclass(frozen=True, kw_only=True)
class TruthTable:
    """All of a table."""

    source: str
    recordings: Mapping[str, TrueBoxes]
    kinds: tuple[str, ...]
    """None without a column; rows that say none have an empty one."""
    has_tracks: bool
    has_visibility: bool

    @property
    def lists_pictures(self) -> bool:
        """Whether there are rows for pictures without vehicles."""
        return any(not each.is_box.all() for each in self.recordings.values())

    @cached_property
    def box_kinds(self) -> frozenset[str]:
        """The kinds of its vehicles; the empty one where a vehicle has none."""
        if not self.kinds:
            return frozenset()
        numbers = [np.unique(each.kinds[each.is_box]) for each in self.recordings.values()]
        return frozenset(self.kinds[number] for number in np.concatenate(numbers))

    @cached_property
    def frame_seconds(self) -> float:
        """The shortest time between two of its pictures; infinite without two of a recording."""
        gaps = [np.diff(np.unique(each.times_seconds)) for each in self.recordings.values()]
        every = np.concatenate([np.empty(0), *gaps])
        return float(every[every > CLOCK_TOLERANCE_SECONDS].min(initial=np.inf))

    def require_dense(self, step_seconds: float) -> None:
        """Refuse a table of which it is not clear what it says of the steps between its pictures.

        Raises:
            CorpusError: Its pictures are farther apart than steps.
        """
        if not self.lists_pictures and self.frame_seconds > SPARSEST * step_seconds:
            is_known = np.isfinite(self.frame_seconds)
            every = f"pictures every {self.frame_seconds:g} s" if is_known else "single pictures"
            raise CorpusError(
                f"{self.source} has {every} but steps are {step_seconds:g} s; list pictures "
                "without vehicles as rows with empty sides, "
                "then only listed pictures are judged"
            )

    def at(
        self, recording_id: str, instants: Sequence[float], step_seconds: float
    ) -> list[TrueBoxes | None]:
        """What the picture on screen at each instant shows; None where nobody looked at it."""
        rows = self.recordings.get(recording_id)
        if rows is None:
            return [None if self.lists_pictures else _NOTHING for _ in instants]
        half = min(self.frame_seconds, step_seconds) / 2
        # A picture whose middle is t is on screen from half its time before t on.
        wanted = np.asarray(instants, np.float64)
        starts = np.searchsorted(rows.times_seconds, wanted - half + SAME_INSTANT_SECONDS, "right")
        stops = np.searchsorted(rows.times_seconds, wanted + half + SAME_INSTANT_SECONDS, "right")
        spans = zip(starts.tolist(), stops.tolist(), strict=True)
        return [
            None if start == stop and self.lists_pictures else rows.take(slice(start, stop))
            for start, stop in spans
        ]


def read_truth(source: str) -> TruthTable:
    """Read a table of true boxes: CSV, JSONL or Parquet.

    Raises:
        CorpusError: It is missing, lacks a column, or a row is no box in a picture.
    """
    table = read_table(source, text_columns=TEXTS)
    for column in REQUIRED:
        if column not in table.column_names:
            raise CorpusError(
                f"{source} has no column {column!r} but {', '.join(table.column_names)}; true "
                f"boxes have {', '.join(REQUIRED)}"
            )
    names = np.array(_texts(table, "recording_id"), dtype=np.str_)
    kinds, kind_numbers = _number(table, "kind")
    _, tracks = _number(table, "track_id")
    rows = TrueBoxes(
        times_seconds=_numbers(source, table, "frame_time_seconds"),
        boxes=_read_boxes(table, source),
        tracks=tracks,
        kinds=kind_numbers.astype(np.int32),
        visible_fractions=_numbers(source, table, "visible_fraction", default=1.0),
    )
    if not (has_time := np.isfinite(rows.times_seconds)).all():
        row = int(np.argmin(has_time)) + 1
        raise CorpusError(f"row {row} of {source} has no frame_time_seconds; fill it")
    has_tracks = "track_id" in table.column_names
    found = {
        str(name): rows.take(_in_time(rows, np.flatnonzero(names == name)))
        for name in np.unique(names)
    }
    if has_tracks:
        _refuse_doubles(found, source)
    return TruthTable(
        source=source,
        recordings=found,
        kinds=kinds,
        has_tracks=has_tracks,
        has_visibility="visible_fraction" in table.column_names,
    )


def _in_time(rows: TrueBoxes, places: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return places[np.argsort(rows.times_seconds[places], kind="stable")]


def _read_boxes(table: "pyarrow.Table", source: str) -> npt.NDArray[np.float32]:
    sides = np.stack([_numbers(source, table, side) for side in SIDES], axis=1)
    is_empty = np.isnan(sides).all(axis=1)
    inside = ((sides >= -ROUNDING) & (sides <= 1 + ROUNDING)).all(axis=1)
    ascends = (sides[:, :2] <= sides[:, 2:]).all(axis=1)
    wrong = np.flatnonzero(~(is_empty | (inside & ascends)))
    if len(wrong):
        told = ", ".join(f"{side:g}" for side in sides[wrong[0]])
        raise CorpusError(
            f"row {wrong[0] + 1} of {source} is the box {told}, which is not x_min, y_min, x_max, "
            "y_max within 0 and 1; give fractions of the picture"
        )
    return np.clip(sides, 0.0, 1.0).astype(np.float32)


def _refuse_doubles(recordings: Mapping[str, TrueBoxes], source: str) -> None:
    for name, rows in recordings.items():
        boxes = rows.take(np.flatnonzero(rows.is_box))
        pairs = np.stack([boxes.times_seconds, boxes.tracks], axis=1)
        unique, counts = np.unique(pairs, axis=0, return_counts=True)
        if (counts > 1).any():
            raise CorpusError(
                f"{source} has a track of {name} twice at {unique[counts > 1][0, 0]:g} s; give "
                "each vehicle its own track_id"
            )


def _number(table: "pyarrow.Table", column: str) -> tuple[tuple[str, ...], npt.NDArray[np.int64]]:
    """The names in a column, and where each row's is among them; none without the column."""
    if column not in table.column_names:
        return (), np.zeros(table.num_rows, np.int64)
    names, numbers = np.unique(np.array(_texts(table, column), np.str_), return_inverse=True)
    return tuple(names.tolist()), numbers.astype(np.int64)


def _texts(table: "pyarrow.Table", column: str) -> list[str]:
    return ["" if value is None else str(value) for value in table[column].to_pylist()]


def _numbers(source: str, table: "pyarrow.Table", column: str, default: float = np.nan) -> Column:
    """A column as floats; what is empty or missing is the default."""
    import pyarrow as pa

    if column not in table.column_names:
        return np.full(table.num_rows, default)
    try:
        values = table[column].cast(pa.float64()).fill_null(default)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise CorpusError(
            f"column {column!r} of {source} is not made of numbers ({error}); correct the table"
        ) from error
    return np.asarray(values.to_numpy(), np.float64)


_NOTHING = TrueBoxes(
    times_seconds=np.empty(0),
    boxes=np.empty((0, 4), np.float32),
    tracks=np.empty(0, np.int64),
    kinds=np.empty(0, np.int32),
    visible_fractions=np.empty(0),
)
