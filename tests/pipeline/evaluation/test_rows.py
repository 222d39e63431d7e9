import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from avkd.errors import CorpusError, InvalidValueError, StoreNotFoundError, UnknownNameError
from avkd.pipeline.evaluate import evaluate_run
from avkd.pipeline.evaluation.datasets import EvaluationDataset
from avkd.pipeline.evaluation.row_files import predictions_file, read_predictions
from avkd.pipeline.evaluation.rows import evaluate_rows, is_store, summarise_reports
from avkd.pipeline.recipe import MethodConfig, Recipe
from avkd.pipeline.run_dir import RunDir, open_run
from avkd.pipeline.train import train_student
from avkd.pipeline.training.students import build_student, save_student
from avkd.stages.methods.batch import LearningShape, TargetShape
from avkd.storage.store import Store


def read_report(run: Path, name: str = "rows-test"):
    return json.loads(RunDir(path=run).evaluation_file(name).read_text())


def test_the_accuracy_is_the_share_of_rows_that_are_right(evaluated_runs):
    run = evaluated_runs / "alone" / "seed-0"
    columns, _ = read_predictions(predictions_file(run, "rows-test"))
    assert len(columns["clip_id"]) == 36
    assert columns["correct"] == [
        p == label for p, label in zip(columns["prediction"], columns["label"], strict=True)
    ]
    scores = read_report(run)["scores"][0]
    assert scores["name"] == "student"
    assert scores["metrics"]["accuracy"] == np.mean(columns["correct"])


def test_a_report_tells_what_was_measured_and_where(evaluated_runs, row_store):
    report = read_report(evaluated_runs / "both" / "seed-1")
    assert report["seed"] == 1
    assert report["store"] == str(Path(row_store).resolve())
    asked = (report["split"], report["label_column"], report["kind"], report["trials"])
    assert asked == ("test", "label", "class", "")
    assert "student: 1 of 36 rows lack what it needs and are left out" in report["notes"]


def test_a_stored_teacher_is_scored_on_the_same_rows_without_being_run(evaluated_runs, row_store):
    report = read_report(evaluated_runs / "both" / "seed-0")
    student, teacher = report["scores"]
    store = Store.open(row_store)
    # The store's teacher is wrong where a row's number is a multiple of five.
    seen = set(store.ok_rows("sage").tolist())
    clips = [clip for shard in store.shards() for clip in store.read_clips(shard)]
    rows = [c.row for c in clips if c.metadata["split"] == "test" and c.row in seen]
    assert teacher["name"] == "sage"
    assert teacher["num_rows"] == len(rows) == 35
    assert teacher["metrics"]["accuracy"] == pytest.approx(np.mean([row % 5 > 0 for row in rows]))
    assert "agreement" not in student["metrics"]
    tables = [
        read_predictions(predictions_file(evaluated_runs / "both/seed-0", "rows-test", name))[0]
        for name in ("", "sage")
    ]
    assert tables[0]["clip_id"] == tables[1]["clip_id"]
    same = np.equal(tables[0]["prediction"], tables[1]["prediction"])
    assert teacher["metrics"]["agreement"] == pytest.approx(same.mean())


def test_several_classes_a_row_give_the_scores_of_tagging(train_rows, row_store, tmp_path):
    train_rows(tmp_path / "tags", ("beta",), task="classes", label_column="tags")
    report = evaluate_rows(str(tmp_path / "tags"), row_store, device="cpu")
    assert report.kind == "classes"
    assert report.label_column == "tags"
    metrics = report.student.metrics
    assert list(metrics) == ["mAP", "micro_f1", "micro_precision", "micro_recall", "d_prime"]
    assert metrics["mAP"] > 0.9


def test_trials_are_scored_by_embeddings_and_name_their_prior(own_runs, row_store, row_trials):
    run = str(own_runs / "both" / "seed-0")
    report = evaluate_rows(
        run, row_store, trials=row_trials, label_column="speaker", p_target=0.05, device="cpu"
    )
    assert report.kind == "verification"
    details = report.student.details
    assert (details["p_target"], details["scoring"]) == (0.05, "cosine")
    assert (details["num_target"], details["num_nontarget"]) == (18, 135)
    assert details["resampled"] == "speakers"
    # Recordings of a speaker share their class, which this student knows.
    assert 0 < report.student.metrics["eer"] < 0.4
    normalised = evaluate_rows(
        run, row_store, trials=row_trials, label_column="speaker", as_norm=True, device="cpu"
    )
    assert normalised.name == "rows-test-speaker-trials-as_norm"
    assert normalised.student.details["scoring"] == "AS-norm by split train"
    assert normalised.student.metrics != report.student.metrics


