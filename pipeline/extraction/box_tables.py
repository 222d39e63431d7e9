"""Boxes from the form in which teachers give them to the one that is stored."""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from avkd.storage.boxes import box_schema

if TYPE_CHECKING:
    import pyarrow

_SCORE, _CLASS = 4, 5


def tabulate_boxes(boxes: npt.NDArray[np.float32], first_row: int) -> "pyarrow.Table":
    """Give a table of the boxes that there are, by row and step, otherwise in their order.

    Args:
        boxes: (rows, steps, most, 6): four corners, score, class; a score of 0 where there is none.
        first_row: of the store, for the first of them.
    """
    import pyarrow as pa

    places, steps, _ = found = np.nonzero(boxes[..., _SCORE] > 0)
    kept = boxes[found]
    corners = pa.FixedSizeListArray.from_arrays(pa.array(kept[:, :_SCORE].reshape(-1)), _SCORE)
    columns = {
        "row": pa.array(first_row + places),
        "step": pa.array(steps.astype(np.int32)),
        "box": corners,
        "score": pa.array(kept[:, _SCORE]),
        "class": pa.array(kept[:, _CLASS].astype(np.int32)),
    }
    return pa.table(columns, schema=box_schema())
