"""Human truth of rows: a class, or several, from a column of the corpus."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from avkd.errors import CorpusError, InvalidValueError

SEPARATOR = ";"
NO_CLASS = -1


def parse_label(value: object) -> str:
    """The text of a label as a corpus has it: several joined by ``;``; empty for none."""
    if value is None or value == "":
        return ""
    if isinstance(value, list):
        return SEPARATOR.join(str(each) for each in value)
    return str(value)


def split_label(text: str) -> tuple[str, ...]:
    """The classes of a label, each once."""
    return tuple(dict.fromkeys(name.strip() for name in text.split(SEPARATOR) if name.strip()))


def choose_classes(texts: Sequence[str], given: Sequence[str], column: str) -> tuple[str, ...]:
    """The list of classes: the given one, or what the labels hold, sorted.

    Raises:
        CorpusError: There are no labels, one class only, or labels outside of the list.
    """
    found = sorted({name for text in texts for name in split_label(text)})
    if not found:
        raise CorpusError(
            f"no row that is learned from has a label in column {column!r}; name another with "
            "data.label_column, or another split"
        )
    if stray := [name for name in found if given and name not in given]:
        raise CorpusError(
            f"column {column!r} holds {', '.join(map(repr, stray[:3]))}, outside of the "
            f"{len(given)} classes; mend the corpus or data.classes"
        )
    if len(classes := tuple(given) or tuple(found)) < 2:
        raise CorpusError(f"column {column!r} has one class only ({found[0]}); two are needed")
    return classes


def require_rows(texts: Sequence[str], min_rows: int, column: str) -> None:
    """Refuse classes with fewer rows than that.

    Raises:
        CorpusError: There is one.
    """
    counts = Counter(name for text in texts for name in split_label(text))
    few = [name for name, count in sorted(counts.items()) if count < min_rows]
    if few:
        raise CorpusError(
            f"{column} {few[0]!r} has {counts[few[0]]} of the {min_rows} rows that are needed "
            f"({len(few)} such); drop it from the corpus, or set data.min_rows_per_class"
        )


def encode_class(texts: Sequence[str], classes: Sequence[str]) -> npt.NDArray[np.int64]:
    """(rows,): the number of each row's class, -1 without one.

    Raises:
        CorpusError: A label is outside of the list, or has several classes.
    """
    numbers = {name: number for number, name in enumerate(classes)}
    return np.array([_number(text, numbers) for text in texts], np.int64)


def encode_classes(texts: Sequence[str], classes: Sequence[str]) -> npt.NDArray[np.float32]:
    """(rows, classes): 1 for each class of a row, rows of -1 without any.

    Raises:
        CorpusError: A label is outside of the list.
    """
    numbers = {name: number for number, name in enumerate(classes)}
    encoded = np.zeros((len(texts), len(classes)), np.float32)
    for row, text in zip(encoded, texts, strict=True):
        names = split_label(text)
        row[[_number(name, numbers) for name in names]] = 1
        if not names:
            row[:] = NO_CLASS
    return encoded


def encode_labels(kind: str, texts: Sequence[str], classes: Sequence[str]) -> npt.NDArray[Any]:
    """By kind: ``class`` as ``encode_class``, ``classes`` as ``encode_classes``."""
    if kind == "class":
        return encode_class(texts, classes)
    if kind == "classes":
        return encode_classes(texts, classes)
    raise InvalidValueError(f"label kind {kind!r} must be class or classes")


def _number(text: str, numbers: dict[str, int]) -> int:
    if not text:
        return NO_CLASS
    if text not in numbers:
        hint = "; it has several classes, which this method does not take" if ";" in text else ""
        raise CorpusError(
            f"label {text!r} is not one of the {len(numbers)} classes that are learned{hint}"
        )
    return numbers[text]
