import csv

import pytest


@pytest.fixture
def crema_d(tmp_path):
    folder = tmp_path / "CREMA-D"
    folder.mkdir()
    for actor in range(1001, 1011):
        for emotion in ("ANG", "HAP", "SAD"):
            (folder / f"{actor}_DFA_{emotion}_XX.flv").touch()
    return folder


def test_machines_get_the_counts_of_the_splits(avkd, crema_d, tmp_path):
    out = tmp_path / "corpus.csv"
    told = avkd("make-corpus", "crema-d", crema_d, out, "--labelled-share=0.5", "--json").json
    assert told["num_recordings"] == 30
    assert told["splits"]["test"] == {"num_recordings": 6, "num_speakers": 2, "num_classes": 3}
    assert set(told["splits"]) == {"test", "validation", "labelled", "unlabelled"}
    with out.open() as file:
        rows = list(csv.DictReader(file))
    assert {row["split"] for row in rows} == set(told["splits"])
    by_speaker = {(row["speaker"], row["split"]) for row in rows}
    assert len(by_speaker) == 10


def test_people_get_a_line_a_split_and_a_remark_on_other_files(avkd, crema_d, tmp_path):
    (crema_d / "trailer.mp4").touch()
    outcome = avkd("make-corpus", "crema-d", crema_d, tmp_path / "corpus.csv", "--test-share=0.3")
    assert outcome.out.splitlines()[1].split() == ["test", "9", "3", "3"]
    assert "30 recordings" in outcome.out
    assert "1 media file" in outcome.err
    assert "trailer.mp4" in outcome.err


def test_another_seed_gives_other_splits(avkd, crema_d, tmp_path):
    texts = []
    for seed in (0, 1):
        out = tmp_path / f"{seed}.csv"
        avkd("make-corpus", "crema-d", crema_d, out, f"--seed={seed}")
        texts.append(out.read_text())
    assert texts[0] != texts[1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("ravdes", "in", "out.csv"), ("ravdes", "did you mean ravdess")),
        (("ravdess", "in", "out.csv"), ("1001_DFA_ANG_XX.flv", "01-01-06-01-02-01-12.mp4")),
        (("crema-d", "in", "out.txt"), ("out.txt", ".csv")),
        (("crema-d", "nowhere", "out.csv"), ("nowhere",)),
        (("crema-d", "in", "out.csv", "--test-share=1.5"), ("1.5", "below 1")),
        (("crema-d", "in", "out.csv", "--labelled-share=2"), ("labelled share 2",)),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(avkd, crema_d, monkeypatch, arguments, words):
    crema_d.rename(crema_d.parent / "in")
    monkeypatch.chdir(crema_d.parent)
    avkd("make-corpus", *arguments).assert_refused(2, *words)


def test_one_speaker_is_refused(avkd, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "1001_DFA_ANG_XX.flv").touch()
    outcome = avkd("make-corpus", "crema-d", tmp_path / "in", tmp_path / "out.csv")
    outcome.assert_refused(2, "one speaker", "1001")


def test_a_table_that_cannot_be_written_is_refused(avkd, crema_d, tmp_path):
    (tmp_path / "file").touch()
    outcome = avkd("make-corpus", "crema-d", crema_d, tmp_path / "file" / "corpus.csv")
    outcome.assert_refused(6, "cannot write", "corpus.csv")
