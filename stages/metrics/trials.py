"""Trial lists: is it the same person in both utterances, and how alike do they sound.

A trial compares an enrolled utterance with a test utterance; it is a target where both are of the
same speaker.

Conventions: T trials, U utterances that they name, C rows of a cohort, D embedding dimensions;
scores are float64 (T,), larger is likelier the same speaker.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avkd.errors import CorpusError, InvalidValueError

Array = npt.NDArray[np.floating]
Vector = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]
Embeddings = Mapping[str, Array]
"""An embedding (D,) by utterance."""

ROWS_AT_ONCE = 4096
"""Bounds the memory of VoxCeleb's half a million trials; no result depends on it."""
SMALLEST_DEVIATION = 1e-9
"""Of cosines in float64; below it cohort scores differ by rounding only."""


@dataclass(frozen=True, kw_only=True)
class Trials:
    """A trial list, column by column; a pair may come up more than once."""

    enrol_ids: tuple[str, ...]
    test_ids: tuple[str, ...]
    is_target: npt.NDArray[np.bool_]
    """(T,): True where both utterances are of the same speaker."""
    source: str = "the trials"
    """Where the list is from, for messages."""

    def __post_init__(self) -> None:
        sizes = (len(self.enrol_ids), len(self.test_ids), len(self.is_target))
        if len(set(sizes)) > 1:
            raise InvalidValueError(f"{sizes} enrol ids, test ids and labels; give one of each")
        if self.is_target.dtype != np.bool_:
            raise InvalidValueError(f"is_target is {self.is_target.dtype}; give bools")

    def __len__(self) -> int:
        """T."""
        return len(self.enrol_ids)


def parse_trials(text: str, source: str) -> Trials:
    """Read VoxCeleb's format: a line ``1 id/of/enrol id/of/test`` a trial, 0 for two speakers.

    Empty lines are passed over. ``source`` names the list in messages.

    Raises:
        CorpusError: A line has another form, or there are none.
    """
    rows: list[list[str]] = []
    for number, line in enumerate(text.split("\n"), start=1):
        fields = line.split()
        if not fields:
            continue
        if len(fields) != 3 or fields[0] not in ("0", "1"):
            raise CorpusError(
                f"{source}, line {number}: {line.strip()[:200]!r} is not a trial; write "
                "'1 ENROL TEST' for the same speaker and '0 ENROL TEST' for two"
            )
        rows.append(fields)
    if not rows:
        raise CorpusError(f"{source} holds no trials; write a line '1 ENROL TEST' for each")
    labels, enrol_ids, test_ids = zip(*rows, strict=True)
    is_target = np.array([label == "1" for label in labels])
    return Trials(enrol_ids=enrol_ids, test_ids=test_ids, is_target=is_target, source=source)


def cosine_scores(trials: Trials, embeddings: Embeddings) -> Vector:
    """(T,): the cosine of each trial's two embeddings, in float64.

    Raises:
        CorpusError: A trial names an utterance without embedding.
        InvalidValueError: An embedding is zero or not finite, or sizes differ.
    """
    ids, enrol, test = _number_ids(trials)
    return _pair_cosines(_unit_embeddings(trials, ids, embeddings), enrol, test)


