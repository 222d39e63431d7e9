import json
from dataclasses import replace
from pathlib import Path
from shutil import copytree

import pyarrow.parquet as pq
import pytest

from avkd.errors import CorpusError, InvalidValueError, UnknownNameError
from avkd.pipeline.compare import compare_runs
from avkd.pipeline.evaluation import box_request
from avkd.pipeline.evaluation.box_evaluation import evaluate_boxes
from avkd.pipeline.evaluation.box_report import BoxesReport, summarise_boxes
from avkd.pipeline.evaluation.box_request import BoxesRequest
from avkd.storage.store import Store


@pytest.fixture(scope="module")
def run(make_box_run, tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("box_runs") / "steady"
    make_box_run(folder)
    return str(folder)


@pytest.fixture(scope="module")
def asked(run, box_store, box_truth) -> BoxesRequest:
    return BoxesRequest(run=run, store=box_store, truth=box_truth, by=("light",))


@pytest.fixture(scope="module")
def report(asked) -> BoxesReport:
    return evaluate_boxes(asked, teacher_targets=["rgb"], device="cpu")


def ap(num_full: int, precision: float = 1.0, num_more: int = 0) -> float:
    """Of so many of the 101 recalls at precision 1, then at another."""
    return (num_full + precision * num_more) / 101


def test_ap_is_that_of_the_boxes_that_are_known(report):
    # Of 32 boxes 16 are found: 8 of day/0, then 8 false alarms of day/1, then 8 of night/3.
    found = report.student.metrics
    assert found["AP@0.5"] == pytest.approx(ap(26, 2 / 3, 25))
    assert found["AP@0.75"] == pytest.approx(ap(26, 2 / 3, 25))
    everywhere = report.student.find("all")
    counts = (everywhere.num_recordings, everywhere.num_frames, everywhere.num_reference_boxes)
    assert counts == (4, 32, 32)
    assert everywhere.num_predicted_boxes == 24


def test_hidden_vehicles_are_neither_hits_nor_misses(report, asked):
    night = report.student.find("light=night")
    assert (night.num_reference_boxes, night.num_predicted_boxes) == (16, 8)
    assert night.metrics["AP@0.5"] == pytest.approx(ap(51))
    assert any("less than 0.25 are neither hits nor misses" in note for note in report.notes)
    every = evaluate_boxes(replace(asked, min_visible=0.0), device="cpu").student
    assert every.find("light=night").num_reference_boxes == 24
    assert every.find("light=night").metrics["AP@0.5"] == pytest.approx(ap(67))


def test_centers_are_compared_where_boxes_match(report):
    found = report.student.metrics
    assert found["CDx_percent"] == pytest.approx(1.0, abs=1e-4)
    assert found["CDy_percent"] == pytest.approx(0.0, abs=1e-4)
    assert found["match_rate"] == 0.5
    # What paper 3 calls by the name is of sizes: 10 and 20 points where a corner is missed.
    day = report.student.find("light=day").metrics
    assert day["cd_released_x_percent"] == pytest.approx(5.0, abs=1e-3)
    assert day["cd_released_y_percent"] == pytest.approx(10.0, abs=1e-3)


def test_tracks_run_over_the_clips_of_a_recording(report):
    found = report.student.metrics
    assert (found["false_positives"], found["misses"], found["id_switches"]) == (8, 16, 0)
    assert found["MOTA"] == pytest.approx(1 - 24 / 32)
    table = pq.read_table(Path(report.run) / "boxes-test.parquet").to_pydict()
    by_recording = dict(zip(table["recording_id"], table["track_id"], strict=True))
    assert set(by_recording.values()) == {0}
    assert len(table["score"]) == 32
    assert table["class_name"] == ["car"] * 32
    assert table["time_seconds"][:8] == [0.125 + 0.25 * step for step in range(8)]


def test_a_stored_teacher_is_scored_beside_the_student(report):
    teacher = report.scores[1]
    assert (teacher.name, teacher.num_rows, teacher.num_left_out) == ("rgb", 7, 1)
    assert teacher.find("light=day").metrics["AP@0.5"] == pytest.approx(1.0)
    assert teacher.find("light=night").metrics["AP@0.5"] == 0.0
    assert "rgb: 1 of 8 rows lack what it needs and are left out" in report.notes
    # Its persons are no boxes of what the student learned.
    assert teacher.find("all").num_predicted_boxes == 12
    assert (Path(report.run) / "boxes-test-rgb.parquet").exists()


def test_the_report_is_kept_with_curves(report):
    kept = json.loads((Path(report.run) / "evaluation-boxes-test.json").read_text())
    assert kept == json.loads(report.to_json())
    curves = kept["scores"][0]["groups"][0]["curves"]
    assert [each["iou_threshold"] for each in curves] == [0.5, 0.75]
    precisions = curves[0]["precisions"]
    assert len(precisions) == 101
    assert precisions[25] == 1.0
    assert precisions[26] == pytest.approx(2 / 3, abs=1e-4)
    assert precisions[51] == 0.0


def test_numbers_against_a_teacher_are_called_agreement(run, box_store):
    asked = BoxesRequest(run=run, store=box_store, against="rgb", by=("light",))
    report = evaluate_boxes(asked, device="cpu")
    names = list(report.student.metrics)
    assert names[0] == "AP@0.5 (agreement with teacher rgb)"
    assert all(name.endswith(" (agreement with teacher rgb)") for name in names)
    assert report.reference == "teacher"
    assert "not accuracy" in report.notes[0]
    assert (Path(run) / "evaluation-boxes-test-against_rgb.json").exists()
    # The clip that the teacher did not see is not judged: 8 of 12 boxes are agreed on.
    assert report.student.num_unjudged_frames == 4
    day = report.student.find("light=day")
    assert (day.num_frames, day.num_reference_boxes) == (12, 12)
    assert day.metrics["AP@0.5 (agreement with teacher rgb)"] == pytest.approx(ap(67))


def test_a_student_agrees_with_itself(run, box_store, report):
    asked = BoxesRequest(run=run, store=box_store, against="rgb")
    teacher = evaluate_boxes(asked, teacher_targets=["rgb"], device="cpu").scores[1]
    metrics = [value for name, value in teacher.metrics.items() if "AP" in name or "MOTA" in name]
    assert metrics == pytest.approx([1.0] * len(metrics))


def test_kinds_that_the_student_has_no_name_for_are_one_class(asked, box_truth, tmp_path, report):
    table = Path(box_truth).read_text().replace(",car,", ",van,", 8)
    (tmp_path / "vans.csv").write_text(table)
    found = evaluate_boxes(replace(asked, truth=str(tmp_path / "vans.csv")), device="cpu")
    assert found.classes == ("vehicle",)
    assert report.classes == ("car",)
    assert found.student.metrics == report.student.metrics
    assert any("not told apart" in note for note in found.notes)


def test_recordings_without_a_row_are_without_vehicles_and_told(asked, box_truth, tmp_path):
    lines = Path(box_truth).read_text().splitlines()
    kept = [line for line in lines if not line.startswith("day/1")]
    (tmp_path / "fewer.csv").write_text("\n".join(kept))
    found = evaluate_boxes(replace(asked, truth=str(tmp_path / "fewer.csv")), device="cpu")
    assert found.student.find("light=day").num_frames == 16
    assert found.student.find("light=day").num_predicted_boxes == 16
    note = "1 of 4 recordings are not in fewer.csv: they count as without vehicles"
    assert note in found.notes


def test_recordings_of_the_truth_that_the_store_does_not_have_are_told(asked, box_truth, tmp_path):
    row = "nobody,0.125,0,car,0.1,0.1,0.2,0.2,1.0"
    (tmp_path / "more.csv").write_text(f"{Path(box_truth).read_text()}{row}\n")
    found = evaluate_boxes(replace(asked, truth=str(tmp_path / "more.csv")), device="cpu")
    note = "1 of 5 recordings of more.csv are not in the store, the first 'nobody'"
    assert note in found.notes


def test_all_rows_are_said_to_hold_those_that_were_learned_from(asked):
    note = "the student learned from split 'train'"
    assert note in evaluate_boxes(replace(asked, split=""), device="cpu").notes
    assert note not in evaluate_boxes(asked, device="cpu").notes


def test_tracks_are_left_out_where_they_cannot_be_measured(asked, box_truth, tmp_path):
    lines = Path(box_truth).read_text().replace("track_id", "number")
    (tmp_path / "untracked.csv").write_text(lines)
    request = replace(asked, truth=str(tmp_path / "untracked.csv"))
    found = evaluate_boxes(request, device="cpu")
    assert "MOTA" not in found.student.metrics
    assert any("no column track_id" in note for note in found.notes)
    with pytest.raises(InvalidValueError, match="leave --tracking out"):
        evaluate_boxes(replace(request, needs_tracks=True), device="cpu")


def test_without_the_package_tracks_are_left_out_unless_asked_for(asked, monkeypatch):
    monkeypatch.setattr(box_request, "TRACK_METRICS", "no_such_package")
    found = evaluate_boxes(asked, device="cpu")
    assert "IDF1" not in found.student.metrics
    assert any(r"pip install 'avkd[tracking]'" in note for note in found.notes)
    with pytest.raises(InvalidValueError, match="TrackEval is not installed"):
        evaluate_boxes(replace(asked, needs_tracks=True), device="cpu")


def test_seeds_are_summed_up_by_group(report):
    other = replace(report, seed=1)
    summary = summarise_boxes([report, other])
    assert set(summary) == {"all", "light=day", "light=night"}
    assert summary["all"]["MOTA"].num_seeds == 2
    assert summary["all"]["MOTA"].mean == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"truth": None}, InvalidValueError, "one of --truth TABLE and --against"),
        ({"against": "rgb"}, InvalidValueError, "one of --truth TABLE and --against"),
        ({"truth": None, "against": "rbg"}, UnknownNameError, "rgb"),
        ({"by": ("weather",)}, UnknownNameError, "light"),
        ({"split": "dev"}, CorpusError, "no rows of split 'dev'"),
        ({"split": "train"}, CorpusError, "none of the 1 recordings"),
        ({"min_visible": 2.0}, InvalidValueError, "min_visible 2"),
        ({"min_score": -0.5}, InvalidValueError, "min_score -0.5"),
        ({"truth": "none.csv"}, CorpusError, "none.csv"),
    ],
)
def test_what_cannot_be_measured_is_refused(asked, change, error, words):
    with pytest.raises(error, match=words):
        evaluate_boxes(replace(asked, **change), device="cpu")


