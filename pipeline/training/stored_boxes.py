"""The boxes that a detector stored, row by row, and those of a batch together.

A shard's boxes are one file, read once for many of its rows. Conventions: n boxes of a row in the
order of their steps, M boxes of a batch.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from avkd.errors import InvalidValueError
from avkd.pipeline.training.examples import UNSEEN
from avkd.stages.detection.boxes import BoxTargets
from avkd.storage.schema import OutputSpec, ProducerSpec
from avkd.storage.store import Store

if TYPE_CHECKING:
    import pyarrow

CORNERS = ("x_min", "y_min", "x_max", "y_max")
UNIT = "fraction of the picture"
EMPTY_BYTES = 600
"""What four arrays take that hold nothing, about: most rows of a rare class are so."""
LIMIT_BYTES = 1 << 26
"""Of boxes that a reader keeps; those of the last shard it keeps in any case."""


@dataclass(frozen=True, kw_only=True)
class RowBoxes:
    """What was found in the steps of one clip."""

    steps: npt.NDArray[np.int32]
    """(n,): ascending."""
    boxes: npt.NDArray[np.float32]
    """(n, 4): see ``CORNERS``; in fractions of the picture."""
    scores: npt.NDArray[np.float32]
    """(n,)"""
    classes: npt.NDArray[np.int32]
    """(n,)"""

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def num_bytes(self) -> int:
        """The memory that they take."""
        arrays: tuple[npt.NDArray[Any], ...] = (self.steps, self.boxes, self.scores, self.classes)
        return EMPTY_BYTES + sum(array.nbytes for array in arrays)


class BoxReader:
    """What one detector stored, of a score at least; the shards used last are kept."""

    def __init__(
        self,
        store: Store,
        teacher: str,
        output: str,
        min_score: float = 0.0,
        limit_bytes: int = LIMIT_BYTES,
    ) -> None:
        """Nothing is read yet."""
        self._store = store
        self._teacher = teacher
        self._output = output
        self._min_score = min_score
        self._bytes_left = limit_bytes
        self._shards: OrderedDict[int, tuple[RowBoxes, ...]] = OrderedDict()

    def read(self, rows: npt.NDArray[np.int64]) -> list[RowBoxes]:
        """The boxes of those rows, in the order asked for; of an ``UNSEEN`` one none."""
        return [no_boxes() if row == UNSEEN else self._find(row) for row in rows.tolist()]

    def _find(self, row: int) -> RowBoxes:
        shard, index = divmod(row, self._store.rows_per_shard)
        if shard not in self._shards:
            self._keep(shard, self._read_shard(shard))
        self._shards.move_to_end(shard)
        return self._shards[shard][index]

    def _read_shard(self, shard: int) -> tuple[RowBoxes, ...]:
        num_rows = self._store.rows_per_shard
        rows = range(shard * num_rows, (shard + 1) * num_rows)
        table = self._store.read_rows(self._teacher, self._output, rows.start, rows.stop)
        return split_rows(table, rows, self._min_score)

    def _keep(self, shard: int, boxes: tuple[RowBoxes, ...]) -> None:
        self._shards[shard] = boxes
        self._bytes_left -= _num_bytes(boxes)
        while self._bytes_left < 0 and len(self._shards) > 1:
            self._bytes_left += _num_bytes(self._shards.popitem(last=False)[1])


def read_boxes(
    store: Store, teacher: str, output: str, rows: npt.NDArray[np.int64], min_score: float = 0.0
) -> list[RowBoxes]:
    """The boxes of those rows, as a ``BoxReader`` gives them."""
    return BoxReader(store, teacher, output, min_score).read(rows)


def no_boxes() -> RowBoxes:
    """The boxes of a clip that nothing was found in, or that nobody has looked at."""
    return RowBoxes(
        steps=np.empty(0, np.int32),
        boxes=np.empty((0, 4), np.float32),
        scores=np.empty(0, np.float32),
        classes=np.empty(0, np.int32),
    )


def find_boxes(spec: ProducerSpec) -> OutputSpec | None:
    """The output that holds boxes; None where a teacher stored none."""
    return next((output for output in spec.outputs if output.layout == "boxes"), None)


def require_fractions(teacher: str, output: OutputSpec) -> None:
    """Refuse boxes that are said to be other than corners in fractions of the picture.

    Raises:
        InvalidValueError: They are.
    """
    corners = tuple(str(name) for name in _listed(output.attributes.get("box", CORNERS)))
    unit = output.attributes.get("unit", UNIT)
    if corners != CORNERS or unit != UNIT:
        raise InvalidValueError(
            f"boxes of teacher {teacher!r} are {', '.join(corners)} as {unit}; store them as "
            f"{', '.join(CORNERS)} in fractions of the picture"
        )


def name_classes(store: Store, spec: ProducerSpec, output: OutputSpec) -> tuple[str, ...]:
    """The classes of boxes; where the detector named none, ``class N`` up to the highest seen."""
    if output.class_names:
        return output.class_names
    highest, num_rows = 0, store.rows_per_shard
    for shard in sorted(store.committed_shards(spec.name)):
        table = store.read_rows(spec.name, output.name, shard * num_rows, (shard + 1) * num_rows)
        highest = max(highest, table["class"].to_numpy().max(initial=0))
    return tuple(f"class {number}" for number in range(highest + 1))


def split_rows(
    table: "pyarrow.Table", rows: Sequence[int], min_score: float = 0.0
) -> tuple[RowBoxes, ...]:
    """The boxes of each of some rows of a table as it is stored, of that score at least."""
    corners = table["box"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    scores = table["score"].to_numpy()
    kept = scores >= np.float32(min_score)
    numbers = table["row"].to_numpy()[kept]
    boxes, scores = corners.reshape(-1, 4)[kept], scores[kept]
    steps, classes = table["step"].to_numpy()[kept], table["class"].to_numpy()[kept]
    starts, stops = (np.searchsorted(numbers, rows, side=side) for side in ("left", "right"))
    # Copies, so that one row in a buffer does not keep its whole table in memory.
    return tuple(
        RowBoxes(
            steps=steps[start:stop].copy(),
            boxes=boxes[start:stop].copy(),
            scores=scores[start:stop].copy(),
            classes=classes[start:stop].copy(),
        )
        for start, stop in zip(starts, stops, strict=True)
    )


def gather_boxes(rows: Sequence[RowBoxes]) -> BoxTargets:
    """The boxes of a batch: those of the first clip, of the second, and so on."""
    places = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    return BoxTargets(
        boxes=torch.from_numpy(np.concatenate([row.boxes for row in rows])),
        scores=torch.from_numpy(np.concatenate([row.scores for row in rows])),
        classes=torch.from_numpy(np.concatenate([row.classes for row in rows])).long(),
        row=torch.from_numpy(places),
        step=torch.from_numpy(np.concatenate([row.steps for row in rows])).long(),
    )


def _listed(value: object) -> Sequence[object]:
    return value if isinstance(value, list | tuple) else (value,)


def _num_bytes(boxes: tuple[RowBoxes, ...]) -> int:
    return sum(row.num_bytes for row in boxes)
