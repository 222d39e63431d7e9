import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avkd.errors import CorpusError
from avkd.pipeline.training.labels import (
    choose_classes,
    encode_class,
    encode_classes,
    parse_label,
    require_rows,
    split_label,
)

NAMES = st.text(alphabet="abcdef ", min_size=1, max_size=6).map(str.strip).filter(bool)


def test_a_label_is_a_text_whatever_the_corpus_has() -> None:
    assert parse_label("dog") == "dog"
    assert parse_label(["dog", "car"]) == "dog;car"
    assert parse_label(7) == "7"
    assert parse_label(None) == parse_label("") == ""


def test_classes_of_a_label_come_once_each_in_order() -> None:
    assert split_label("dog; car ;dog;") == ("dog", "car")


def test_classes_are_those_of_the_labels_sorted_unless_given() -> None:
    assert choose_classes(["b", "a;c", ""], (), "label") == ("a", "b", "c")
    assert choose_classes(["b", "a"], ("b", "a", "z"), "label") == ("b", "a", "z")


@pytest.mark.parametrize(
    ("texts", "given_classes", "words"),
    [
        (["", ""], (), "label in column 'kind'"),
        (["a", "a"], (), "one class only"),
        (["a", "q"], ("a", "b"), "'q', outside of the 2 classes"),
    ],
)
def test_labels_that_cannot_be_learned_are_refused(
    texts: list[str], given_classes: tuple[str, ...], words: str
) -> None:
    with pytest.raises(CorpusError, match=words):
        choose_classes(texts, given_classes, "kind")


def test_a_class_is_its_number_and_none_is_minus_one() -> None:
    assert encode_class(["b", "", "a"], ("a", "b")).tolist() == [1, -1, 0]


def test_several_classes_where_one_is_wanted_are_refused() -> None:
    with pytest.raises(CorpusError, match="several classes"):
        encode_class(["a;b"], ("a", "b"))


def test_a_class_outside_of_the_list_is_refused() -> None:
    with pytest.raises(CorpusError, match="'z' is not one of the 2 classes"):
        encode_classes(["a;z"], ("a", "b"))


@given(st.lists(st.lists(NAMES, max_size=3), min_size=1, max_size=6))
def test_encoded_classes_tell_the_labels_again(labels: list[list[str]]) -> None:
    classes = tuple(sorted({name for label in labels for name in label}))
    encoded = encode_classes([parse_label(label) for label in labels], classes)
    for row, label in zip(encoded, labels, strict=True):
        if label:
            assert {classes[i] for i in np.flatnonzero(row)} == set(label)
        else:
            assert (row == -1).all()


def test_a_speaker_of_one_utterance_is_refused_where_two_are_needed() -> None:
    require_rows(["ann", "ann", "bob"], 1, "speaker")
    with pytest.raises(CorpusError, match="speaker 'bob' has 1 of the 2 rows"):
        require_rows(["ann", "ann", "bob"], 2, "speaker")
