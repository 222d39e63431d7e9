import pytest

from avkd.errors import CorpusError, InvalidValueError
from avkd.pipeline.picture_training.kinds import choose_kinds


def test_kinds_are_numbered_by_the_class_that_names_them() -> None:
    kinds = choose_kinds("t", ["a", "b", "c"], ["a", "b", "c"], ["x=c,a", "b"])
    assert dict(kinds.by_class) == {"x": ("c", "a"), "b": ("b",)}
    assert kinds.class_of.tolist() == [0, 1, 0]


def test_a_kind_of_no_class_is_refused() -> None:
    with pytest.raises(CorpusError, match="kind 'b' is of none of the classes a, c"):
        choose_kinds("t", ["a", "b"], ["a", "b"], ["a", "c"])


def test_classes_that_share_a_name_or_a_kind_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="'car' has no name of its own"):
        choose_kinds("t", ["car"], ["car"], ["car", "car"])
    with pytest.raises(InvalidValueError, match="kind 'car' is of two classes"):
        choose_kinds("t", ["car"], ["car"], ["car", "all=car,van"])
