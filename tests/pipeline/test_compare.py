import json
from shutil import copytree

import numpy as np
import pytest

from avkd.errors import InvalidValueError, StoreUnwritableError, UnknownNameError
from avkd.pipeline.compare import compare_runs, write_comparison
from avkd.pipeline.comparison.papers import find_paper
from avkd.pipeline.evaluation.row_files import read_predictions
from avkd.pipeline.evaluation.rows import evaluate_rows


def folders(runs, *names):
    return [str(runs / name) for name in names]


@pytest.fixture(scope="module")
def comparison(evaluated_runs):
    return compare_runs(folders(evaluated_runs, "alone", "both"), split="rows-test")


def accuracies(runs, name):
    files = sorted(runs.glob(f"{name}/seed-*/evaluation-rows-test.json"))
    reports = [json.loads(file.read_text()) for file in files]
    return [report["scores"][0]["metrics"]["accuracy"] for report in reports]


def test_means_and_sds_are_those_of_the_reports(comparison, evaluated_runs):
    for group in comparison.groups:
        values = accuracies(evaluated_runs, group.name)
        assert group.values["accuracy"] == tuple(values)
        summary = group.summarise("accuracy")
        assert summary is not None
        assert summary.mean == pytest.approx(np.mean(values))
        assert summary.sd == pytest.approx(np.std(values, ddof=1))
    assert comparison.metric == "accuracy"
    assert comparison.groups[0].recipe == "rows/tiny"


def test_every_other_group_is_tested_against_the_first_on_the_same_clips(
    comparison, evaluated_runs
):
    pair = comparison.pairs[0]
    assert (pair.baseline, pair.candidate) == ("alone", "both")
    hits = {}
    for name in ("alone", "both"):
        files = sorted(evaluated_runs.glob(f"{name}/seed-*/predictions-rows-test.parquet"))
        tables = [read_predictions(file)[0] for file in files]
        hits[name] = [dict(zip(t["clip_id"], t["correct"], strict=True)) for t in tables]
    common = hits["both"][0].keys()
    assert len(common) == pair.over_clips.num_clips == 35
    means = [
        np.mean([[row[key] for key in common] for row in hits[name]]) for name in ("both", "alone")
    ]
    assert pair.over_clips.difference.value == pytest.approx(means[0] - means[1])
    assert pair.over_clips.difference.low > 0  # beta tells more than alpha, on any clips
    assert pair.notes == ("clips differ: 35 of 36 are in all runs and are paired",)
    assert pair.over_seeds.difference.num_seeds == 2


def test_a_stored_teacher_has_one_row_however_many_students_stand_beside_it(comparison):
    assert [teacher.name for teacher in comparison.teachers] == ["teacher sage"]
    assert len(comparison.teachers[0].values["accuracy"]) == 1
    assert [pair.candidate for pair in comparison.pairs] == ["both", "teacher sage"]


def test_teachers_that_differ_are_told_apart_by_their_students(own_runs):
    for seed in (0, 1):
        file = own_runs / "both" / f"seed-{seed}" / "evaluation-rows-test.json"
        report = json.loads(file.read_text())
        report["scores"][1]["metrics"]["accuracy"] = 0.125
        file.write_text(json.dumps(report))
    found = compare_runs(folders(own_runs, "alone", "both"), split="rows-test").teachers
    assert [each.name for each in found] == ["teacher sage of alone", "teacher sage of both"]
    assert found[1].values["accuracy"] == (0.125, 0.125)


def test_error_rates_are_compared_over_speakers(evaluated_runs):
    found = compare_runs(folders(evaluated_runs, "alone", "both"), metric="eer")
    assert found.metrics == ("eer", "min_dcf")
    clips = found.pairs[0].over_clips
    assert clips is not None
    assert (clips.num_clips, clips.num_groups) == (153, 6)


def test_runs_without_a_report_in_common_are_refused(own_runs):
    for file in own_runs.glob("both/seed-*/evaluation-rows-test.json"):
        file.unlink()
    runs = folders(own_runs, "alone", "both")
    with pytest.raises(InvalidValueError, match="no evaluation of split 'rows-test'"):
        compare_runs(runs, split="rows-test")
    assert compare_runs(runs).metric == "eer"


def test_an_unknown_metric_or_paper_is_refused_with_the_right_ones(evaluated_runs):
    runs = folders(evaluated_runs, "alone", "both")
    with pytest.raises(UnknownNameError, match="did you mean accuracy"):
        compare_runs(runs, split="rows-test", metric="acuracy")
    with pytest.raises(UnknownNameError, match="paper of recipe 'rows'"):
        compare_runs(runs, split="rows-test", paper="rows")


def test_rows_of_another_store_are_told(own_runs, row_store, tmp_path):
    copytree(row_store, tmp_path / "moved")
    for seed in (0, 1):
        evaluate_rows(
            str(own_runs / "both" / f"seed-{seed}"), str(tmp_path / "moved"), device="cpu"
        )
    found = compare_runs(folders(own_runs, "alone", "both"), split="rows-test")
    assert found.notes[0].startswith("rows are of 2 stores: ")
    assert found.pairs[0].over_clips is not None  # clips have the same ids there


def test_groups_of_unequal_size_are_told(evaluated_runs):
    runs = folders(evaluated_runs, "alone", "both/seed-1")
    notes = compare_runs(runs, split="rows-test").notes
    assert notes == ("numbers of seeds differ: alone 2, both/seed-1 1",)


def test_a_paper_lies_beside_where_it_is_asked_for(evaluated_runs, comparison):
    assert comparison.papers == ()  # the recipe of these runs follows none
    runs = folders(evaluated_runs, "alone", "both")
    assert compare_runs(runs, split="rows-test", paper="mke").papers == find_paper("mke")


def test_table_plot_and_numbers_are_written(comparison, tmp_path):
    written = write_comparison(comparison, str(tmp_path / "out"))
    assert [path.rsplit("/", 1)[1] for path in written] == [
        "compare.md",
        "compare.svg",
        "compare.json",
    ]
    document = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert document["groups"][0]["summary"]["accuracy"]["num_seeds"] == 2
    assert document["pairs"][0]["over_clips"]["num_clips"] == 35
    assert "| both | 2 |" in (tmp_path / "out" / "compare.md").read_text()
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnwritableError):
        write_comparison(comparison, str(tmp_path / "file"))


def test_probes_of_labelled_sounds_are_compared_over_seeds(own_runs):
    for name, means in (("alone", (0.5, 0.6)), ("both", (0.7, 0.9))):
        for seed, mean in enumerate(means):
            score = {"features": "distilled", "layer": "conv", "labels_per_class": 0, "mean": mean}
            report = json.dumps({"dataset": "sounds", "scores": [score]})
            (own_runs / name / f"seed-{seed}" / "evaluation-sounds.json").write_text(report)
    found = compare_runs(folders(own_runs, "alone", "both"), split="sounds")
    assert found.metrics == ("accuracy",)
    assert found.pairs[0].over_clips is None
    assert found.pairs[0].over_seeds is not None
    assert found.pairs[0].over_seeds.difference.mean == pytest.approx(0.25)
