import json
from math import isnan
from pathlib import Path

import pytest

from avkd.errors import CorruptStoreError, InvalidValueError, StoreNotFoundError
from avkd.pipeline.comparison.measured import Protocol, read_measured

PROBE = {
    "run": "x",
    "dataset": "sounds",
    "class_names": ["a", "b"],
    "scores": [
        {"features": "distilled", "layer": "conv", "labels_per_class": 1, "mean": 0.5},
        {"features": "distilled", "layer": "conv", "labels_per_class": 0, "mean": 0.75},
        {"features": "mfcc", "layer": "mfcc", "labels_per_class": 0, "mean": 0.25},
    ],
}


def test_reports_of_rows_are_read_with_their_protocol(evaluated_runs, row_store):
    run = read_measured(str(evaluated_runs / "both" / "seed-1"))
    assert run.seed == 1
    by_name = {each.name: each for each in run.evaluations}
    labels = by_name["rows-test"]
    assert labels.protocol == Protocol(kind="class", data="test", label_column="label")
    assert labels.store == str(Path(row_store).resolve())
    assert set(labels.student.metrics) == {"accuracy", "macro_accuracy"}
    assert labels.student.predictions is not None
    assert labels.student.predictions.exists()
    sage = labels.teachers["sage"]
    assert sage.predictions is not None
    assert sage.predictions.exists()
    of_trials = by_name["rows-test-speaker-trials"].protocol
    assert str(of_trials) == "split test, trials trials.txt, cosine, P_target 0.01"


def test_reports_of_probes_give_the_distilled_features(own_runs):
    folder = own_runs / "alone" / "seed-0"
    (folder / "evaluation-sounds.json").write_text(json.dumps(PROBE))
    probe = next(each for each in read_measured(str(folder)).evaluations if each.name == "sounds")
    assert probe.protocol == Protocol(kind="probe", data="sounds")
    assert list(probe.student.metrics.items()) == [("accuracy", 0.75), ("accuracy_1_labels", 0.5)]
    assert probe.student.predictions is None


def test_layers_are_told_apart_where_there_are_several(own_runs):
    folder = own_runs / "alone" / "seed-0"
    other = {"features": "distilled", "layer": "pool", "labels_per_class": 0, "mean": 1.0}
    report = {**PROBE, "scores": [*PROBE["scores"], other]}
    (folder / "evaluation-sounds.json").write_text(json.dumps(report))
    probe = next(each for each in read_measured(str(folder)).evaluations if each.name == "sounds")
    assert set(probe.student.metrics) == {
        "accuracy_conv",
        "accuracy_pool",
        "accuracy_conv_1_labels",
    }


def test_a_number_that_does_not_exist_is_not_one(own_runs):
    file = own_runs / "alone" / "seed-0" / "evaluation-rows-test.json"
    report = json.loads(file.read_text())
    report["scores"][0]["metrics"]["accuracy"] = None
    file.write_text(json.dumps(report))
    labels = next(e for e in read_measured(str(file.parent)).evaluations if e.name == "rows-test")
    assert isnan(labels.student.metrics["accuracy"])


def test_a_run_that_was_not_evaluated_is_told_how(train_rows, tmp_path):
    train_rows(tmp_path / "fresh", ("alpha",))
    with pytest.raises(InvalidValueError, match=r"avkd evaluate .*fresh STORE"):
        read_measured(str(tmp_path / "fresh"))
    with pytest.raises(StoreNotFoundError, match="no run"):
        read_measured(str(tmp_path / "none"))


@pytest.mark.parametrize("data", [b'{"name": "rows-te', b"\xff\xfe"])
def test_a_damaged_report_is_named(own_runs, data):
    file = own_runs / "alone" / "seed-0" / "evaluation-rows-test.json"
    file.write_bytes(data)
    with pytest.raises(CorruptStoreError, match=r"rows-test\.json .*; evaluate the run again"):
        read_measured(str(file.parent))
