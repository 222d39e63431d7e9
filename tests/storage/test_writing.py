import dataclasses

import numpy as np
import pytest

from avkd.errors import InvalidValueError
from avkd.storage.schema import OutputSpec
from avkd.storage.writing import row_pieces, shard_files, stored_values

EVERY_ROW = np.ones(3, dtype=bool)


def test_float16_saturates_instead_of_overflowing(teacher):
    values = np.full((3, 2, 5), 1e6, np.float32)
    values[1] = -1e6
    (stored,) = stored_values(teacher.outputs[0], values, EVERY_ROW)
    assert stored.dtype == np.float16
    assert stored[0, 0, 0] == 65504
    assert stored[1, 0, 0] == -65504


def test_rows_without_data_are_zero_and_the_given_array_is_not_touched(teacher, waveform):
    has_data = np.array([True, False, True])
    for output in (*teacher.outputs[:2], waveform.outputs[0]):
        dtype = np.int16 if output.dtype == "int16" else np.float32
        values = np.ones((3, *output.shape), dtype)
        for stored in stored_values(output, values, has_data):
            assert not stored[1].any()
            assert stored[0].any()
        assert values.all()


@pytest.mark.parametrize(
    "values", [np.zeros((3, 1, 64), np.float32), np.zeros((2, 1, 64), np.int16), np.zeros(3, "i2")]
)
def test_another_shape_or_kind_of_number_is_refused(waveform, values):
    with pytest.raises(InvalidValueError, match=r"stored as int16 \(3, 1, 64\); got"):
        stored_values(waveform.outputs[0], values, EVERY_ROW)


def test_logical_bytes_of_a_row_join_its_arrays():
    one, two = np.arange(6, dtype="<u2").reshape(3, 2), np.arange(3, dtype="<u4")
    pieces = list(row_pieces((one, two)))
    assert [b"".join(row) for row in pieces] == [
        one[i].tobytes() + two[i].tobytes() for i in range(3)
    ]


def test_wide_rows_take_several_objects_a_shard(store, teacher):
    producer = store.producer("seer")
    metadata = {**producer.arrays["logits"]}
    metadata["chunk_grid"] = {"configuration": {"chunk_shape": [2, 2, 5]}}
    wide = dataclasses.replace(producer, arrays={**producer.arrays, "logits": metadata})
    paths = shard_files(wide, teacher.outputs[0], 1, 8)
    assert paths == [f"targets/seer/logits/c.{i}.0.0" for i in range(4, 8)]


def test_arguments_that_do_not_fit_the_declaration_are_refused(store, teacher, make_clips):
    store.plan_clips(make_clips(24, 8))

    def write(arrays, failures):
        store.write_shard("seer", 3, arrays, failures=failures, timings={})

    with pytest.raises(InvalidValueError, match="stores faces, logits, wide; got logits"):
        write({"logits": np.zeros((8, 2, 5))}, {})
    arrays = dict.fromkeys(("logits", "wide", "faces"))
    with pytest.raises(InvalidValueError, match="row 32 failed but holds no clip"):
        write(arrays, {32: ("timeout", "")})
    for status in ("ok", "lost"):
        with pytest.raises(InvalidValueError, match=f"status '{status}' must be one of partial"):
            write(arrays, {25: (status, "")})
    assert store.missing_shards("seer") == (3,)


def test_a_class_that_has_no_name_is_refused_but_in_rows_without_data():
    output = OutputSpec(
        name="class_map", shape=(2, 2), dtype="uint8", axes=("height", "width"), class_names="ab"
    )
    values = np.ones((3, 2, 2), np.uint8)
    (stored,) = stored_values(output, values, EVERY_ROW)
    assert stored.dtype == np.uint8
    assert stored.all()
    values[1, 0, 0] = 2
    with pytest.raises(InvalidValueError, match="holds the class 2, but its classes are 0 to 1"):
        stored_values(output, values, EVERY_ROW)
    (blanked,) = stored_values(output, values, np.array([True, False, True]))
    assert not blanked[1].any()
    pictures = dataclasses.replace(output, class_names=())
    assert stored_values(pictures, values, EVERY_ROW)[0][1, 0, 0] == 2
