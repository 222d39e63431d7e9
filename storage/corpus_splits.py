"""Splits of a corpus that keep every speaker on one side.

Who is on which side follows from a seed and the speakers' names: the order of files changes
nothing, and a few speakers more change little.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from avkd.errors import CorpusError, InvalidValueError
from avkd.storage.corpus_names import NamedRecording

TEST, VALIDATION, TRAIN = "test", "validation", "train"
LABELLED, UNLABELLED = "labelled", "unlabelled"


@dataclass(frozen=True, kw_only=True)
class SplitShares:
    """How much of a corpus is for what, in shares of its speakers."""

    test: float = 0.2
    validation: float = 0.1
    labelled: float | None = None
    """Of what is left: the rest is ``unlabelled``. None makes one split ``train`` of it."""
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.test, self.validation) < 0 or self.test + self.validation >= 1:
            raise InvalidValueError(
                f"test share {self.test:g} and validation share {self.validation:g} must be 0 or "
                "more and together below 1"
            )
        if self.labelled is not None and not 0 < self.labelled < 1:
            raise InvalidValueError(
                f"labelled share {self.labelled:g} must be between 0 and 1; leave it out to have "
                "all labelled"
            )

    @property
    def learned(self) -> str:
        """The split whose labels are learned."""
        return TRAIN if self.labelled is None else LABELLED

    def of(self, number: int) -> dict[str, float]:
        """How many of a number each split is to have, before rounding, in order."""
        wanted = {TEST: self.test * number, VALIDATION: self.validation * number}
        left = number - sum(wanted.values())
        labelled = left if self.labelled is None else self.labelled * left
        wanted |= {self.learned: labelled, UNLABELLED: left - labelled}
        return {split: amount for split, amount in wanted.items() if amount > 0}


def assign_splits(recordings: Sequence[NamedRecording], shares: SplitShares) -> tuple[str, ...]:
    """The split of each recording: by speaker, or class by class where there are no speakers.

    Raises:
        CorpusError: There are too few speakers, a class has one speaker only, or no speaker of a
            class came into the split that is learned from.
    """
    if not all(each.facts.speaker for each in recordings):
        splits = _split_classes(recordings, shares)
        return tuple(splits[each.recording_id] for each in recordings)
    speakers = {each.facts.speaker for each in recordings}
    if len(speakers) == 1:
        raise CorpusError(
            f"all {len(recordings)} recordings are of one speaker, {next(iter(speakers))}; splits "
            "keep speakers apart, so two or more are needed"
        )
    _refuse_lonely_classes(recordings)
    by_speaker = split_units(speakers, shares, f"the {len(speakers)} speakers")
    assigned = tuple(by_speaker[each.facts.speaker] for each in recordings)
    _refuse_unlearned_classes(recordings, assigned, shares)
    return assigned


def split_units(units: Iterable[str], shares: SplitShares, what: str) -> dict[str, str]:
    """The split of each unit; a share above 0 gets one at least. ``what`` is for the error.

    Raises:
        CorpusError: There are fewer units than splits.
    """
    ordered = sorted(set(units), key=lambda unit: _hash(shares.seed, unit))
    wanted = shares.of(len(ordered))
    if len(ordered) < len(wanted):
        raise CorpusError(
            f"{what} cannot fill the {len(wanted)} splits {', '.join(wanted)}; give more, or set "
            "a share to 0"
        )
    names: list[str] = []
    for still, (split, amount) in zip(reversed(range(len(wanted))), wanted.items(), strict=True):
        left = len(ordered) - len(names)
        # The splits still to come get one at least; the last one takes what is left.
        names += [split] * (min(max(1, round(amount)), left - still) if still else left)
    return dict(zip(ordered, names, strict=True))


def _split_classes(recordings: Sequence[NamedRecording], shares: SplitShares) -> dict[str, str]:
    classes: dict[str, list[str]] = {}
    for each in recordings:
        classes.setdefault(each.facts.label, []).append(each.recording_id)
    splits: dict[str, str] = {}
    for label, ids in classes.items():
        splits |= split_units(ids, shares, f"the {len(ids)} recordings of class {label!r}")
    return splits


def _refuse_lonely_classes(recordings: Sequence[NamedRecording]) -> None:
    for label, speakers in _speakers_of_labels(recordings).items():
        if len(speakers) == 1:
            raise CorpusError(
                f"class {label!r} has one speaker only, {next(iter(speakers))}; it cannot be "
                "learned from some and tested on others: add speakers or leave its files out"
            )


def _refuse_unlearned_classes(
    recordings: Sequence[NamedRecording], assigned: Sequence[str], shares: SplitShares
) -> None:
    pairs = zip(recordings, assigned, strict=True)
    learned = {each.facts.label for each, split in pairs if split == shares.learned}
    missing = sorted({each.facts.label for each in recordings} - learned)
    if missing:
        raise CorpusError(
            f"no speaker of class {missing[0]!r} came into split {shares.learned!r} with seed "
            f"{shares.seed}; take another seed or a larger share"
        )


def _speakers_of_labels(recordings: Sequence[NamedRecording]) -> Mapping[str, set[str]]:
    found: dict[str, set[str]] = {}
    for each in recordings:
        if each.facts.label:
            found.setdefault(each.facts.label, set()).add(each.facts.speaker)
    return found


def _hash(seed: int, unit: str) -> bytes:
    return hashlib.sha256(f"{seed}/{unit}".encode()).digest()
