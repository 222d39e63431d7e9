import json
import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avkd.errors import CorpusError
from avkd.storage.vectors import plain_vectors, vector_values

numbers = st.floats().filter(lambda x: x == x) | st.just(math.nan) | st.integers(-(2**53), 2**53)


@given(vector=st.lists(numbers, min_size=1, max_size=5) | numbers)
def test_numbers_come_back_from_json_bit_for_bit(vector):
    (plain,) = plain_vectors("t", [{"v": vector}], ["v"])
    # Strict JSON: what it has no numbers for must not be written as a bare word.
    text = json.dumps(plain["v"], allow_nan=False)
    expected = vector if isinstance(vector, list) else [vector]
    found = vector_values(json.loads(text))
    assert len(found) == len(expected)
    assert [struct.pack("d", a) for a in found] == [struct.pack("d", b) for b in expected]


def test_a_row_without_a_value_lacks_the_column():
    rows = [{"v": None, "w": 1.0}, {"v": 2.0, "w": None}]
    assert plain_vectors("t", rows, ["v", "w"]) == [{"w": 1.0}, {"v": 2.0}]


def test_a_hole_in_a_list_is_not_finite():
    (plain,) = plain_vectors("t", [{"v": [1.0, None]}], ["v"])
    first, second = vector_values(plain["v"])
    assert first == 1.0
    assert math.isnan(second)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("0.5", "t row 2: v '0.5' must be a number or a list of numbers"),
        (True, "t row 2: v True must be a number"),
        ([1.0, "x"], "t row 2: v 'x' must be a number"),
        ([[1.0]], r"t row 2: v \[1.0\] must be a number"),
        ([1.0, 2.0], "t row 2: v has 2 numbers and 1 in the rows before"),
        ([], "t row 2: v is an empty list"),
    ],
)
def test_what_is_no_vector_is_refused_by_row_and_column(value, message):
    with pytest.raises(CorpusError, match=message):
        plain_vectors("t", [{"v": 1.0}, {"v": value}], ["v"])


def test_the_word_is_named_that_made_a_text_of_every_number_of_its_column():
    rows = [{"v": "2.5"}, {"v": "steep"}, {"v": None}, {"v": "4"}]
    with pytest.raises(CorpusError, match=r"t row 2: v 'steep' must be a number .* leave the cell"):
        plain_vectors("t", rows, ["v"])


@pytest.mark.parametrize("stored", ["word", ["word"], {"a": 1}, None, [[1.0]]])
def test_what_is_no_stored_vector_is_told(stored):
    with pytest.raises(ValueError, match=r"vector|convert"):
        vector_values(stored)
