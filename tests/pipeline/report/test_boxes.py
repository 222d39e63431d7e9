import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from avkd.errors import CorpusError, StoreNotFoundError
from avkd.pipeline.report.boxes import gather_boxes
from avkd.pipeline.report.overlays import TEACHERS
from avkd.stages.media.probe import probe


@pytest.fixture(scope="module")
def boxes(road_store, ears):
    return gather_boxes(road_store, [str(ears / "ear")], num_stills=3, num_videos=2)


def grey(still):
    """Of the step, beside all boxes."""
    return int(still.picture[-2, 2].mean())


def test_stills_are_chosen_by_light_and_truth_and_one_is_empty(boxes):
    # The middle one of the steps 0 to 7 and 4 to 7; of those without a vehicle that of night/3,
    # which lies between those of day/1 and none.
    assert [still.caption.split(",")[:2] for still in boxes.stills] == [
        ["day", " day/0 at 0:01.1"],
        ["night", " night/3 at 0:01.6"],
        ["night", " night/3 at 0:00.6"],
    ]
    assert "1 box heard, 1 true, 0 of the teacher" in boxes.stills[1].caption
    assert "1 box heard, 0 true" in boxes.stills[2].caption
    assert "not by what was said: evenly over the recordings of split test" in boxes.stills_note
    assert "one picture without any at the end" in boxes.stills_note


def test_stills_are_the_pictures_of_their_steps(boxes):
    assert [grey(still) for still in boxes.stills] == pytest.approx([120, 160, 80], abs=8)


def test_what_was_said_is_coloured_and_what_is_true_white(boxes):
    with_truth, without = boxes.stills[1].picture, boxes.stills[2].picture
    is_white = [(each == 255).all(axis=2).any() for each in (with_truth, without)]
    assert is_white == [True, False]
    left, middle = round(0.4 * 640) + 1, 240
    assert np.ptp(without[middle, left].astype(int)) > 100
    assert boxes.stills_note.startswith("In colours, one a track: what ear, seed 0, says from the")
    told = "thin and white what is true; dashed what teacher rgb saw, from 0.3 on."
    assert told in boxes.stills_note


def test_the_choice_does_not_look_at_what_was_said(boxes, road_store, ears):
    other = gather_boxes(road_store, [str(ears / "other")], num_stills=3, num_videos=0)
    places = [
        [still.caption.split(" at ")[1].split(",")[0] for still in each.stills]
        for each in (boxes, other)
    ]
    assert places[0] == places[1]
    assert "other says from" in other.stills_note
    assert not other.videos


def test_the_same_runs_give_the_same_pictures_and_videos(boxes, road_store, ears):
    again = gather_boxes(road_store, [str(ears / "ear")], num_stills=3, num_videos=2)
    assert [still.caption for still in again.stills] == [still.caption for still in boxes.stills]
    for one, other in zip(again.stills, boxes.stills, strict=True):
        np.testing.assert_array_equal(one.picture, other.picture)
    assert [video.data for video in again.videos] == [video.data for video in boxes.videos]


def test_videos_are_of_day_and_night_with_sound(boxes, tmp_path):
    assert [video.caption for video in boxes.videos] == ["day, day/0", "night, night/3"]
    (tmp_path / "day.mp4").write_bytes(boxes.videos[0].data)
    info = probe(str(tmp_path / "day.mp4"))
    assert (info.has_audio, info.width) == (True, 640)
    assert info.duration_seconds == pytest.approx(2.0, abs=0.1)


def test_recordings_whose_files_are_gone_are_left_out_with_a_note(boxes):
    assert boxes.notes == (
        "1 of 4 recordings lie no longer where they did and cannot be shown, such as dusk/2",
    )


def test_of_several_teachers_all_are_drawn_each_in_its_colour(road_store, ears, tmp_path):
    run = tmp_path / "ear"
    shutil.copytree(ears / "ear" / "seed-0", run)
    for file in run.glob("evaluation-*.json"):
        report = json.loads(file.read_text())
        report["run"] = str(run)
        if len(report["scores"]) > 1:
            report["scores"].append({**report["scores"][1], "name": "thermal"})
            shutil.copy(run / "boxes-test-rgb.parquet", run / "boxes-test-thermal.parquet")
        file.write_text(json.dumps(report))
    shown = gather_boxes(road_store, [str(run)], num_stills=1, num_videos=0)
    told = "dashed what teachers saw from 0.3 on, rgb (blue), thermal (orange)."
    assert told in shown.stills_note
    assert "1 true, 1 of rgb, 1 of thermal" in shown.stills[0].caption
    is_orange = (shown.stills[0].picture == TEACHERS["orange"]).all(axis=2)
    assert is_orange.any()
    night = shown.evaluations[0].tables[-1]
    assert [row[0] for row in night.rows] == ["ear", "teacher rgb", "teacher thermal"]


