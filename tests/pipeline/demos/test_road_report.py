from dataclasses import replace
from pathlib import Path

import pytest

from avkd.errors import UnknownNameError
from avkd.pipeline.demos.probe_scores import summarise
from avkd.pipeline.demos.road_papers import COLUMNS, PAPERS, find_paper_rows
from avkd.pipeline.demos.road_report import RoadStory, tell_road
from avkd.pipeline.report.content import LossCurve, ReportContent, StoreFacts, Table


def scores(ap, night):
    every = {
        "AP@0.5": summarise(ap),
        "MOTA": summarise([0.1234]),
        "id_switches": summarise([5.0]),
        "as_released_AP@avg": summarise([0.3]),
        "cd_released_x_percent": summarise([4.0]),
        "cd_released_y_percent": None,
    }
    return {
        "all": every,
        "light=day": {"AP@0.5": summarise([0.6])},
        "light=night": {"AP@0.5": summarise(night)},
    }


@pytest.fixture
def story():
    return RoadStory(
        recipe="stereosoundnet",
        store=Path("store"),
        truth=Path("boxes.csv"),
        num_microphones=2,
        runs={"phase": [Path("a"), Path("b")], "other": [Path("c"), Path("d")]},
        scores={"phase": scores([0.4, 0.6], [0.55]), "other": scores([0.1, 0.1], [0.05])},
        teachers={"rgb": scores([0.9], [0.3])},
        seconds={"world": 3.0},
    )


@pytest.fixture
def content():
    return ReportContent(
        title="general",
        simulated=True,
        losses=(LossCurve(name="phase", updates=(1.0,), losses=(2.0,)),),
        store=StoreFacts(
            num_recordings=158,
            num_clips=316,
            num_shards=10,
            statuses={},
            outputs=(),
            content_digest="feed",
        ),
        tables=(Table(title="of a run", header=(), rows=()),),
    )


@pytest.fixture
def page(content, story):
    return tell_road(content, story)


@pytest.fixture
def dark_page(content, story):
    """Of three teachers."""
    seen = {"rgb": scores([0.9], [0.1]), "thermal": scores([0.8], [0.8])}
    heard = {"ring": story.scores["phase"], "rgb": story.scores["other"]}
    dark = replace(
        story,
        recipe="mm_distillnet",
        num_microphones=8,
        runs={"ring": [Path("a")], "rgb": [Path("b")]},
        scores=heard,
        teachers=seen,
    )
    return tell_road(content, dark)


def test_everyone_has_a_headline_with_day_beside_night(page):
    told = {headline.label: headline for headline in page.headlines}
    assert list(told) == ["AP@0.5, phase", "AP@0.5, other", "AP@0.5, teacher rgb"]
    assert told["AP@0.5, phase"].value == "0.500 (0.141)"
    assert told["AP@0.5, phase"].detail.startswith("hears two microphones")
    assert told["AP@0.5, other"].detail == "by day 0.600, by night 0.050"
    assert told["AP@0.5, teacher rgb"].detail.endswith("by day 0.600, by night 0.300")


def test_what_happened_is_told_in_sentences_with_the_numbers(page):
    text = " ".join(page.sentences)
    assert "158 drives past a camera with two microphones" in text
    assert "4 students (phase, other)" in text
    assert (
        "truth of night test drives, AP@0.5: phase 0.550, other 0.050, teacher rgb 0.300." in text
    )


def test_ours_stand_beside_the_papers_in_its_columns_in_percent_and_not_as_comparable(page):
    table = page.tables[-1]
    assert "not comparable" in table.title
    assert "MAVD" in table.note
    paper, phase, *_ = table.rows
    assert dict(zip(COLUMNS, paper[1:], strict=True)) == {
        "mAP@avg": "44.05",
        "mAP@0.5": "62.38",
        "mAP@0.75": "41.46",
        "CDx": "3.00",
        "CDy": "2.24",
        "MOTA": "16.94",
        "ID switches": "1327",
    }
    assert phase == ("phase, simulated", "30.00", "-", "-", "4.00", "-", "12.34", "5")
    assert len(table.rows) == 1 + 3
    assert "held to what a teacher saw" in table.note


@pytest.mark.parametrize("paper", PAPERS.values(), ids=PAPERS)
def test_every_row_of_a_paper_has_a_number_or_a_dash_in_each_column(paper):
    assert {len(numbers) for numbers in paper.rows.values()} == {len(COLUMNS)}
    assert "[S]" in paper.note
    assert "accura" not in paper.note


def test_a_recipe_without_a_paper_is_refused():
    with pytest.raises(UnknownNameError):
        find_paper_rows("soundnet")


def test_students_of_three_teachers_are_told_by_night_first(dark_page):
    told = {headline.label: headline for headline in dark_page.headlines}
    assert list(told) == [
        "AP@0.5 by night, ring",
        "AP@0.5 by night, rgb",
        "AP@0.5 by night, teacher rgb",
        "AP@0.5 by night, teacher thermal",
    ]
    assert told["AP@0.5 by night, ring"].value == "0.550"
    assert told["AP@0.5 by night, ring"].detail == (
        "hears eight microphones, taught by three detectors; in all 0.500 (0.141), by day 0.600"
    )
    assert told["AP@0.5 by night, teacher thermal"].value == "0.800"


def test_students_and_teachers_of_one_name_are_told_apart(dark_page):
    text = " ".join(dark_page.sentences)
    assert "with eight microphones. Two small detectors (rgb, thermal) learned" in text
    assert "ring 0.550, rgb 0.050, teacher rgb 0.100, teacher thermal 0.800." in text
    assert [row[1] for row in dark_page.tables[0].rows[:4]] == [
        "ring",
        "rgb",
        "teacher rgb",
        "teacher thermal",
    ]


def test_the_paper_of_three_teachers_stands_beside_them_as_agreement_on_real_streets(dark_page):
    table = dark_page.tables[-1]
    numbers = {row[0]: row[1:] for row in table.rows}
    best = numbers["MM-DistillNet on MAVD: RGB, depth and thermal"]
    assert best == ("61.62", "84.29", "59.66", "1.27", "0.69", "26.96", "1078")
    assert numbers["the same on MAVD: RGB alone"][0] == "44.58"
    assert numbers["StereoSoundNet on MAVD, by MM-DistillNet's authors"][0] == "44.05"
    assert len(table.rows) == 4 + 4
    assert "agrees with its teachers" in table.note
    assert "not comparable" in table.title


def test_what_the_general_report_has_stays_but_its_tables(page, story):
    assert page.tables[0].title.startswith("Students that hear")
    assert len(page.tables) == 2
    assert page.losses[0].name == "phase"
    assert page.simulated
    assert page.seconds == story.seconds
