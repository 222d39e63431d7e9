"""Outputs of variable length: one Parquet part a shard, any number of boxes a row.

Columns: row int64, step int32, box (4 float32), score float32, class int32. What the four numbers
mean (order, pixels or fractions) is in the attributes of the output.
"""

import io
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from avkd.errors import InvalidValueError
from avkd.storage.digest import Pieces

if TYPE_CHECKING:
    import pyarrow


def box_schema() -> "pyarrow.Schema":
    """Return the columns that every boxes output has."""
    import pyarrow as pa

    return pa.schema(
        [
            ("row", pa.int64()),
            ("step", pa.int32()),
            ("box", pa.list_(pa.float32(), 4)),
            ("score", pa.float32()),
            ("class", pa.int32()),
        ]
    )


def arrange_boxes(table: "pyarrow.Table", rows: Iterable[int]) -> "pyarrow.Table":
    """Return the boxes of some rows, by row and step and otherwise in the order given.

    Raises:
        InvalidValueError: a column is missing or of another type.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        table = table.select(box_schema().names).cast(box_schema())
    except (KeyError, pa.ArrowException, ValueError) as error:
        raise InvalidValueError(
            f"a table of boxes has columns {', '.join(box_schema().names)}; got {error}"
        ) from error
    table = table.filter(pc.is_in(table["row"], pa.array(list(rows), pa.int64())))
    steps, numbers = table["step"].to_numpy(), table["row"].to_numpy()
    return table.take(pa.array(np.lexsort((steps, numbers)))).combine_chunks()


def encode_boxes(table: "pyarrow.Table") -> bytes:
    """Return the Parquet part of arranged boxes; equal boxes give equal bytes."""
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", write_page_checksum=True)
    return buffer.getvalue()


def box_pieces(table: "pyarrow.Table", rows: Iterable[int]) -> Iterator[Pieces]:
    """Yield the logical bytes of each row: its steps, boxes, scores and classes."""
    numbers = table["row"].to_numpy()
    columns = [
        table["step"].to_numpy(),
        table["box"].combine_chunks().flatten().to_numpy().reshape(-1, 4),
        table["score"].to_numpy(),
        table["class"].to_numpy(),
    ]
    for row in rows:
        start, stop = np.searchsorted(numbers, [row, row + 1])
        yield [np.ascontiguousarray(column[start:stop]).tobytes() for column in columns]
