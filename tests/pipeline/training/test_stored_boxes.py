import pyarrow as pa
import pytest

from avkd.errors import InvalidValueError
from avkd.pipeline.training.stored_boxes import (
    find_boxes,
    gather_boxes,
    name_classes,
    require_fractions,
    split_rows,
)
from avkd.storage.boxes import arrange_boxes, box_schema
from avkd.storage.schema import OutputSpec, ProducerSpec


def table() -> pa.Table:
    """Three boxes of row 4, none of row 5, two of row 6."""
    columns = {
        "row": [4, 4, 6, 4, 6],
        "step": [1, 0, 2, 1, 0],
        "box": [[0.1 * i, 0.2, 0.1 * i + 0.1, 0.4] for i in range(5)],
        "score": [0.9, 0.3, 0.5, 0.2, 0.7],
        "class": [0, 1, 2, 1, 0],
    }
    return arrange_boxes(pa.table(columns), [4, 5, 6])


def test_boxes_of_a_row_keep_the_order_of_their_steps() -> None:
    four, five, six = split_rows(table(), [4, 5, 6])
    assert four.steps.tolist() == [0, 1, 1]
    assert four.scores.tolist() == pytest.approx([0.3, 0.9, 0.2])
    assert four.boxes[:, 0].tolist() == pytest.approx([0.1, 0.0, 0.3])
    assert four.classes.tolist() == [1, 0, 1]
    assert len(five) == 0
    assert six.steps.tolist() == [0, 2]
    assert four.num_bytes - five.num_bytes == 3 * 28


def test_boxes_below_a_score_are_left_out_and_those_at_it_kept() -> None:
    four, _, six = split_rows(table(), [4, 5, 6], 0.3)
    assert four.scores.tolist() == pytest.approx([0.3, 0.9])
    assert len(six) == 2


def test_a_batch_says_of_every_box_which_clip_and_step_it_is_of() -> None:
    rows = split_rows(table(), [4, 5, 6])
    together = gather_boxes([rows[2], rows[1], rows[0]])
    assert together.row.tolist() == [0, 0, 2, 2, 2]
    assert together.step.tolist() == [0, 2, 0, 1, 1]
    assert together.classes.tolist() == [0, 2, 1, 0, 1]
    assert together.boxes.shape == (5, 4)


def test_a_batch_without_boxes_has_none() -> None:
    nothing = split_rows(box_schema().empty_table(), [0, 1])
    together = gather_boxes(nothing)
    assert len(together) == 0
    assert together.boxes.shape == (0, 4)


def test_classes_without_names_are_numbered_up_to_the_highest_seen(street) -> None:
    spec = street.store.producers()["rgb"]
    output = find_boxes(spec)
    assert output is not None
    assert name_classes(street.store, spec, output) == ("sign", "vehicle")
    unnamed = OutputSpec(**{**vars(output), "class_names": ()})
    assert name_classes(street.store, spec, unnamed) == ("class 0", "class 1")


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"unit": "pixel"}, "are x_min, y_min, x_max, y_max as pixel"),
        ({"box": ["x", "y", "width", "height"]}, "are x, y, width, height as"),
        ({"box": "centre"}, "store them as x_min, y_min, x_max, y_max"),
    ],
)
def test_boxes_of_another_form_are_refused(attributes: dict[str, object], words: str) -> None:
    fields = {"name": "boxes", "shape": (), "dtype": "float32", "axes": (), "layout": "boxes"}
    require_fractions("rgb", OutputSpec(**fields))
    with pytest.raises(InvalidValueError, match=words):
        require_fractions("rgb", OutputSpec(**fields, attributes=attributes))


def test_a_teacher_of_words_has_no_boxes() -> None:
    logits = OutputSpec(name="logits", shape=(3,), dtype="float16", axes=("class",))
    spec = ProducerSpec(kind="teacher", name="t", outputs=(logits,), fingerprint={})
    assert find_boxes(spec) is None
