"""Trials between recordings of a store: embeddings to scores, speakers, and the cohort of AS-norm.

Conventions: T trials, C speakers of a cohort, D width of an embedding.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from avkd.errors import CorpusError, InvalidValueError
from avkd.pipeline.evaluation.row_predictions import Floats, RowPredictions, WantedRows
from avkd.pipeline.training.examples import find_examples
from avkd.stages.metrics.trials import Trials, as_norm_scores, cosine_scores, parse_trials
from avkd.storage import objects
from avkd.storage.store import Store

Predict: TypeAlias = Callable[[WantedRows], RowPredictions]

COHORT_SIZE = 300
"""Of AS-norm: how many of the closest speakers count, or all where there are fewer."""


@dataclass(frozen=True)
class TrialBench:
    """A trial list over a split of a store."""

    store: Store
    trials: Trials
    split: str
    label_column: str
    """Of the speakers; rows may lack it."""
    cohort_split: str | None
    """Whose speakers normalise scores (AS-norm); None: scores are plain cosines."""

    @property
    def wanted(self) -> WantedRows:
        """The rows of the trials' recordings."""
        ids = frozenset((*self.trials.enrol_ids, *self.trials.test_ids))
        return WantedRows(split=self.split, recordings=ids)

    @property
    def scoring(self) -> str:
        """How scores come about."""
        return "cosine" if self.cohort_split is None else f"AS-norm by split {self.cohort_split}"

    @cached_property
    def speakers(self) -> Mapping[str, str] | None:
        """By recording; None unless every recording of the trials has one."""
        found = find_examples(self.store, (), self.split or None, self.label_column)
        speakers = dict(zip(found.recording_ids, found.labels, strict=True))
        return speakers if all(name in speakers for name in self._ids()) else None

    def require_known(self) -> None:
        """Refuse trials of recordings that the split does not have, before anything is embedded.

        Raises:
            CorpusError: There are such trials.
        """
        known = frozenset(find_examples(self.store, (), self.split or None).recording_ids)
        if unknown := [name for name in self._ids() if name not in known]:
            raise CorpusError(
                f"{self.trials.source} names {len(unknown)} recordings that split {self.split!r} "
                f"of {self.store.url} does not have, such as {unknown[0]!r}; correct the list, or "
                "name another split"
            )

    def score(self, said: RowPredictions, predict: Predict) -> npt.NDArray[np.float64]:
        """(T,): the cosine of each trial's recordings, normalised if a cohort is named.

        Raises:
            CorpusError: A recording has no embedding, or the cohort holds a speaker of the trials.
        """
        embeddings = average_recordings(said)
        if self.cohort_split is None:
            return cosine_scores(self.trials, embeddings)
        cohort = self._embed_cohort(predict)
        top_n = min(COHORT_SIZE, len(cohort))
        return as_norm_scores(self.trials, embeddings, cohort, top_n=top_n)

    def _embed_cohort(self, predict: Predict) -> Floats:
        """(C, D): the mean embedding of each speaker that was learned from."""
        assert self.cohort_split is not None
        said = predict(WantedRows(split=self.cohort_split, label_column=self.label_column))
        tested = set((self.speakers or {}).values()) & set(said.labels)
        if tested:
            raise CorpusError(
                f"speaker {min(tested)!r} is in the trials and in split {self.cohort_split!r}, "
                "whose speakers are the cohort of AS-norm; keep them apart"
            )
        return np.stack(list(_average_by(said.labels, said.embeddings).values()))

    def _ids(self) -> Iterator[str]:
        yield from dict.fromkeys((*self.trials.enrol_ids, *self.trials.test_ids))


def read_trials(source: str) -> Trials:
    """Read a trial list in VoxCeleb's format from a file or a URL.

    Raises:
        CorpusError: It is missing, or no trial list.
    """
    try:
        return parse_trials(objects.read_bytes(source).decode(), source)
    except FileNotFoundError:
        raise CorpusError(f"no trials at {source}; check the path") from None
    except UnicodeDecodeError:
        raise CorpusError(f"{source} is no text; give lines such as '1 ENROL TEST'") from None


def require_cohort_split(split: str, learned_split: str | None) -> str:
    """The split whose speakers are the cohort: the one that was learned from.

    Raises:
        InvalidValueError: The student learned from all rows, or from those of the trials.
    """
    if not learned_split or learned_split == split:
        learned = f"split {learned_split!r}" if learned_split else "all rows"
        raise InvalidValueError(
            f"AS-norm needs a cohort apart from the trials of split {split!r}, but the student "
            f"learned from {learned}; leave it out, or train on a split of its own"
        )
    return learned_split


def average_recordings(said: RowPredictions) -> dict[str, Floats]:
    """By recording: the mean of its clips' embeddings (D,), each brought to length 1 before.

    Raises:
        InvalidValueError: There are no embeddings.
    """
    if not said.embeddings.shape[1]:
        raise InvalidValueError("no embeddings were stored; name a teacher that has them")
    return _average_by(said.recording_ids, said.embeddings)


def _average_by(names: Sequence[str], embeddings: Floats) -> dict[str, Floats]:
    """By name: the mean of its embeddings, brought to length 1, so that none of them outweighs."""
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    # One that is zero stays zero: the scores refuse it by name.
    units = embeddings / np.maximum(lengths, np.finfo(np.float32).tiny)
    found, places, counts = np.unique(names, return_inverse=True, return_counts=True)
    sums = np.zeros((len(found), embeddings.shape[1]), np.float32)
    np.add.at(sums, places, units)
    return dict(zip(found.tolist(), sums / counts[:, None].astype(np.float32), strict=True))
