import numpy as np
import pytest

from avkd.errors import CorpusError
from avkd.pipeline.extraction.producers import describe_waveform
from avkd.pipeline.extraction.vectors import (
    describe_vector,
    gather_vectors,
    is_vector,
    vector_size,
)
from avkd.stages.types import ClipPolicy, WaveformFormat
from avkd.storage.schema import ClipRow, Recording


def clip(row: int, **metadata: object) -> ClipRow:
    return ClipRow(
        row=row,
        clip_id=str(row),
        recording_id=str(row),
        streams={},
        start_seconds=0.0,
        duration_seconds=0.0,
        num_steps=1,
        metadata=metadata,
    )


def test_the_numbers_of_the_corpus_are_the_rows() -> None:
    spec = describe_vector("v", 2)
    content = gather_vectors(spec, [clip(8, v=[0.1, 2]), clip(9, v=[-3.5, 1e-3])], 4)
    expected = np.array([[0.1, 2], [-3.5, 1e-3], [0, 0], [0, 0]], np.float32)
    np.testing.assert_array_equal(content.arrays["v"], expected)
    assert content.arrays["v"].dtype == np.float32
    assert not content.failures


@pytest.mark.parametrize(
    ("metadata", "status", "reason"),
    [
        ({}, "skipped", "the corpus gave no 'v'"),
        ({"v": [1.0, "nan"]}, "not_finite", "'v' of the corpus has values that are not finite"),
        ({"v": [1.0, 1e300]}, "not_finite", "not finite"),
        ({"v": [1.0]}, "skipped", "1 numbers instead of 2"),
        ({"v": "word"}, "skipped", "not made of numbers"),
    ],
)
def test_a_row_without_a_vector_is_zeros_and_a_reason(
    metadata: dict[str, object], status: str, reason: str
) -> None:
    whole = clip(1, v=[1.0, 1.0])
    content = gather_vectors(describe_vector("v", 2), [clip(0, **metadata), whole], 2)
    np.testing.assert_array_equal(content.arrays["v"], [[0, 0], [1, 1]])
    assert content.failures.keys() == {0}
    assert content.failures[0][0] == status
    assert reason in content.failures[0][1]


def test_a_vector_is_as_long_as_in_the_corpus_or_else_as_in_the_store() -> None:
    without = Recording(recording_id="a", streams={})
    with_one = Recording(recording_id="b", streams={}, metadata={"v": [1.0, 2.0, 3.0]})
    stored = describe_vector("v", 2)
    assert vector_size("v", [without, with_one], stored) == 3
    assert vector_size("v", [without], stored) == 2
    with pytest.raises(CorpusError, match="column 'v' of the corpus has no value in any row"):
        vector_size("v", [without], None)


def test_a_vector_is_told_from_other_inputs() -> None:
    assert is_vector(describe_vector("v", 2))
    assert not is_vector(describe_waveform(WaveformFormat(), ClipPolicy()))