def test_a_teacher_that_is_not_there_is_refused_before_anything_is_predicted(
    asked, make_box_run, tmp_path
):
    make_box_run(tmp_path / "run")
    before = sorted((tmp_path / "run").iterdir())
    own = replace(asked, run=str(tmp_path / "run"))
    with pytest.raises(UnknownNameError, match="did you mean rgb"):
        evaluate_boxes(own, teacher_targets=["rbg"], device="cpu")
    assert sorted((tmp_path / "run").iterdir()) == before


def test_a_teacher_that_saw_none_of_the_rows_is_refused_before_anything_is_predicted(
    asked, make_box_run, box_store, tmp_path
):
    make_box_run(tmp_path / "run")
    before = sorted((tmp_path / "run").iterdir())
    store = Store.open(str(copytree(box_store, tmp_path / "store")))
    store.declare(replace(store.producers()["rgb"], name="thermal", fingerprint={"of": "thermal"}))
    own = replace(asked, run=str(tmp_path / "run"), store=store.url)
    with pytest.raises(CorpusError, match=r"none of the .* rows .* is ok for thermal"):
        evaluate_boxes(own, teacher_targets=["thermal"], device="cpu")
    assert sorted((tmp_path / "run").iterdir()) == before


def test_runs_are_compared_by_their_boxes_over_seeds(
    make_box_run, box_store, box_truth, tmp_path, report
):
    for name in ("steady", "other"):
        for seed in (0, 1):
            folder = tmp_path / name / f"seed-{seed}"
            make_box_run(folder, seed=seed, steady=name == "steady")
            asked = BoxesRequest(run=str(folder), store=box_store, truth=box_truth)
            evaluate_boxes(asked, teacher_targets=["rgb"], device="cpu")
    found = compare_runs([str(tmp_path / "steady"), str(tmp_path / "other")], metric="AP@0.5")
    steady = found.groups[0]
    assert steady.values["AP@0.5"] == pytest.approx([report.student.metrics["AP@0.5"]] * 2)
    assert any("have no predictions by clip" in note for note in found.pairs[0].notes)
