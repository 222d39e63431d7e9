from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avkd.errors import CorpusError, InvalidValueError
from avkd.storage.corpus_names import NamedCorpus, read_names
from avkd.storage.corpus_splits import SplitShares, assign_splits, split_units


def crema_d(num_speakers: int, emotions: tuple[str, ...] = ("ANG", "SAD")) -> NamedCorpus:
    return read_names(
        "crema-d",
        [f"{1001 + n}_DFA_{emotion}_XX.wav" for n in range(num_speakers) for emotion in emotions],
    )


def splits_by_speaker(corpus: NamedCorpus, shares: SplitShares) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    assigned = assign_splits(corpus.recordings, shares)
    for recording, split in zip(corpus.recordings, assigned, strict=True):
        found.setdefault(recording.facts.speaker, set()).add(split)
    return found


def test_shares_are_of_speakers():
    shares = SplitShares(test=0.2, validation=0.1, labelled=0.25)
    found = splits_by_speaker(crema_d(40), shares)
    assert Counter(split for splits in found.values() for split in splits) == {
        "test": 8,
        "validation": 4,
        "labelled": 7,
        "unlabelled": 21,
    }


def test_without_a_labelled_share_the_rest_is_for_training():
    found = splits_by_speaker(crema_d(10), SplitShares(test=0.2, validation=0.0))
    assert Counter(split for splits in found.values() for split in splits) == {
        "test": 2,
        "train": 8,
    }


@given(
    num_speakers=st.integers(4, 40),
    test=st.floats(0.01, 0.45),
    validation=st.floats(0.01, 0.45),
    labelled=st.floats(0.01, 0.99),
    seed=st.integers(0, 9),
)
def test_every_speaker_is_on_one_side_and_no_split_is_empty(
    num_speakers, test, validation, labelled, seed
):
    shares = SplitShares(test=test, validation=validation, labelled=labelled, seed=seed)
    found = splits_by_speaker(crema_d(num_speakers), shares)
    assert all(len(splits) == 1 for splits in found.values())
    assert {split for splits in found.values() for split in splits} == {
        "test",
        "validation",
        "labelled",
        "unlabelled",
    }


def test_the_seed_and_not_the_order_decides():
    units = [str(n) for n in range(30)]
    shares = SplitShares(labelled=0.5)
    first = split_units(units, shares, "units")
    assert split_units(reversed(units), shares, "units") == first
    assert split_units(units, SplitShares(labelled=0.5, seed=1), "units") != first


def test_more_speakers_move_few_of_the_others():
    units = [str(n) for n in range(100)]
    before = split_units(units, SplitShares(), "units")
    after = split_units([*units, "x", "y"], SplitShares(), "units")
    assert sum(before[unit] != after[unit] for unit in units) <= 4


def test_class_folders_are_split_class_by_class():
    corpus = read_names("folders", [f"{c}/{n}.wav" for c in ("cat", "dog") for n in range(10)])
    assigned = assign_splits(corpus.recordings, SplitShares())
    counts = Counter(
        (recording.facts.label, split)
        for recording, split in zip(corpus.recordings, assigned, strict=True)
    )
    for label in ("cat", "dog"):
        assert [counts[label, s] for s in ("test", "validation", "train")] == [2, 1, 7]


def test_one_speaker_is_refused():
    with pytest.raises(CorpusError, match="all 2 recordings are of one speaker, 1001"):
        assign_splits(crema_d(1).recordings, SplitShares())


def test_too_few_speakers_are_refused():
    with pytest.raises(CorpusError, match=r"the 3 speakers cannot fill the 4 splits test, .*0"):
        assign_splits(crema_d(3).recordings, SplitShares(labelled=0.5))


def test_a_class_with_one_speaker_is_refused():
    names = [f"{1001 + n}_DFA_ANG_XX.wav" for n in range(5)] + ["1003_DFA_FEA_XX.wav"]
    with pytest.raises(CorpusError, match="class 'fearful' has one speaker only, 1003"):
        assign_splits(read_names("crema-d", names).recordings, SplitShares())


def test_a_class_that_nobody_would_learn_is_refused():
    names = [f"{1001 + n}_DFA_ANG_XX.wav" for n in range(8)]
    shares = SplitShares(test=0.3, validation=0.3)
    speakers = split_units([name[:4] for name in names], shares, "speakers")
    tested = [speaker for speaker, split in speakers.items() if split != "train"][:2]
    names += [f"{speaker}_DFA_SAD_XX.wav" for speaker in tested]
    with pytest.raises(CorpusError, match="no speaker of class 'sad' came into split 'train'"):
        assign_splits(read_names("crema-d", names).recordings, shares)


def test_a_class_with_too_few_files_is_refused():
    corpus = read_names("folders", ["cat/1.wav", "cat/2.wav", "cat/3.wav", "dog/1.wav"])
    with pytest.raises(CorpusError, match="the 1 recordings of class 'dog' cannot fill"):
        assign_splits(corpus.recordings, SplitShares())


@pytest.mark.parametrize(
    "wrong",
    [{"test": -0.1}, {"test": 0.6, "validation": 0.4}, {"labelled": 0.0}, {"labelled": 1.0}],
)
def test_shares_out_of_range_are_refused(wrong):
    with pytest.raises(InvalidValueError, match="share"):
        SplitShares(**wrong)
