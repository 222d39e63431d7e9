import numpy as np

from avkd.pipeline.extraction.box_tables import tabulate_boxes
from avkd.storage.boxes import arrange_boxes, box_schema


def test_boxes_with_a_score_become_lines_in_their_order() -> None:
    boxes = np.zeros((3, 2, 4, 6), np.float32)
    boxes[0, 1, :2] = [[0.1, 0.2, 0.3, 0.4, 0.5, 7], [0, 0, 1, 1, 0.25, 0]]
    boxes[2, 0, 0] = [0.5, 0.5, 0.75, 1, 1, 2]
    table = tabulate_boxes(boxes, 100)
    assert table.schema == box_schema()
    assert table["row"].to_pylist() == [100, 100, 102]
    assert table["step"].to_pylist() == [1, 1, 0]
    assert table["class"].to_pylist() == [7, 0, 2]
    np.testing.assert_array_equal(table["box"].to_pylist()[2], [0.5, 0.5, 0.75, 1])
    assert arrange_boxes(table, range(100, 103)).equals(table.combine_chunks())


def test_no_boxes_are_an_empty_table() -> None:
    table = tabulate_boxes(np.zeros((2, 1, 3, 6), np.float32), 0)
    assert (table.num_rows, table.schema) == (0, box_schema())