def as_norm_scores(
    trials: Trials, embeddings: Embeddings, cohort: Array, *, top_n: int = 300
) -> Vector:
    """(T,): cosines after adaptive s-norm, each side against the cohort that is closest to it.

    The mean of (score - mean) / deviation by the enrolled utterance's ``top_n`` cohort scores and
    by the test utterance's: adaptive s-norm 1 of Matejka et al., Interspeech 2017 (form recalled);
    the deviation is that of the population (n). ``cohort`` is (C, D), as a rule the mean embedding
    of each training speaker; no speaker of the trials may be in it.

    Raises:
        CorpusError: A trial names an utterance without embedding.
        InvalidValueError: The cohort has fewer than ``top_n`` rows or other sizes, or ``top_n`` is
            below 2, or cohort scores are all equal.
    """
    ids, enrol, test = _number_ids(trials)
    units = _unit_embeddings(trials, ids, embeddings)
    if cohort.ndim != 2 or cohort.shape[1] != units.shape[1]:
        raise InvalidValueError(
            f"cohort of shape {cohort.shape} does not fit embeddings of {units.shape[1]}; "
            "give rows of the same encoder"
        )
    if not 2 <= top_n <= len(cohort):
        raise InvalidValueError(f"top_n {top_n} must be from 2 to the cohort's {len(cohort)} rows")
    names = [f"cohort row {row}" for row in range(len(cohort))]
    means, deviations = _closest_statistics(units, _unit_rows(cohort, names), top_n, ids)
    scores = _pair_cosines(units, enrol, test)
    sides = [(scores - means[side]) / deviations[side] for side in (enrol, test)]
    return (sides[0] + sides[1]) / 2


def _number_ids(trials: Trials) -> tuple[tuple[str, ...], Places, Places]:
    """The utterances in order of appearance, and the places (T,) of both sides among them."""
    ids = tuple(dict.fromkeys(trials.enrol_ids + trials.test_ids))
    places = {name: place for place, name in enumerate(ids)}
    enrol = np.array([places[name] for name in trials.enrol_ids], dtype=np.int64)
    test = np.array([places[name] for name in trials.test_ids], dtype=np.int64)
    return ids, enrol, test


def _unit_embeddings(trials: Trials, ids: Sequence[str], embeddings: Embeddings) -> Vector:
    """(U, D): of length 1, in the order of ids."""
    unknown = [name for name in ids if name not in embeddings]
    if unknown:
        raise CorpusError(
            f"{len(unknown)} of the {len(ids)} utterances of {trials.source} have no embedding, "
            f"such as {unknown[0]!r}; embed them, or take their trials out"
        )
    shapes = {np.shape(embeddings[name]) for name in ids}
    if len(shapes) > 1 or any(len(shape) != 1 for shape in shapes):
        raise InvalidValueError(f"embeddings of shapes {sorted(shapes)}; give vectors of one size")
    return _unit_rows(np.stack([embeddings[name] for name in ids]), ids)


def _unit_rows(rows: Array, names: Sequence[str]) -> Vector:
    # Before squaring: stored float16 would overflow.
    exact = rows.astype(np.float64)
    lengths = np.linalg.norm(exact, axis=1, keepdims=True)
    bad = np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0)))
    if len(bad):
        raise InvalidValueError(
            f"the embedding of {names[bad[0]]!r} is zero or not finite, as are {len(bad) - 1} "
            "others; its cosine is undefined: leave it out"
        )
    unit: Vector = exact / lengths
    return unit


def _pair_cosines(units: Vector, enrol: Places, test: Places) -> Vector:
    pieces = [
        np.einsum("td,td->t", units[enrol[rows]], units[test[rows]]) for rows in _pieces(len(enrol))
    ]
    return np.concatenate(pieces)


def _closest_statistics(
    units: Vector, cohort: Vector, top_n: int, ids: Sequence[str]
) -> tuple[Vector, Vector]:
    """Mean and deviation (U,) of each utterance's ``top_n`` largest cohort scores."""
    means, deviations = np.empty(len(units)), np.empty(len(units))
    for rows in _pieces(len(units)):
        largest = np.partition(units[rows] @ cohort.T, len(cohort) - top_n, axis=1)[:, -top_n:]
        means[rows], deviations[rows] = largest.mean(axis=1), largest.std(axis=1)
    flat = np.flatnonzero(deviations < SMALLEST_DEVIATION)
    if len(flat):
        raise InvalidValueError(
            f"the {top_n} largest cohort scores of {ids[flat[0]]!r} are all equal; "
            "take repeated rows out of the cohort, or a larger top_n"
        )
    return means, deviations


def _pieces(num_rows: int) -> Iterator[slice]:
    return (slice(start, start + ROWS_AT_ONCE) for start in range(0, num_rows, ROWS_AT_ONCE))
