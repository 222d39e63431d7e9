import json

import pytest

COLUMNS = ("--path=wav", "--label=pitch", "--fold=part")


def test_columns_of_any_name_give_a_table_of_scores(avkd, run, sounds):
    outcome = avkd("evaluate", run, sounds, *COLUMNS, "--control=mfcc", "--control=random")
    assert outcome.exit_code == 0, outcome.err
    lines = [line.split() for line in outcome.out.splitlines()]
    assert {"distilled", "mfcc", "random"} <= {line[0] for line in lines if line}


def test_scores_for_machines_hold_every_layer_and_number_of_labels(avkd, run, sounds):
    student = json.loads((run / "student.json").read_text())
    assert student
    told = avkd(
        "evaluate",
        run,
        sounds,
        *COLUMNS,
        "--labels-per-class=1",
        "--labels-per-class=0",
        "--seed=0",
        "--seed=1",
        "--json",
    ).json
    assert told["class_names"] == ["high", "low"]
    assert told["trials"] == ["1", "2"]
    found = {(each["features"], each["labels_per_class"]) for each in told["scores"]}
    assert found == {("distilled", 1), ("distilled", 0)}
    assert all(0 <= each["mean"] <= 1 for each in told["scores"])
    assert (run / "evaluation-sounds.json").exists()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (("--path=wave", "--label=pitch", "--fold=part"), ("wave", "wav", "pitch", "part")),
        (("--path=wav", "--label=pitch"), ("fold",)),
        ((*COLUMNS, "--control=scrach"), ("scrach", "scratch")),
        ((*COLUMNS, "--layer=conv99"), ("conv99",)),
        ((*COLUMNS, "--labels-per-class=99"), ("99",)),
    ],
)
def test_a_wrong_column_or_name_is_refused_with_the_right_ones(avkd, run, sounds, wrong, words):
    avkd("evaluate", run, sounds, *wrong).assert_refused(2, *words)


def test_a_missing_run_is_refused(avkd, tmp_path, sounds):
    avkd("evaluate", tmp_path / "none", sounds, *COLUMNS).assert_refused(3, "none")


def test_a_missing_dataset_is_refused(avkd, run, tmp_path):
    avkd("evaluate", run, tmp_path / "none.csv").assert_refused(2, "none.csv")