def test_truth_comes_before_agreement_and_is_told_apart(boxes):
    truth, agreement = boxes.evaluations
    assert truth.title == "Against the truth boxes.csv, split test"
    assert [table.title for table in truth.tables] == [
        "all recordings",
        "light: day",
        "light: dusk",
        "light: night",
    ]
    night = truth.tables[-1]
    assert night.note == "1 recording, 8 pictures, 4 boxes"
    assert [row[0] for row in night.rows] == ["ear (2 seeds)", "teacher rgb"]
    # Of 8 boxes, the later 4 are right and all have one score: 1/2 at the last of them.
    assert {"AP@0.5", "CDx, %", "match rate", "MOTA", "ID switches"} <= set(night.header)
    rates = [row[night.header.index("match rate")] for row in night.rows]
    assert rates == ["1.000 (0.000)", "0.000"]
    assert agreement.title == "Agreement with teacher rgb, split test"
    assert any("not accuracy" in note for note in agreement.notes)
    assert not any("not accuracy" in note for note in truth.notes)


def test_curves_are_of_every_seed_and_teacher_in_every_group(boxes):
    curves = boxes.evaluations[0].curves
    day = [curve for curve in curves if curve.group == "light=day"]
    assert [(curve.name, curve.is_teacher) for curve in day] == [
        ("ear", False),
        ("ear", False),
        ("teacher rgb", True),
    ]
    assert day[-1].average_precision == pytest.approx(1.0)
    header = boxes.evaluations[0].tables[1].header
    told = boxes.evaluations[0].tables[1].rows[0][header.index("AP@0.5")]
    assert told == f"{day[0].average_precision:.3f} (0.000)"


def test_true_boxes_come_from_the_table_that_is_given(road_store, ears, road_truth, tmp_path):
    lines = Path(road_truth).read_text().splitlines()
    lines = [line for line in lines if not line.startswith("day")]
    (tmp_path / "fewer.csv").write_text("\n".join(lines))
    runs = [str(ears / "ear" / "seed-1")]
    found = gather_boxes(
        road_store, runs, truth=str(tmp_path / "fewer.csv"), num_stills=2, num_videos=1
    )
    assert [still.caption.split(",")[0] for still in found.stills] == ["night", "day"]
    assert [video.caption for video in found.videos] == ["night, night/3"]
    with pytest.raises(CorpusError, match="no table"):
        gather_boxes(road_store, runs, truth=str(tmp_path / "none.csv"))


def test_without_the_truth_any_pictures_are_shown_and_it_is_said(road_store, ears, tmp_path):
    run = tmp_path / "moved"
    shutil.copytree(ears / "ear" / "seed-0", run)
    report = json.loads((run / "evaluation-boxes-test.json").read_text())
    (run / "evaluation-boxes-test.json").write_text(json.dumps({**report, "against": "gone.csv"}))
    found = gather_boxes(road_store, [str(run)], num_stills=2, num_videos=0)
    assert "the truth gone.csv is no longer there; give it with --truth" in found.notes[0]
    assert "Chosen by place alone" in found.stills_note
    assert len(found.stills) == 2
    assert "true" not in found.stills[0].caption


def test_boxes_that_are_gone_leave_the_scores_and_a_note(road_store, ears, tmp_path):
    run = tmp_path / "moved"
    shutil.copytree(ears / "ear" / "seed-0", run)
    (run / "boxes-test.parquet").unlink()
    found = gather_boxes(road_store, [str(run)])
    assert "evaluate the run again" in found.notes[0]
    assert (len(found.evaluations), found.stills) == (2, ())


def test_runs_of_another_store_are_told_but_not_drawn(box_store, ears):
    found = gather_boxes(box_store, [str(ears / "ear")])
    assert "no run was evaluated by its boxes on" in found.notes[0]
    assert (len(found.evaluations), found.stills, found.videos) == (2, (), ())


def test_runs_without_boxes_have_nothing_to_tell(road_store, tmp_path):
    (tmp_path / "recipe.json").write_text("{}")
    assert gather_boxes(road_store, [str(tmp_path)]) is None
    with pytest.raises(StoreNotFoundError):
        gather_boxes(road_store, [str(tmp_path / "none")])
