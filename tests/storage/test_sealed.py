import json
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avkd.errors import CorruptStoreError
from avkd.storage.sealed import canonical_json, json_digest, seal, unseal, unseal_exactly

SCALARS = st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False)
JSON = st.recursive(
    SCALARS.filter(lambda x: x not in (float("inf"), float("-inf"))),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
DOCUMENTS = st.dictionaries(st.text().filter(lambda key: key != "seal"), JSON, max_size=4)


@given(document=DOCUMENTS)
def test_a_sealed_document_reads_back(document):
    assert unseal_exactly(seal(document), "x.json") == document


@given(document=DOCUMENTS, data=st.data())
def test_every_flipped_bit_of_a_sealed_file_is_noticed(document, data):
    sealed = bytearray(seal(document))
    position = data.draw(st.integers(0, len(sealed) - 1))
    sealed[position] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(CorruptStoreError, match=r"x\.json"):
        unseal_exactly(bytes(sealed), "x.json")


def test_other_white_space_passes_the_seal_but_not_the_exact_check():
    compact = json.dumps(json.loads(seal({"a": 1}))).encode()
    assert unseal(compact, "x.json") == {"a": 1}
    with pytest.raises(CorruptStoreError, match="bytes differ"):
        unseal_exactly(compact, "x.json")


def test_canonical_json_does_not_depend_on_order_or_kind_of_container():
    one = MappingProxyType({"b": (1, 2), "a": "\u00e9"})
    assert (
        canonical_json(one)
        == canonical_json({"a": "\u00e9", "b": [1, 2]})
        == b'{"a":"\\u00e9","b":[1,2]}'
    )
    assert json_digest(one) == json_digest({"a": "\u00e9", "b": [1, 2]})


def test_what_is_not_json_is_refused_by_name():
    with pytest.raises(TypeError, match="object"):
        canonical_json({"a": object()})
    for damaged in (b"", b"[1]", b"{", b"\xff{}"):
        with pytest.raises(CorruptStoreError):
            unseal(damaged, "x.json")
