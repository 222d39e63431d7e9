import json

import pytest

from avkd.errors import StoreNotFoundError
from avkd.pipeline.report.gathering import describe_software, gather_report


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "seed-0"
    folder.mkdir()
    (folder / "recipe.json").write_text("{}")
    (folder / "metrics.jsonl").write_text('{"update": 1, "loss": 2.5}\n')
    scores = [
        {
            "features": features,
            "layer": "conv4",
            "labels_per_class": 0,
            "mean": 0.5,
            "sd": 0.1,
            "accuracies": [0.4, 0.6],
            "low": 0.3,
            "high": 0.7,
            "confusion": [[1, 1], [1, 1]],
        }
        for features in ("distilled", "random")
    ]
    evaluation = {
        "run": str(folder),
        "dataset": "sounds",
        "num_clips": 4,
        "class_names": ["a", "b"],
        "trials": ["1", "2"],
        "scores": scores,
    }
    (folder / "evaluation-sounds.json").write_text(json.dumps(evaluation))
    return folder


def test_a_store_alone_is_told_with_its_frames_and_failures(store):
    content = gather_report(store.url, num_frames=2)
    assert "4 recordings became 8 clips; 7 of them" in content.sentences[0]
    assert "none is lost" in content.sentences[1]
    assert len(content.gallery) == 2
    assert not content.probes
    assert content.confusion is None


def test_a_run_brings_losses_probes_chance_and_a_table(store, run):
    content = gather_report(store.url, [str(run)], num_frames=0)
    assert [curve.losses for curve in content.losses] == [(2.5,)]
    assert {probe.name: probe.mean for probe in content.probes} == {
        "distilled": 0.5,
        "random": 0.5,
    }
    assert content.chance == 0.5
    assert "On sounds, with all labels, over 1 run: distilled 50.0 %" in content.sentences[-1]
    assert content.tables[0].title == "seed-0 on sounds"
    assert content.tables[0].rows[0][3:] == ("50.0 %", "10.0 %", "30.0 % to 70.0 %")


def test_a_missing_store_is_refused(tmp_path):
    with pytest.raises(StoreNotFoundError):
        gather_report(str(tmp_path / "none"))


def test_versions_are_those_of_what_is_installed():
    found = describe_software()
    assert found["avkd"] == "0.1.0"
    assert {"torch", "zarr", "Python"} <= set(found)


def test_scores_on_stored_rows_are_a_table_of_their_own(store, run):
    scores = [
        {"name": "student", "num_rows": 8, "metrics": {"accuracy": 0.75, "d_prime": None}},
        {"name": "seer", "num_rows": 8, "metrics": {"accuracy": 0.5}},
    ]
    report = {"run": str(run), "split": "test", "scores": scores, "notes": ["one class only"]}
    (run / "evaluation-rows-test.json").write_text(json.dumps(report))
    tables = gather_report(store.url, [str(run)]).tables
    (table,) = (table for table in tables if "rows of test" in table.title)
    assert table.header == ("who", "rows", "accuracy", "d_prime")
    assert [row[:3] for row in table.rows] == [("student", "8", "0.750"), ("seer", "8", "0.500")]
    assert table.note == "one class only"
