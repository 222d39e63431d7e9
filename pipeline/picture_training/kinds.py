"""Which kinds of things a truth tells apart, and which of them are one class to a teacher."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avkd.errors import CorpusError, InvalidValueError


@dataclass(frozen=True, kw_only=True)
class Kinds:
    """Which kinds of the table are of which class."""

    by_class: Mapping[str, tuple[str, ...]]
    class_of: npt.NDArray[np.int64]
    """(kinds of the table,): the class of each; -1 for one that no box is of."""


def choose_kinds(
    source: str, listed: Sequence[str], used: Sequence[str], classes: Sequence[str]
) -> Kinds:
    """Find the class of each kind.

    Args:
        source: the table.
        listed: its kinds, as rows number them.
        used: those of them that boxes are of.
        classes: each a kind, or ``NAME=KIND,KIND``; one alone that is no kind stands for all.

    Raises:
        CorpusError: a kind is of no class.
        InvalidValueError: two classes have one name or share a kind.
    """
    by_class: dict[str, tuple[str, ...]] = {}
    for text in classes:
        name, equals, members = text.partition("=")
        if not name or name in by_class:
            raise InvalidValueError(f"class {text!r} has no name of its own; give each another")
        by_class[name] = tuple(members.split(",")) if equals else (name,)
    if len(classes) == 1 and "=" not in classes[0] and classes[0] not in used:
        by_class[classes[0]] = tuple(used)
    class_of: dict[str, int] = {}
    for number, (name, kinds) in enumerate(by_class.items()):
        for kind in kinds:
            if kind in class_of:
                raise InvalidValueError(
                    f"kind {kind!r} is of two classes; leave it out of {name!r}"
                )
            class_of[kind] = number
    for kind in used:
        if kind not in class_of:
            raise CorpusError(
                f"{source}: kind {kind!r} is of none of the classes {', '.join(by_class)}; name it "
                "with --classes CLASS=KIND,KIND, or take its rows out"
            )
    numbers = [class_of.get(kind, -1) for kind in listed]
    return Kinds(by_class=by_class, class_of=np.array(numbers, np.int64))
