"""Recordings of ``box_store`` are sounds alone: what is drawn is tested in pipeline/report."""

import pytest


@pytest.fixture(scope="module")
def runs(make_box_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli_report_runs") / "ear"
    for seed in (0, 1):
        make_box_run(folder / f"seed-{seed}", seed=seed)
    return folder


def page_of(avkd, tmp_path, *arguments):
    page = tmp_path / "report.html"
    outcome = avkd("report", *arguments, f"--out={page}", "--frames=0")
    assert outcome.exit_code == 0, outcome.err
    return page.read_text("utf-8").partition("</style>")[2]


def test_a_folder_of_seeds_is_a_line_beside_the_teachers(
    avkd, runs, box_store, box_truth, tmp_path
):
    truth = f"--truth={box_truth}"
    evaluated = avkd("evaluate", runs, box_store, truth, "--by=light", "--teacher-targets=rgb")
    assert evaluated.exit_code == 0, evaluated.err
    page = page_of(avkd, tmp_path, box_store, f"--run={runs}")
    assert "Against the truth boxes.csv, split test" in page
    assert "light: night" in page
    assert "ear (2 seeds)" in page
    assert "teacher rgb" in page
    # (26 + 25 * 2 / 3) / 101 of both seeds, which say the same.
    assert "0.422 (0.000)" in page
    assert "Precision over recall" in page
    assert "4 of 4 recordings have no rgb and cannot be shown, such as day/0." in page
    assert "as_released" not in page
    assert "<video" not in page


def test_agreement_is_never_called_accuracy(avkd, runs, box_store, tmp_path):
    one = runs / "seed-1"
    assert avkd("evaluate", one, box_store, "--against=rgb").exit_code == 0
    page = page_of(avkd, tmp_path, box_store, f"--run={one}", "--stills=0", "--videos=0")
    assert "Agreement with teacher rgb, split test" in page
    assert "and not accuracy" in page
    assert "accuracy" not in page.replace("and not accuracy", "")


def test_a_truth_that_is_no_table_is_refused(avkd, runs, box_store, box_truth, tmp_path):
    assert avkd("evaluate", runs, box_store, f"--truth={box_truth}").exit_code == 0
    page = tmp_path / "report.html"
    outcome = avkd("report", box_store, f"--run={runs}", "--truth=none.csv", f"--out={page}")
    outcome.assert_refused(2, "none.csv")
    assert not page.exists()


@pytest.mark.parametrize("option", ["--stills=-1", "--videos=-1"])
def test_fewer_than_no_pictures_are_refused(avkd, box_store, option):
    avkd("report", box_store, option).assert_refused(2, option.partition("=")[0])
