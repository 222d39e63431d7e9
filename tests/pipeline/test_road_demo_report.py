from pathlib import Path

import pytest

from avkd.pipeline.demo_scores import summarise
from avkd.pipeline.report.content import LossCurve, ReportContent, StoreFacts, Table
from avkd.pipeline.road_demo_report import AS_PAPERS, PAPER, RoadStory, tell_road


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
        store=Path("store"),
        truth=Path("boxes.csv"),
        runs={"phase": [Path("a"), Path("b")], "other": [Path("c"), Path("d")]},
        scores={"phase": scores([0.4, 0.6], [0.55]), "other": scores([0.1, 0.1], [0.05])},
        teacher=scores([0.9], [0.3]),
        seconds={"world": 3.0},
    )


@pytest.fixture
def page(story):
    content = ReportContent(
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
    return tell_road(content, story)


def test_everyone_has_a_headline_with_day_beside_night(page):
    told = {headline.label: headline for headline in page.headlines}
    assert list(told) == ["AP@0.5, phase", "AP@0.5, other", "AP@0.5, teacher rgb"]
    assert told["AP@0.5, phase"].value == "0.500 (0.141)"
    assert told["AP@0.5, phase"].detail.startswith("hears two microphones")
    assert told["AP@0.5, other"].detail == "by day 0.600, by night 0.050"
    assert told["AP@0.5, teacher rgb"].detail.endswith("by day 0.600, by night 0.300")


def test_what_happened_is_told_in_sentences_with_the_numbers(page):
    text = " ".join(page.sentences)
    assert "158 drives" in text
    assert "4 students (phase, other)" in text
    assert (
        "truth of night test drives, AP@0.5: phase 0.550, other 0.050, teacher rgb 0.300." in text
    )


def test_ours_stand_beside_the_papers_in_its_columns_in_percent_and_not_as_comparable(page):
    table = page.tables[-1]
    assert "not comparable" in table.title
    assert "MAVD" in table.note
    paper, phase, *_ = table.rows
    assert dict(zip(AS_PAPERS, paper[1:], strict=True)) == {
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
    assert len(PAPER) == len(AS_PAPERS)


def test_what_the_general_report_has_stays_but_its_tables(page, story):
    assert page.tables[0].title.startswith("Students that hear")
    assert len(page.tables) == 2
    assert page.losses[0].name == "phase"
    assert page.simulated
    assert page.seconds == story.seconds
