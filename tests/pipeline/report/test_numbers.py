import pytest

from avkd.pipeline.report import numbers


@pytest.mark.parametrize(
    ("num_bytes", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (2_500_000, "2.5 MB"), (7e15, "7000.0 TB")],
)
def test_sizes_are_in_the_unit_that_fits(num_bytes, text):
    assert numbers.size(num_bytes) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (125.4, "2 min 05 s"),
        (3599.9, "1 h 00 min"),
        (7380, "2 h 03 min"),
    ],
)
def test_durations_never_say_60_seconds(seconds, text):
    assert numbers.duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00.0"), (62.5, "1:02.5"), (59.96, "1:00.0"), (600, "10:00.0")]
)
def test_instants_are_minutes_and_seconds(seconds, text):
    assert numbers.instant(seconds) == text


def test_numbers_of_seeds_are_a_mean_and_an_sd_and_one_is_itself():
    assert numbers.mean_with_sd([0.4, 0.6]) == "0.500 (0.141)"
    assert numbers.mean_with_sd([2], 0) == "2"


def test_counts_have_the_noun_that_fits():
    told = [numbers.counted(1, "box"), numbers.counted(2, "box"), numbers.counted(1000, "clip")]
    assert told == ["1 box", "2 boxes", "1,000 clips"]


def test_groups_are_told_in_words():
    assert numbers.name_group("all") == "all recordings"
    assert numbers.name_group("view_split=unseen") == "view split: unseen"


def test_notes_become_sentences():
    assert numbers.sentence("rgb is gone") == numbers.sentence("Rgb is gone.") == "Rgb is gone."


def test_fractions_are_percent_with_one_digit():
    assert numbers.percent(0.71249) == "71.2 %"
    assert numbers.percent_with_sd(0.7, 0.0214) == "70.0 \N{PLUS-MINUS SIGN} 2.1 %"


def test_nouns_follow_their_counts():
    assert numbers.counted(1, "clip") == "1 clip"
    assert numbers.counted(12_345, "clip") == "12,345 clips"


def test_shapes_and_labels_are_words():
    assert numbers.shape((4, 1000)) == "4 \N{MULTIPLICATION SIGN} 1000"
    assert numbers.shape(()) == "1"
    assert numbers.labels(0) == "all labels"
    assert numbers.labels(1) == "1 label a class"
    assert numbers.labels(5) == "5 labels a class"
