import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from avkd.errors import InvalidValueError
from avkd.storage.schema import SPARSE_TEMPERATURES
from avkd.storage.sparse import decode_sparse, encode_sparse, id_dtype, measure_kl_gap

LOGITS = arrays(
    np.float32,
    array_shapes(min_dims=1, max_dims=3, min_side=2, max_side=12),
    elements=st.floats(-20, 20, width=32),
)
# A float16 below 64 in size is right to 2^-5; kept values are at most about 42 below LSE_1.
HALF_STEP = 2.0**-5


def log_softmax(logits):
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


@settings(max_examples=60)
@given(logits=LOGITS, data=st.data())
def test_kept_log_probabilities_are_those_of_the_dense_logits_at_every_temperature(logits, data):
    num_kept = data.draw(st.integers(1, logits.shape[-1]))
    sparse = encode_sparse(logits, num_kept)
    for temperature in SPARSE_TEMPERATURES:
        kept, tail = decode_sparse(sparse, temperature)
        dense = log_softmax(logits.astype(np.float64) / temperature)
        expected = np.take_along_axis(dense, sparse.ids.astype(int), axis=-1)
        np.testing.assert_allclose(kept, expected, atol=HALF_STEP)
        assert tail.shape == logits.shape[:-1]
        assert (tail <= 0).all()


@settings(max_examples=60)
@given(logits=LOGITS)
def test_the_largest_are_kept_in_descending_order_and_ties_by_lower_class(logits):
    num_kept = logits.shape[-1] // 2 + 1
    ids = encode_sparse(logits, num_kept).ids
    expected = np.argsort(-logits, axis=-1, kind="stable")[..., :num_kept]
    np.testing.assert_array_equal(ids, expected)


def test_the_tail_holds_the_rest_of_the_mass():
    logits = np.log(np.array([0.5, 0.3, 0.15, 0.05], np.float32))
    kept, tail = decode_sparse(encode_sparse(logits, 2), 1.0)
    np.testing.assert_allclose(np.exp(kept), [0.5, 0.3], rtol=2e-3)  # float16 keeps 11 bits
    np.testing.assert_allclose(np.exp(tail), 0.2, rtol=5e-3)


def test_a_temperature_without_a_stored_sum_is_refused():
    sparse = encode_sparse(np.zeros(4, np.float32), 2)
    with pytest.raises(InvalidValueError, match=r"temperature 3 .* choose one of 1, 2, 4, 8"):
        decode_sparse(sparse, 3.0)


def test_ids_are_narrow_up_to_65536_classes():
    assert id_dtype(65_536) == "uint16"
    assert id_dtype(65_537) == "uint32"


@pytest.mark.parametrize("num_kept", [0, 5])
def test_more_or_fewer_than_there_are_classes_cannot_be_kept(num_kept):
    with pytest.raises(InvalidValueError, match="from 1 to 4 classes"):
        encode_sparse(np.zeros(4, np.float32), num_kept)


def test_temperatures_must_start_with_one():
    with pytest.raises(InvalidValueError, match="must start with 1"):
        encode_sparse(np.zeros(4, np.float32), 2, (2.0, 4.0))


def test_sparse_kl_bounds_dense_kl_from_below_and_meets_it_when_all_is_kept():
    random = np.random.default_rng(0)
    logits = random.normal(size=(64, 100), scale=3).astype(np.float32)
    student = random.normal(size=(64, 100)).astype(np.float32)
    for temperature in SPARSE_TEMPERATURES:
        few = measure_kl_gap(logits, 8, temperature, student)
        most = measure_kl_gap(logits, 99, temperature, student)
        assert 0 < few.sparse < few.dense
        assert few.sparse < most.sparse
        assert most.sparse == pytest.approx(most.dense, rel=0.01)


def test_the_gap_grows_with_temperature_because_the_tail_does():
    logits = np.random.default_rng(1).normal(size=(64, 1000), scale=4).astype(np.float32)
    gaps = [measure_kl_gap(logits, 32, t) for t in SPARSE_TEMPERATURES]
    seen = [gap.sparse / gap.dense for gap in gaps]
    assert seen == sorted(seen, reverse=True)
