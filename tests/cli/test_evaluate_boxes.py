import json

import pytest


@pytest.fixture(scope="module")
def runs(make_box_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli_box_runs") / "student"
    for seed in (0, 1):
        make_box_run(folder / f"seed-{seed}", seed=seed)
    return folder


def cells(text: str, first: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines() if line.split()[:1] == [first]]


def test_a_run_is_told_by_group_and_beside_a_teacher(avkd, runs, box_store, box_truth):
    outcome = avkd(
        "evaluate",
        runs / "seed-0",
        box_store,
        f"--truth={box_truth}",
        "--by=light",
        "--teacher-targets=rgb",
        "--tracking",
    )
    assert outcome.exit_code == 0, outcome.err
    assert f"split test, boxes against the truth {box_truth}" in outcome.out
    assert "light=night: 2 recordings, 16 pictures, 16 boxes" in outcome.out
    header, *_ = [line.split() for line in outcome.out.splitlines() if "AP@0.5:0.95" in line]
    assert header[:3] == ["AP@0.5", "AP@0.75", "AP@0.5:0.95"]
    assert {"CDx_percent", "match_rate", "MOTA", "IDF1", "HOTA", "id_switches"} <= set(header)
    everywhere, _, night, _ = cells(outcome.out, "student")
    assert everywhere[1] == f"{(26 + 25 * 2 / 3) / 101:.3f}"
    assert night[1] == f"{51 / 101:.3f}"
    assert [line[1] for line in cells(outcome.out, "rgb")][1:3] == ["1.000", "0.000"]
    assert (runs / "seed-0" / "boxes-test.parquet").exists()


def test_seeds_are_told_one_by_one_and_summed_up(avkd, runs, box_store, box_truth):
    outcome = avkd("evaluate", runs, box_store, f"--truth={box_truth}")
    assert outcome.exit_code == 0, outcome.err
    assert [len(cells(outcome.out, word)) for word in ("seed", "mean", "sd")] == [4, 2, 2]
    told = avkd("evaluate", runs, box_store, f"--truth={box_truth}", "--json").json
    assert [run["seed"] for run in told["runs"]] == [0, 1]
    assert told["summary"]["all"]["MOTA"]["mean"] == pytest.approx(0.25)


def test_against_a_teacher_no_number_is_called_accuracy(avkd, runs, box_store):
    one = runs / "seed-1"
    told = avkd("evaluate", one, box_store, "--against=rgb", "--json").json
    assert all(n.endswith("(agreement with teacher rgb)") for n in told["scores"][0]["metrics"])
    outcome = avkd("evaluate", one, box_store, "--against=rgb")
    assert "boxes agreement with teacher rgb" in outcome.out
    kept = json.loads((one / "evaluation-boxes-test-against_rgb.json").read_text())
    assert kept == told


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (("--by=light",), ("--truth TABLE", "--against")),
        (("--truth=none.csv",), ("none.csv",)),
        (("--against=rgb", "--trials=list.txt"), ("--trials", "boxes")),
        (("--against=rgb", "--label-column=light"), ("--label-column", "boxes")),
        (("--against=rgb", "--by=weather"), ("weather", "light")),
        (("--against=rgb", "--layer=pool5"), ("--layer", "is a store")),
        ((), ("boxes",)),
    ],
)
def test_what_boxes_cannot_be_asked_is_refused(avkd, runs, box_store, wrong, words):
    avkd("evaluate", runs / "seed-0", box_store, *wrong).assert_refused(2, *words)


def test_a_student_without_boxes_is_refused(avkd, row_runs, row_store):
    run = row_runs / "alone" / "seed-0"
    avkd("evaluate", run, row_store, "--against=sage").assert_refused(2, "what is heard, not where")


def test_boxes_are_refused_for_sounds(avkd, runs, sounds):
    avkd("evaluate", runs / "seed-0", sounds, "--truth=x.csv").assert_refused(2, "--truth", "store")


def test_other_reports_of_a_run_are_read_beside_that_of_boxes(avkd, runs, box_store, box_truth):
    for seed in (0, 1):
        avkd("evaluate", runs / f"seed-{seed}", box_store, f"--truth={box_truth}")
    outcome = avkd("report", box_store, "--run", runs / "seed-0", "--out", runs / "report.html")
    assert outcome.exit_code == 0, outcome.err
    assert "AP@0.5" in (runs / "report.html").read_text("utf-8")