def test_a_student_of_a_teacher_takes_its_class_names_from_it(row_store, row_runs, tmp_path):
    taught = RunDir(path=row_runs / "both" / "seed-0").read_recipe()
    taught = replace(
        taught,
        method=MethodConfig(name="mke"),
        data=replace(taught.data, label_column=None),
    )
    train_student(row_store, str(tmp_path / "mke"), taught, teachers=("sage",), device="cpu")
    report = evaluate_rows(str(tmp_path / "mke"), row_store, device="cpu")
    assert (report.kind, report.label_column) == ("class", "label")
    assert report.student.details["class_names"] == ("bell", "drum", "horn")
    assert report.student.metrics["accuracy"] > 0.6


def test_what_was_learned_from_is_no_test(own_runs, row_store):
    run = str(own_runs / "alone" / "seed-0")
    report = evaluate_rows(run, row_store, split="train", device="cpu")
    assert report.notes == ("the student learned from split 'train'",)
    assert read_report(Path(run), "rows-train")["split"] == "train"


def test_numbers_that_do_not_exist_are_null(own_runs, row_store):
    run = str(own_runs / "alone" / "seed-0")
    report = evaluate_rows(run, row_store, device="cpu")
    metrics = {"d_prime": float("inf"), "agreement": float("nan"), "accuracy": 0.5}
    odd = replace(report, scores=(replace(report.student, metrics=metrics),))
    told = json.loads(odd.to_json())["scores"][0]["metrics"]
    assert told == {"d_prime": None, "agreement": None, "accuracy": 0.5}


def test_seeds_are_summed_up(own_runs, row_store):
    reports = [
        evaluate_rows(str(own_runs / "alone" / f"seed-{seed}"), row_store, device="cpu")
        for seed in (0, 1)
    ]
    summary = summarise_reports(reports)["accuracy"]
    values = [report.student.metrics["accuracy"] for report in reports]
    assert summary.mean == pytest.approx(np.mean(values))
    assert summary.sd == pytest.approx(np.std(values, ddof=1))


@pytest.mark.parametrize(
    ("asked", "error", "words"),
    [
        ({"split": "strange"}, CorpusError, "label 'whistle' is not one of the 3 classes"),
        ({"split": "spare"}, CorpusError, "no row of split 'spare' .* column 'label'"),
        ({"split": "dev"}, CorpusError, "no rows of split 'dev'"),
        ({"label_column": "mood"}, CorpusError, "label in column 'mood'"),
        ({"teacher_targets": ["sago"]}, UnknownNameError, "sage"),
        ({"as_norm": True}, InvalidValueError, "name a list"),
    ],
)
def test_what_cannot_be_measured_is_refused(row_runs, row_store, asked, error, words):
    with pytest.raises(error, match=words):
        evaluate_rows(str(row_runs / "alone" / "seed-0"), row_store, device="cpu", **asked)


def test_a_prior_that_is_none_is_refused(row_runs, row_store, row_trials):
    with pytest.raises(InvalidValueError, match=r"p_target 1\.5"):
        evaluate_rows(
            str(row_runs / "alone" / "seed-0"), row_store, trials=row_trials, p_target=1.5
        )


def test_trials_of_unknown_recordings_are_refused_before_anything_is_predicted(
    row_runs, row_store, tmp_path
):
    (tmp_path / "t.txt").write_text("1 test/0 test/1\n0 test/0 test/99\n")
    told = []
    with pytest.raises(CorpusError, match="'test/99'"):
        evaluate_rows(
            str(row_runs / "alone" / "seed-0"),
            row_store,
            trials=str(tmp_path / "t.txt"),
            on_progress=told.append,
        )
    assert told == []


def test_a_run_or_store_that_is_not_there_is_refused(row_runs, row_store, tmp_path):
    with pytest.raises(StoreNotFoundError, match="no run"):
        evaluate_rows(str(tmp_path / "none"), row_store)
    with pytest.raises(StoreNotFoundError, match="no store"):
        evaluate_rows(str(row_runs / "alone" / "seed-0"), str(tmp_path))
    assert is_store(row_store)
    assert not is_store(str(tmp_path))


def test_students_of_steps_and_students_of_clips_are_measured_apart(
    row_runs, row_store, recipe: Recipe, tmp_path
):
    targets = {"dense": TargetShape(num_steps=2, num_classes=6)}
    run = open_run(str(tmp_path / "steps"), recipe, {})
    _, student = build_student(recipe, LearningShape(targets=targets))
    save_student(run, student, LearningShape(targets=targets))
    with pytest.raises(InvalidValueError, match="hears over time"):
        evaluate_rows(str(tmp_path / "steps"), row_store)
    with pytest.raises(InvalidValueError, match="evaluate it on the rows of a store"):
        evaluate_run(str(row_runs / "alone" / "seed-0"), EvaluationDataset("none", ()))
