import pytest


def test_every_seed_is_told_and_then_the_mean(avkd, own_runs, row_store):
    outcome = avkd("evaluate", own_runs / "alone", row_store, "--teacher-targets=sage")
    assert outcome.exit_code == 0, outcome.err
    lines = [line.split("  ")[0] for line in outcome.out.splitlines()]
    assert lines[2:7] == ["seed 0", "seed 1", "sage", "mean", "sd"]
    assert "note: sage: 1 of 36 rows lack what it needs and are left out" in outcome.out


def test_one_run_is_told_with_its_confusions(avkd, own_runs, row_store):
    outcome = avkd("evaluate", own_runs / "alone" / "seed-0", row_store)
    assert outcome.exit_code == 0, outcome.err
    lines = [line.split() for line in outcome.out.splitlines()]
    assert ["labelled", "as", "bell", "as", "drum", "as", "horn"] in lines
    counts = [int(cell) for line in lines for cell in line[1:] if line[:1] == ["bell"]]
    assert sum(counts) == 12


def test_machines_get_reports_and_a_summary_of_seeds(avkd, own_runs, row_store):
    told = avkd("evaluate", own_runs / "both", row_store, "--split=train", "--json").json
    assert [run["seed"] for run in told["runs"]] == [0, 1]
    assert told["summary"]["accuracy"]["num_seeds"] == 2
    one = avkd("evaluate", own_runs / "both/seed-1", row_store, "--split=train", "--json").json
    assert one == told["runs"][1]


def test_trials_print_the_prior(avkd, own_runs, row_store, row_trials):
    outcome = avkd(
        "evaluate",
        own_runs / "both",
        row_store,
        f"--trials={row_trials}",
        "--p-target=0.05",
        "--as-norm",
        "--label-column=speaker",
    )
    assert outcome.exit_code == 0, outcome.err
    assert "scores: AS-norm by split train; minDCF: P_target 0.05, C_miss 1, C_fa 1" in outcome.out
    assert "18 target and 135 non-target trials, intervals by resampled speakers" in outcome.out


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (("--fold=part",), ("--fold", "is a store")),
        (("--control=mfcc",), ("--control", "is a store")),
        (("--split=strange",), ("whistle", "3 classes")),
        (("--split=spare",), ("spare", "label")),
        (("--trials=none.txt",), ("none.txt",)),
        (("--as-norm",), ("trials",)),
        (("--teacher-targets=sago",), ("sago", "sage")),
    ],
)
def test_what_a_store_cannot_be_asked_is_refused(avkd, row_runs, row_store, wrong, words):
    run = row_runs / "alone" / "seed-0"
    avkd("evaluate", run, row_store, *wrong).assert_refused(2, *words)


def test_options_of_a_store_are_refused_for_sounds(avkd, run, sounds):
    avkd("evaluate", run, sounds, "--trials=x.txt").assert_refused(2, "--trials", "no", "sounds")


def test_students_are_measured_where_they_belong(avkd, run, store, row_runs, sounds):
    avkd("evaluate", run, store).assert_refused(2, "hears over time")
    columns = ("--path=wav", "--label=pitch", "--fold=part")
    clip_student = row_runs / "alone" / "seed-0"
    avkd("evaluate", clip_student, sounds, *columns).assert_refused(2, "rows of a store")


def test_a_folder_without_runs_is_refused(avkd, row_store, tmp_path):
    avkd("evaluate", tmp_path, row_store).assert_refused(3, "no run", "seeds")
