from hypothesis import given
from hypothesis import strategies as st

from avkd.storage.digest import RowSum, clip_ids_digest, fingerprint_digest, sum_rows
from avkd.storage.schema import OutputSpec

LOGITS = OutputSpec(name="logits", shape=(2, 3), dtype="float16", axes=("step", "class"))
ROWS = st.lists(st.tuples(st.text(max_size=4), st.sampled_from(["ok", "timeout"]), st.binary()))


def total(rows, producer="seer", fingerprint="f", output=LOGITS):
    return sum_rows(producer, fingerprint, output, [(c, s, [b]) for c, s, b in rows])


@given(rows=ROWS, order=st.randoms(use_true_random=False), cut=st.integers(0, 10))
def test_the_sum_depends_neither_on_order_nor_on_how_rows_are_grouped(rows, order, cut):
    shuffled = list(rows)
    order.shuffle(shuffled)
    assert total(shuffled[:cut]) + total(shuffled[cut:]) == total(rows)


@given(pieces=st.lists(st.binary(), max_size=4))
def test_the_sum_does_not_depend_on_how_a_row_is_cut_into_pieces(pieces):
    whole = sum_rows("seer", "f", LOGITS, [("a", "ok", [b"".join(pieces)])])
    assert sum_rows("seer", "f", LOGITS, [("a", "ok", pieces)]) == whole


def test_every_field_of_a_row_counts():
    wide = OutputSpec(name="logits", shape=(3, 2), dtype="float16", axes=("step", "class"))
    single = OutputSpec(name="logits", shape=(2, 3), dtype="float32", axes=("step", "class"))
    sparse = OutputSpec(
        name="logits", shape=(2, 3), dtype="float16", axes=(), layout="sparse_logits", num_kept=2
    )
    row = [("clip", "ok", b"bytes")]
    sums = [
        total(row),
        total(row, producer="other"),
        total(row, fingerprint="g"),
        total(row, output=wide),
        total(row, output=single),
        total(row, output=sparse),
        total([("clip2", "ok", b"bytes")]),
        total([("clip", "partial", b"bytes")]),
        total([("clip", "ok", b"Bytes")]),
        total([("clip", "okb", b"ytes")]),
        total([("cli", "pok", b"bytes")]),
        total(row * 2),
    ]
    assert len(set(sums)) == len(sums)


def test_the_digest_is_pinned_so_that_stores_of_different_versions_compare():
    assert str(total([("clip", "ok", b"bytes")])) == "e9032c3c89ff844ec1da23327e886e1c-1"


@given(count=st.integers(0, 10**9), value=st.integers(0, 2**128 - 1))
def test_a_sum_reads_back_from_its_text(count, value):
    total = RowSum(count=count, total=value)
    assert RowSum.parse(str(total)) == total


def test_the_sum_wraps_at_128_bits():
    high = RowSum(count=1, total=2**128 - 1)
    assert high + RowSum(count=1, total=2) == RowSum(count=2, total=1)


def test_clip_ids_are_digested_in_order_and_without_running_together():
    assert clip_ids_digest(["ab", "c"]) != clip_ids_digest(["a", "bc"])
    assert clip_ids_digest(["a", "b"]) != clip_ids_digest(["b", "a"])


def test_a_fingerprint_digest_ignores_the_order_of_fields():
    assert fingerprint_digest({"a": 1, "b": (2,)}) == fingerprint_digest({"b": [2], "a": 1})
