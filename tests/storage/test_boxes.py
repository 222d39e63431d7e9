import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from avkd.errors import InvalidValueError
from avkd.storage.boxes import arrange_boxes, box_pieces, box_schema, encode_boxes


@pytest.fixture
def table():
    columns = {
        "row": [2, 0, 2, 2, 5],
        "step": [1, 0, 0, 1, 0],
        "box": [[float(i)] * 4 for i in range(5)],
        "score": [0.1, 0.2, 0.3, 0.4, 0.5],
        "class": [1, 2, 3, 4, 5],
    }
    return pa.table(columns)


def test_boxes_are_kept_of_the_rows_asked_for_by_row_and_step_else_as_given(table):
    arranged = arrange_boxes(table, [0, 1, 2])
    assert arranged.schema == box_schema()
    assert arranged["class"].to_pylist() == [2, 3, 1, 4]


def test_boxes_read_back_from_their_part(table):
    arranged = arrange_boxes(table, [0, 2, 5])
    assert pq.read_table(io.BytesIO(encode_boxes(arranged))).equals(arranged)


def test_logical_bytes_of_a_row_are_its_columns_and_empty_without_boxes(table):
    arranged = arrange_boxes(table, [0, 2])
    one, none, three = box_pieces(arranged, [0, 1, 2])
    assert [len(piece) for piece in one] == [4, 16, 4, 4]
    assert b"".join(none) == b""
    assert [len(piece) for piece in three] == [12, 48, 12, 12]


def test_no_boxes_at_all_are_fine():
    empty = arrange_boxes(box_schema().empty_table(), [0, 1])
    assert [b"".join(pieces) for pieces in box_pieces(empty, [0, 1])] == [b"", b""]
    assert pq.read_table(io.BytesIO(encode_boxes(empty))).num_rows == 0


def test_a_table_without_the_columns_is_refused(table):
    with pytest.raises(InvalidValueError, match="row, step, box, score, class"):
        arrange_boxes(table.drop_columns(["score"]), [0])
    with pytest.raises(InvalidValueError, match="row, step, box, score, class"):
        arrange_boxes(table.set_column(3, "score", pa.array(["high"] * 5)), [0])
