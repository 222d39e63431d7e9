"""Trials of the people world: which two recordings are asked to be of one person.

The format is VoxCeleb's: a line has 1 (the same person) or 0, and the paths of two recordings.
"""

import hashlib
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from avkd.errors import InvalidValueError
from avkd.stages.simulation.worlds.people import UtteranceSpec

DIFFERENT_A_SAME = 4
"""Pairs of different people, to each pair of the same."""
SIMILAR_SHARE = 0.25
"""Of the pairs of different people: those of one face family or one voice family."""

_Pair: TypeAlias = tuple[UtteranceSpec, UtteranceSpec]


@dataclass(frozen=True, kw_only=True, order=True)
class PersonTrial:
    """A question and its answer."""

    first: str
    second: str
    is_same: bool


def plan_trials(
    specs: Iterable[UtteranceSpec],
    seed: int,
    *,
    different_a_same: int = DIFFERENT_A_SAME,
    similar_share: float = SIMILAR_SHARE,
) -> tuple[PersonTrial, ...]:
    """All pairs of one test speaker, and some of two, sorted; each pair comes once.

    Where there are fewer pairs of similar, or of dissimilar, people than asked for, all there are
    are taken.

    Raises:
        InvalidValueError: A number or a share is out of range.
    """
    if different_a_same < 1 or not 0 <= similar_share <= 1:
        raise InvalidValueError(
            f"different_a_same {different_a_same} must be 1 or more and similar_share "
            f"{similar_share} from 0 to 1"
        )
    tested = sorted((spec for spec in specs if spec.split == "test"), key=lambda spec: spec.path)
    same: list[_Pair] = []
    similar: list[_Pair] = []
    others: list[_Pair] = []
    for pair in itertools.combinations(tested, 2):
        if pair[0].speaker == pair[1].speaker:
            same.append(pair)
        else:
            (similar if _are_similar(*pair) else others).append(pair)
    wanted = different_a_same * len(same)
    name = f"{seed}/trials".encode()
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(name).digest()[:8]))
    chosen = _sample(rng, similar, round(wanted * similar_share))
    chosen += _sample(rng, others, wanted - len(chosen))
    trials = [(pair, True) for pair in same] + [(pair, False) for pair in chosen]
    return tuple(
        sorted(
            PersonTrial(first=a.path, second=b.path, is_same=is_same) for (a, b), is_same in trials
        )
    )


def format_trials(trials: Iterable[PersonTrial]) -> str:
    """The text of a trial list."""
    lines = (f"{int(trial.is_same)} {trial.first} {trial.second}\n" for trial in trials)
    return "".join(lines)


def _are_similar(first: UtteranceSpec, second: UtteranceSpec) -> bool:
    one, other = first.person, second.person
    return one.face_family == other.face_family or one.voice_family == other.voice_family


def _sample(rng: np.random.Generator, pairs: Sequence[_Pair], number: int) -> list[_Pair]:
    chosen = rng.permutation(len(pairs))[:number]
    return [pairs[index] for index in chosen]
