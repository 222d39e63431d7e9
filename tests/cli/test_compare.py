import pytest


def test_groups_of_seeds_are_compared(avkd, evaluated_runs):
    runs = (evaluated_runs / "alone", evaluated_runs / "both")
    outcome = avkd("compare", *runs, "--split=rows-test")
    assert outcome.exit_code == 0, outcome.err
    assert outcome.out.startswith("split test, labels label (class); mean (sd) over seeds\n")
    lines = [line.split() for line in outcome.out.splitlines()]
    assert ["run", "seeds", "accuracy", "macro_accuracy"] in lines
    starts = [line[0] for line in lines if line]
    assert starts.count("both") == 2
    assert "against alone" in outcome.out


def test_the_paper_s_table_is_printed_with_its_mark(avkd, evaluated_runs):
    runs = (evaluated_runs / "alone", evaluated_runs / "both")
    out = avkd("compare", *runs, "--metric=accuracy", "--paper=mke").out
    assert "TwoMoon, mean of ten seeds [S, outputs saved in the official notebook" in out
    assert "multi-modal student" in out
    assert "unknown" in out


def test_all_numbers_are_for_machines_and_for_a_folder(avkd, evaluated_runs, tmp_path):
    runs = (evaluated_runs / "alone", evaluated_runs / "both")
    told = avkd("compare", *runs, "--metric=eer", f"--out={tmp_path / 'out'}", "--json").json
    assert told["metric"] == "eer"
    assert [group["name"] for group in told["groups"]] == ["alone", "both"]
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == ["compare.json", "compare.md", "compare.svg"]


@pytest.mark.parametrize(
    ("names", "options", "words"),
    [
        (("alone", "both"), (), ("2 ways", "rows-test", "--split")),
        (("alone", "both"), ("--split=dev",), ("dev", "avkd evaluate", "STORE --split dev")),
        (("alone/seed-0",), (), ("one run only",)),
        (("alone", "alone"), (), ("once",)),
        (("alone", "both"), ("--split=rows-test", "--metric=eer"), ("eer", "accuracy")),
        (("alone", "both"), ("--paper=gan",), ("gan", "soundnet")),
    ],
)
def test_what_cannot_be_compared_is_refused(avkd, evaluated_runs, names, options, words):
    runs = [evaluated_runs / name for name in names]
    avkd("compare", *runs, *options).assert_refused(2, *words)


def test_a_run_that_was_not_evaluated_is_told_how(avkd, row_runs):
    outcome = avkd("compare", row_runs / "alone", row_runs / "both")
    outcome.assert_refused(2, "no evaluation", "avkd evaluate")


def test_no_run_is_refused(avkd, tmp_path):
    avkd("compare", tmp_path / "none", tmp_path / "nothing").assert_refused(3, "none")


def test_a_folder_that_cannot_be_written_is_refused(avkd, evaluated_runs, tmp_path):
    (tmp_path / "file").touch()
    runs = (evaluated_runs / "alone", evaluated_runs / "both")
    outcome = avkd("compare", *runs, "--split=rows-test", f"--out={tmp_path / 'file'}")
    outcome.assert_refused(6, "cannot be written")
