"""Columns of a corpus that are student inputs themselves: a number, or a list of numbers, a row.

They travel in the metadata of clips, as JSON: its numbers keep every bit of a float, and what it
has no numbers for (``nan``, ``inf``) is text there.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from typing import Any, TypeAlias

from avkd.errors import CorpusError

PlainVector: TypeAlias = object
"""A number, or a list of them, as ``json.dumps`` writes and ``json.loads`` reads it."""


def plain_vectors(
    source: str, rows: Sequence[Mapping[str, Any]], names: Iterable[str]
) -> list[dict[str, PlainVector]]:
    """Return the vectors of every row, by column; a row without a value lacks the column.

    Raises:
        CorpusError: a value is no number and no list of numbers, or of another length than before.
    """
    plain: list[dict[str, PlainVector]] = [{} for _ in rows]
    for name in names:
        _refuse_words(source, rows, name)
        size: int | None = None
        for number, row in enumerate(rows, start=1):
            if row[name] is None:
                continue
            where = f"{source} row {number}: {name}"
            vector = _plain(where, row[name])
            size = _same_size(where, len(_listed(vector)), size)
            plain[number - 1][name] = vector
    return plain


def vector_values(vector: PlainVector) -> tuple[float, ...]:
    """Return the numbers of a plain vector.

    Raises:
        ValueError: it is none.
    """
    try:
        return tuple(float(value) for value in _listed(vector))
    except TypeError as error:
        raise ValueError(f"{vector!r} is no vector") from error


def _refuse_words(source: str, rows: Sequence[Mapping[str, Any]], name: str) -> None:
    """Name the word: one of them makes a text of every number in a column of CSV."""
    for number, row in enumerate(rows, start=1):
        if isinstance(row[name], str) and not _is_numeric(row[name]):
            raise _no_number(f"{source} row {number}: {name}", row[name])


def _is_numeric(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _no_number(where: str, value: object) -> CorpusError:
    return CorpusError(
        f"{where} {value!r} must be a number or a list of numbers; leave the cell empty where "
        "nobody knows"
    )


def _plain(where: str, value: Any) -> PlainVector:
    if isinstance(value, list):
        if not value:
            raise CorpusError(f"{where} is an empty list; leave the cell empty if there is none")
        return [_plain_number(where, each) for each in value]
    return _plain_number(where, value)


def _plain_number(where: str, value: Any) -> int | float | str:
    if value is None:  # inside a list
        return str(math.nan)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, bool) or not isinstance(value, Real):
        raise _no_number(where, value)
    number = float(value)
    return number if math.isfinite(number) else str(number)


def _listed(vector: Any) -> Sequence[Any]:
    return vector if isinstance(vector, list) else (vector,)


def _same_size(where: str, size: int, expected: int | None) -> int:
    if expected not in (None, size):
        raise CorpusError(f"{where} has {size} numbers and {expected} in the rows before")
    return size
